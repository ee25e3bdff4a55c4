"""What the live display of a search shows, as lines of text."""

from __future__ import annotations

import io
import math
import socket
import time
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from docclf.sweeper.screen.progress import format_left, format_score
from docclf.sweeper.screen.terminal import Line
from docclf.sweeper.study.attributes import OWNER, PROGRESS
from docclf.sweeper.study.process import host_of
from docclf.sweeper.study.tally import Tally, seconds_run

if TYPE_CHECKING:
    from docclf.sweeper.screen.live import Live

_BLOCKS = "▁▂▃▄▅▆▇█"
# Of a trial without a score: state to sign and style
_SIGNS = {"PRUNED": ("·", "yellow"), "FAIL": ("×", "red")}
# Cells of the labels: those of "finalist 3", so that the rest stays where it is from trial to trial
_LABEL = 10
_NARROW = 60
# Lines beside those of the running trials, one of them empty
_N_OTHERS = 6


def compose(live: Live, columns: int, rows: int) -> list[Text]:
    """The lines of a display, as things stand.

    Args:
        columns: Of the screen; no line is as wide.
        rows: Of the screen; there are fewer lines, and at least two.
    """
    width, tally, now = columns - 1, live.tally, time.time()
    labels = ["scores", *(f"{live.noun} {trial.number}" for trial in tally.running)]
    indent = max(*map(cell_len, labels), _LABEL if columns > _NARROW else 0) + (2 if columns > _NARROW else 1)
    n_running = max(rows - 2 - _N_OTHERS, 0)
    body = [
        ("done", _counts(tally)),
        *_running_rows(live, now, n_running),
        ("best", _best(live)),
        ("scores", _scores(tally, live.study.directions[0], width - indent)),
    ]
    if rows < _N_OTHERS + 3:
        body = []
    lines = [_title(live, width, indent)]
    for label, text in [*body, ("time", _times(live, now))]:
        lines.append(Text().append(label + " " * (indent - cell_len(label)), "dim").append(text))
    for line in lines:
        line.plain = "".join(letter if letter.isprintable() else " " for letter in line.plain)  # a line each
        line.truncate(width, overflow="ellipsis")
    return [Text(), *lines] if body else lines


