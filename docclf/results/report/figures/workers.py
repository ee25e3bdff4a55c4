"""Who ran which trial, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from docclf.results.report.figures.figure import Figure, label
from docclf.results.report.subject import WORDS, Subject
from docclf.sweeper.study.attributes import OWNER

COLOURS = {
    TrialState.COMPLETE: "--blue",
    TrialState.PRUNED: "--quiet",
    TrialState.FAIL: "--red",
    TrialState.RUNNING: "--green",
}
_BARS = 400
_MOMENT = timedelta(milliseconds=500)  # after which the trial before one is told, too


def lanes(subject: Subject) -> dict[int, tuple[str, int]]:
    """Trial number to the process that launched it, and which of the trials at once of that process it was, from 0."""
    ends: dict[str, list[Any]] = {}
    found: dict[int, tuple[str, int]] = {}
    for trial in sorted((t for t in subject.trials if t.datetime_start), key=lambda t: t.datetime_start):  # type: ignore[arg-type,return-value]
        owner = str(trial.user_attrs.get(OWNER, "one process"))
        busy = ends.setdefault(owner, [])
        begin = trial.datetime_start + _MOMENT  # type: ignore[operator]
        lane = next((i for i, end in enumerate(busy) if end <= begin), len(busy))
        busy[lane : lane + 1] = [trial.datetime_complete or subject.now]
        found[trial.number] = (owner, lane)
    return found


def most_at_once(subject: Subject) -> int:
    """The largest number of trials that ran at the same time."""
    steps = []
    for trial in subject.trials:
        if trial.datetime_start is not None:
            begin = trial.datetime_start + _MOMENT
            steps += [(begin, 1), (max(trial.datetime_complete or subject.now, begin), -1)]
    return max(accumulate(step for _, step in sorted(steps)), default=0)


def timeline(subject: Subject) -> Figure | None:
    """Which worker was busy when."""
    placed = lanes(subject)
    if not placed:
        return None
    # Thousands would be thinner than a pixel, and the last drawn would cover the others.
    latest = sorted(placed)[-_BARS:]
    owners = list(dict.fromkeys(owner for owner, _ in placed.values()))
    rows = sorted(set(placed.values()), key=lambda place: (owners.index(place[0]), place[1]))
    names = [_worker(owner, lane, owners, [r for r in rows if r[0] == owner]) for owner, lane in rows]
    data = []
    for state, colour in COLOURS.items():
        trials = [t for t in subject.trials[latest[0] :] if t.state == state and t.number in placed]
        if trials:
            data.append(_bars(subject, trials, [rows.index(placed[t.number]) for t in trials], WORDS[state], colour))
    n = len(rows)
    return Figure(
        key="timeline",
        title="Workers",
        description=f"When each of {len(placed)} trials ran, on {n} {'worker' if n == 1 else 'workers'}.",
        caption=f"The last {len(latest)} of {len(placed):,} trials." if len(latest) < len(placed) else "",
        data=data,
        layout={
            "barmode": "overlay",
            # Where there is hardly room, Plotly turns labels for having none and back for having some, many times over.
            "xaxis": {"type": "date", "tickangle": 0},
            "yaxis": {"tickvals": list(range(n)), "ticktext": names, "range": [n - 0.4, -0.6]},
        },
        height=min(150 + 34 * n, 900),
    )


def _worker(owner: str, lane: int, owners: Sequence[str], its: Sequence[tuple[str, int]]) -> str:
    host, _, rest = owner.partition(":")
    process = f" {rest.partition(':')[0]}" if len(owners) > 1 else ""
    return label(f"{host}{process}{f' · {lane + 1}' if len(its) > 1 else ''}")


def _bars(subject: Subject, trials: Sequence[FrozenTrial], rows: list[int], word: str, colour: str) -> dict[str, Any]:
    starts = [t.datetime_start for t in trials if t.datetime_start]
    spans = [(t.datetime_complete or subject.now) - start for t, start in zip(trials, starts, strict=True)]
    return {
        "type": "bar",
        "orientation": "h",
        "y": rows,
        "base": [start.isoformat(timespec="milliseconds") for start in starts],
        "x": [round(span.total_seconds() * 1000) for span in spans],
        "width": 0.62,
        "name": word,
        "marker": {"color": colour, "line": {"width": 1 if len(trials) < 500 else 0, "color": "--surface"}},
        "text": [
            f"trial {t.number}, {word}, {span.total_seconds():.0f} s" for t, span in zip(trials, spans, strict=True)
        ],
        "textposition": "none",
        "hoverinfo": "text",
    }
