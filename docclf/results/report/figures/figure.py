"""A picture as the browser draws it: Plotly's own description of it, in plain Python."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docclf.safety.untrusted import one_line
from docclf.sweeper.screen.progress import format_score
from docclf.sweeper.space.grammar import to_text

_FEW_WHOLE = 10  # from the lowest to the highest; beyond, Plotly's own ticks are integers


@dataclass(frozen=True)
class Figure:
    """A picture with its words.

    Colours are the names of base.css's properties, such as `--blue`, so that they follow the page's light and dark.
    """

    key: str  # its element on the page
    title: str  # heading
    description: str  # what it shows, for those who do not see it
    caption: str  # how to read it, below; may be empty
    data: Sequence[Mapping[str, Any]]  # Plotly's traces
    layout: Mapping[str, Any]  # Plotly's layout, as far as it is not the same for all
    height: int = 340  # in CSS pixels


def points(
    x: Sequence[Any],
    y: Sequence[Any],
    text: Sequence[str],
    name: str,
    colour: str,
    symbol: str = "circle",
    size: int = 7,
) -> dict[str, Any]:
    """A trace of points, each with a text that it says when it is pointed at; large ones have a line around them."""
    line = {"color": "--surface", "width": 1.5 if size > 10 else 0}
    marker = {"size": size, "color": colour, "symbol": symbol, **({} if symbol == "circle-open" else {"line": line})}
    return {"x": x, "y": y, "mode": "markers", "name": name, "text": text, "hoverinfo": "text", "marker": marker}


def label(text: Any) -> str:
    """A name as Plotly shows it, which reads a few HTML elements in texts.

    >>> label("<b>bill</b> & co")
    '&lt;b&gt;bill&lt;/b&gt; &amp; co'
    """
    return html.escape(cut(str(text), 500), quote=False)


def cut(text: str, n: int = 28) -> str:
    """
    >>> cut("invoice"), cut("a very long name of a class of pages", 12)
    ('invoice', 'a very long…')
    """
    text = one_line(text)
    return text if len(text) <= n else f"{text[: n - 1].rstrip()}…"


def brief(value: Any) -> str:
    """A number or another value of a parameter in few characters.

    >>> brief(0.00051234), brief(0.25), brief(1234567.0), brief(32), brief(None), brief("adamw"), brief(float("nan"))
    ('0.000512', '0.25', '1.23e+06', '32', 'null', 'adamw', 'nan')
    """
    return f"{value:.3g}" if isinstance(value, float) else to_text(value)


def score(value: float | None) -> str:
    """
    >>> score(0.0003), score(0.47956), score(None), score(float("inf")), score(54.6297), score(1234.5)
    ('0.0003', '0.480', '–', 'inf', '54.6', '1,234')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    return format_score(value) if size < 10 else f"{value:.1f}" if size < 1000 else f"{value:,.0f}"


def thinned(n: int, limit: int, keep: Sequence[int] = ()) -> list[int]:
    """Indices of at most about `limit` of n things, evenly spread, with those to keep among them.

    >>> thinned(5, 10), thinned(10, 5, keep=[3])
    ([0, 1, 2, 3, 4], [0, 2, 3, 4, 6, 8])
    """
    if n <= limit:
        return list(range(n))
    return sorted({*(i * n // limit for i in range(limit)), *keep})


def whole_ticks(low: float, high: float) -> dict[str, Any]:
    """Layout of an axis of integers: few of them, and Plotly would put a tick at 0.5.

    >>> whole_ticks(0, 2), whole_ticks(0, 100)
    ({'dtick': 1, 'range': [-0.5, 2.5]}, {})
    """
    return {"dtick": 1, "range": [low - 0.5, high + 0.5]} if high - low <= _FEW_WHOLE else {}
