"""What the live display of a search shows, as lines of text."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from docclf.sweeper.screen.progress import format_left, format_score
from docclf.sweeper.screen.terminal import Line

_BLOCKS = "▁▂▃▄▅▆▇█"
# Of a trial without a score: state to sign and style
_SIGNS = {"PRUNED": ("·", "yellow"), "FAIL": ("×", "red")}
# Where the screen cannot show these letters
_PLAIN = str.maketrans("━─·×…–" + _BLOCKS, "=-.x~-" + "_..--~^^")
# Cells of the labels: those of "finalist 3", so that the rest stays where it is from trial to trial
_LABEL = 10
_NARROW = 60
# Lines beside those of the running trials, one of them empty
_N_OTHERS = 6


@dataclass(frozen=True)
class Running:
    """A trial that runs.

    Attributes:
        label: What it is called.
        at: What its job says that it is at.
        value: Its last report; None without one.
        seconds: Since it began.
        params: What it tries.
    """

    label: str
    at: str
    value: float | None
    seconds: float
    params: str


@dataclass(frozen=True)
class ScreenState:
    """What is to be seen of a search.

    Attributes:
        name: Of the study.
        total: Trials in all; infinite for no limit.
        complete, pruned, failed: How many of them ended so.
        running: Those that run.
        best: Name, value and trial of the best of each objective.
        params: Of the best trial of a single objective.
        scores: State of each trial that ended, and its score if it is complete.
        is_ascending: Whether the best score is the highest.
        seconds: Since this run of the search began.
        left: Seconds that the rest will take; None if nobody knows.
        n_finalists: Trials that are re-evaluated at the end.
    """

    name: str
    total: float
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    running: Sequence[Running] = ()
    best: Sequence[tuple[str, float, str]] = ()
    params: str = ""
    scores: Sequence[tuple[str, float | None]] = ()
    is_ascending: bool = True
    seconds: float = 0.0
    left: float | None = None
    n_finalists: int = 0


def compose(view: ScreenState, columns: int, rows: int) -> list[Text]:
    """The lines of a view.

    Args:
        columns: Of the screen; no line is as wide.
        rows: Of the screen; there are fewer lines, and at least two.
    """
    width = columns - 1
    labels = ["scores", *(trial.label for trial in view.running)]
    indent = max(*map(cell_len, labels), _LABEL if columns > _NARROW else 0) + (2 if columns > _NARROW else 1)
    n_running = max(rows - 2 - _N_OTHERS, 0)
    body = [
        ("done", _counts(view)),
        *_running_rows(view.running, n_running),
        ("best", _best(view)),
        ("scores", _scores(view, width - indent)),
    ]
    if rows < _N_OTHERS + 3:
        body = []
    lines = [_title(view, width, indent)]
    for label, text in [*body, ("time", _times(view))]:
        lines.append(Text().append(label + " " * (indent - cell_len(label)), "dim").append(text))
    for line in lines:
        line.plain = "".join(letter if letter.isprintable() else " " for letter in line.plain)  # a line each
        line.truncate(width, overflow="ellipsis")
    return [Text(), *lines] if body else lines


def _title(view: ScreenState, width: int, indent: int) -> Text:
    """Name, bar, and how many of how many."""
    n = view.complete + view.pruned + view.failed
    counter = f"  {n}/{view.total}" if math.isfinite(view.total) else f"  {n}"
    name = Text(view.name)
    name.truncate(max(width // 2, indent), overflow="ellipsis")
    name.pad_right(max(indent - name.cell_len, 1))
    title = Text().append(name.plain, "bold")
    room = width - name.cell_len - len(counter)
    if room < 5:
        return title.append(counter.strip())
    shares = accumulate((view.complete, view.pruned, view.failed))
    ends = [0, *(min(round(room * share / max(view.total, 1)), room) for share in shares)]
    for (begin, end), style in zip(pairwise(ends), ("green", "yellow", "red"), strict=True):
        title.append("━" * (end - begin), style)
    return title.append("─" * (room - ends[-1]), "dim").append(counter)


def _counts(view: ScreenState) -> Text:
    text = Text()
    for n, what, style in (
        (view.complete, "complete", "green"),
        (view.pruned, "pruned", "yellow"),
        (view.failed, "failed", "red"),
    ):
        text.append(f"{n} {what}  ", style if n else "dim")
    text.rstrip()
    return text


def _running_rows(running: Sequence[Running], n: int) -> list[tuple[str, Text]]:
    """A line for each trial, in columns; of more than `n` the rest in one line."""
    shown = running if len(running) <= n else running[: max(n - 1, 0)]
    at = max((cell_len(trial.at) for trial in shown), default=0)
    values = ["" if trial.value is None else format_score(trial.value) for trial in shown]
    value_width = max(map(len, values), default=0)
    clocks = [_clock(trial.seconds) for trial in shown]
    clock_width = max(map(len, clocks), default=0)
    rows = []
    for trial, value, clock in zip(shown, values, clocks, strict=True):
        text = Text(trial.at + " " * (at - cell_len(trial.at)))
        if value_width:
            text.append(f"  {value:>{value_width}}", "cyan")
        text.append(f"  {clock:>{clock_width}}").append(f"  {trial.params}", "dim")
        rows.append((trial.label, text))
    if len(shown) < len(running):
        rows.append(("", Text(f"and {len(running) - len(shown)} more" if shown else f"{len(running)} running", "dim")))
    return rows


def _best(view: ScreenState) -> Text:
    text = Text()
    for name, value, trial in view.best:
        text.append(f"{name} ").append(format_score(value), "bold green").append(f"  {trial}  ")
    return text.append(view.params, "dim") if view.best else Text("–", "dim")


def _scores(view: ScreenState, width: int) -> Text:
    """A block for each complete trial, as high as its score; of what does not fit the latest, and the range."""
    values = [value for _, value in view.scores if value is not None and math.isfinite(value)]
    if not values:
        return Text("–", "dim")
    bounds = "  " + " – ".join(format_score(value) for value in sorted({min(values), max(values)}))
    shown = view.scores[-max(width - len(bounds), 1) :]
    heights = [value for _, value in shown if value is not None and math.isfinite(value)] or values
    low, high = min(heights), max(heights)
    best = max(values) if view.is_ascending else min(values)
    text = Text()
    for state, value in shown:
        if value is None or not math.isfinite(value):
            text.append(*_SIGNS.get(state, _SIGNS["FAIL"]))
        else:
            level = round((value - low) / (high - low) * 7) if high > low else 3
            text.append(_BLOCKS[level], "bold green" if value == best else "")
    return text.append(bounds, "dim")


def _times(view: ScreenState) -> Text:
    text = Text(_clock(view.seconds))
    if not view.left:
        return text
    n = view.n_finalists
    finalists = f", {n} finalist{'s' * (n > 1)} included" if n else ""
    return text.append(f"  {format_left(view.left)}").append(finalists, "dim")


def _clock(seconds: float) -> str:
    """
    >>> _clock(9.6), _clock(192), _clock(3753)
    ('0:09', '3:12', '1:02:33')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def render(lines: Sequence[Text], encoding: str) -> list[Line]:
    """Lines with the escape codes that the terminal knows; without colours where NO_COLOR is set."""
    console = Console(file=io.StringIO(), force_terminal=True, force_jupyter=False, width=10_000)
    rendered = []
    for line in lines:
        with console.capture() as capture:
            console.print(line, end="", soft_wrap=True)
        text = capture.get()
        rendered.append(Line(text if _can_show(encoding) else text.translate(_PLAIN), line.cell_len))
    return rendered


def _can_show(encoding: str) -> bool:
    try:
        (_BLOCKS + "━─·×").encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