def _title(live: Live, width: int, indent: int) -> Text:
    """Name, bar, and how many of how many."""
    tally, total = live.tally, live.plan.total
    sums = [*accumulate((tally.complete, tally.pruned, tally.failed))]
    counter = f"  {sums[-1]}/{total}" if math.isfinite(total) else f"  {sums[-1]}"
    name = Text(live.study.study_name)
    name.truncate(max(width // 2, indent), overflow="ellipsis")
    name.pad_right(max(indent - name.cell_len, 1))
    title = Text().append(name.plain, "bold")
    room = width - name.cell_len - len(counter)
    if room < 5:
        return title.append(counter.strip())
    ends = [0, *(min(round(room * n / max(total, 1)), room) for n in sums)]
    for (begin, end), style in zip(pairwise(ends), ("green", "yellow", "red"), strict=True):
        title.append("━" * (end - begin), style)
    return title.append("─" * (room - ends[-1]), "dim").append(counter)


def _counts(tally: Tally) -> Text:
    text = Text()
    for n, what, style in (
        (tally.complete, "complete", "green"),
        (tally.pruned, "pruned", "yellow"),
        (tally.failed, "failed", "red"),
    ):
        text.append(f"{n} {what}  ", style if n else "dim")
    text.rstrip()
    return text


def _running_rows(live: Live, now: float, n: int) -> list[tuple[str, Text]]:
    """A line for each trial that runs, in columns; of more than `n` the rest in one line."""
    running = live.tally.running
    shown = running if len(running) <= n else running[: max(n - 1, 0)]
    ats = [_at(live, trial) for trial in shown]
    at_width = max(map(cell_len, ats), default=0)
    values = ["" if t.last_step is None else format_score(t.intermediate_values[t.last_step]) for t in shown]
    value_width = max(map(len, values), default=0)
    clocks = [_clock(seconds_run(trial, now)) for trial in shown]
    clock_width = max(map(len, clocks), default=0)
    rows = []
    for trial, at, value, clock in zip(shown, ats, values, clocks, strict=True):
        text = Text(at + " " * (at_width - cell_len(at)))
        if value_width:
            text.append(f"  {value:>{value_width}}", "cyan")
        text.append(f"  {clock:>{clock_width}}").append(f"  {live.describe(trial)}", "dim")
        rows.append((f"{live.noun} {trial.number}", text))
    if len(shown) < len(running):
        rows.append(("", Text(f"and {len(running) - len(shown)} more" if shown else f"{len(running)} running", "dim")))
    return rows


def _at(live: Live, trial: FrozenTrial) -> str:
    """What the job of a trial is at, who helps it, and where it runs if that is elsewhere."""
    at = str(trial.user_attrs.get(PROGRESS, "begins" if not trial.intermediate_values else "runs"))
    if n_helpers := live.helpers.get(trial.number):
        at += f" +{n_helpers} worker" + "s" * (n_helpers > 1)
    host = host_of(str(trial.user_attrs.get(OWNER, "")))
    return at if host in ("", socket.gethostname()) else f"{at}, on {host}"


def _best(live: Live) -> Text:
    """The best trial of each objective; with a single one what it tries, too."""
    text = Text()
    bests = [trial for trial in live.tally.best if trial is not None]
    for i, (label, trial) in enumerate(zip(live.labels, bests, strict=False)):
        value = format_score(trial.values[i])
        text.append(f"{label} ").append(value, "bold green").append(f"  {live.noun} {trial.number}  ")
    return text.append(live.describe(bests[0]) if len(bests) == 1 else "", "dim") if bests else Text("–", "dim")


def _scores(tally: Tally, direction: StudyDirection, width: int) -> Text:
    """A block for each complete trial, as high as its score; of what does not fit the latest, and the range."""
    values = [value for _, value in tally.scores if value is not None and math.isfinite(value)]
    if not values:
        return Text("–", "dim")
    bounds = "  " + " – ".join(format_score(value) for value in sorted({min(values), max(values)}))
    shown = tally.scores[-max(width - len(bounds), 1) :]
    heights = [value for _, value in shown if value is not None and math.isfinite(value)] or values
    low, high = min(heights), max(heights)
    best = max(values) if direction == StudyDirection.MAXIMIZE else min(values)
    text = Text()
    for state, value in shown:
        if value is None or not math.isfinite(value):
            text.append(*_SIGNS.get(state.name, _SIGNS["FAIL"]))
        else:
            level = round((value - low) / (high - low) * 7) if high > low else 3
            text.append(_BLOCKS[level], "bold green" if value == best else "")
    return text.append(bounds, "dim")


def _times(live: Live, now: float) -> Text:
    text = Text(_clock(now - live.started))
    if not (left := live.tally.seconds_left(live.plan, live.deadline)):
        return text
    n = live.plan.n_finalists
    finalists = f", {n} finalist{'s' * (n > 1)} included" if n else ""
    return text.append(f"  {format_left(left)}").append(finalists, "dim")


def _clock(seconds: float) -> str:
    """
    >>> _clock(9.6), _clock(192), _clock(3753)
    ('0:09', '3:12', '1:02:33')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def render(lines: Sequence[Text]) -> list[Line]:
    """Lines with the escape codes that the terminal knows; without colours where NO_COLOR is set."""
    console = Console(file=io.StringIO(), force_terminal=True, force_jupyter=False, width=10_000)
    rendered = []
    for line in lines:
        with console.capture() as capture:
            console.print(line, end="", soft_wrap=True)
        rendered.append(Line(capture.get(), line.cell_len))
    return rendered
