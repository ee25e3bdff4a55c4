"""Pictures of results, readable in any script."""

import functools
import importlib.util
import logging
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from docclf.files import replacing
from docclf.metrics.calibration import Reliability

log = logging.getLogger(__name__)
logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)  # it tells of its cache

_P = ParamSpec("_P")


def harmless(draw: Callable[_P, None]) -> Callable[_P, None]:
    """Decorate what draws a picture: where it cannot, a warning says so, once for each reason, and nothing is lost."""

    @functools.wraps(draw)
    def draw_or_warn(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except Exception as error:  # of Matplotlib, of its fonts, of the disk
            _warn(f"{type(error).__name__}: {error}")

    return draw_or_warn


@functools.cache  # once, and not once a trial
def _warn(reason: str) -> None:
    log.warning(f"Pictures could not be drawn, everything else goes on: {reason}")


@functools.cache
def font_families() -> list[str]:
    """Font families to try in turn, so that every script shows that people name classes in, and emoji.

    Matplotlib's own font has Latin, Greek and Cyrillic; two packages of fonts carry what it lacks.
    """
    families = ["DejaVu Sans"]
    for package, pattern in (("manimgx_fonts_cjk", "*.ttc"), ("manimgx_fonts", "*[[]wght].ttf")):
        spec = importlib.util.find_spec(package)
        for path in sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []:
            if "Italic" in path.name:
                continue
            with suppress(Exception):  # a font that cannot be loaded is done without
                font = font_manager.get_font(path)
                # Matplotlib reads a variable font as its thinnest instance; asked for a normal one it would warn.
                font_manager.fontManager.ttflist.append(replace(font_manager.ttfFontProperty(font), weight=400))
                families.append(font.family_name)
    return list(dict.fromkeys(families))


@harmless
def write_confusion(path: Path, truth: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> None:
    """Draw a confusion matrix with counts, a row a true class, shaded by the share of the row.

    Args:
        path: PNG file to write.
        truth: True class indices, shape (n,).
        predicted: Predicted class indices, shape (n,).
        names: Class names in the order of the indices.
    """
    _save(_confusion(truth, predicted, names), path)


def _confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> Figure:
    n = len(names)
    counts = np.bincount(truth * n + predicted, minlength=n * n).reshape(n, n)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(3 + 0.4 * n, 30)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    families = font_families()
    # A name may hold dollar signs, which are no formulas.
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(n), names, family=families, parse_math=False, **turned)
    axes.set_yticks(range(n), names, family=families, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
    return figure


@harmless
def write_examples(path: Path, pages: Mapping[str, Sequence[NDArray[np.uint8]]]) -> None:
    """Draw a row of pages for every class, under its name.

    Args:
        path: PNG file to write.
        pages: Class name to pages of one size, uint8 of shape (size, size, channels).
    """
    columns = max(map(len, pages.values()))
    figure = Figure(figsize=(1.4 * columns, min(1.7 * len(pages), 300)), layout="constrained")
    grid = figure.subplots(len(pages), columns, squeeze=False)
    families = font_families()
    for row, (name, found) in zip(grid, pages.items(), strict=True):
        row[0].set_title(name, loc="left", fontsize=9, family=families, parse_math=False)
        for axes in row:
            axes.axis("off")
        for axes, page in zip(row, found, strict=False):
            _show(axes, page)
    _save(figure, path)


_COLUMNS = 5


@harmless
def write_captioned(path: Path, pages: Sequence[NDArray[np.uint8]], captions: Sequence[Sequence[str]]) -> None:
    """Draw pages in rows of five, under each its caption.

    Args:
        path: PNG file to write.
        pages: At least one, uint8 of shape (size, size, channels).
        captions: Lines of text for each page; long ones lose their beginning, which differs least between files.
    """
    rows = -(-len(pages) // _COLUMNS)
    lines = max(map(len, captions))
    figure = Figure(figsize=(2 * _COLUMNS, (1.9 + 0.14 * lines) * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    families = font_families()
    for axes in grid[len(pages) :]:
        axes.axis("off")
    for axes, page, caption in zip(grid, pages, captions, strict=False):
        _show(axes, page)
        axes.set(xticks=[], yticks=[])
        text = "\n".join(shorten_start(line, 30) for line in caption)
        axes.set_xlabel(text, fontsize=7, family=families, parse_math=False)
    _save(figure, path)


def shorten_start(text: str, columns: int) -> str:
    """The end of a text that takes at most so many columns; a syllable of Hangul or a Han character takes two.

    >>> shorten_start("train/invoices/0001.png", 12)
    '…es/0001.png'
    >>> shorten_start("영수증/계약서.png", 12), shorten_start("영수증.png", 12)
    ('…/계약서.png', '영수증.png')
    """
    widths = [2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text]
    if sum(widths) <= columns:
        return text
    kept = np.cumsum(widths[::-1]) < columns  # one is for the ellipsis
    return f"…{text[len(text) - int(kept.sum()) :]}"


@harmless
def write_reliability(path: Path, before: Reliability, after: Reliability, errors: tuple[float, float]) -> None:
    """Draw how often predictions are right against how sure they are, before and after calibration.

    A point a bin that has pages, against the diagonal on which both agree; below, the share of pages in each bin. See
    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), figure 1.

    Args:
        path: PNG file to write.
        before: Bins of the probabilities as the model gives them.
        after: Bins of the calibrated ones, which may be more or fewer.
        errors: Expected calibration error before and after, in [0, 1], for the legend.
    """
    figure = Figure(figsize=(5, 6), layout="constrained")
    curve, shares = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    curve.plot((0, 1), (0, 1), color="grey", linestyle="--", linewidth=1, label="as often right as sure")
    drawn = (("before calibration", before, errors[0], "C1", -1), ("after calibration", after, errors[1], "C0", 0))
    for name, bins, error, colour, side in drawn:
        filled = bins.count > 0
        label = f"{name}, ECE {error:.3f}"
        style = {"marker": "o", "markersize": 4, "clip_on": False, "color": colour, "label": label}
        curve.plot(bins.confidence[filled], bins.accuracy[filled], **style)
        n = len(bins.count)
        middles, width = (np.arange(n) + 0.5) / n, 0.4 / n
        heights = bins.count / max(bins.count.sum(), 1)
        shares.bar(middles + side * width, heights, width, align="edge", color=colour)
    curve.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right predictions")
    curve.legend(loc="upper left")
    shares.set(xlabel="probability of the predicted class", ylabel="share of pages", ylim=(0, None))
    _save(figure, path)


def _show(axes: Axes, page: NDArray[np.uint8]) -> None:
    axes.imshow(page.squeeze(axis=2) if page.shape[2] == 1 else page, cmap="gray", vmin=0, vmax=255)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as partial, warnings.catch_warnings():
        # A name may hold an emoji or a script that no font has: a box in the picture is enough.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(partial, dpi=100)
