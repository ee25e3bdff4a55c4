"""Pictures of parameters against the score: parallel coordinates, slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.results.report.figures.axes import ParameterAxis, axis_of, names_of
from docclf.results.report.figures.course import hover
from docclf.results.report.figures.figure import Figure, brief, cut, label, points, score, thinned
from docclf.results.report.subject import Subject, last_value

_POINTS = 400
_LINES = 300
_PARAMETERS = 12
_FEW = 8  # trials that have no quarters yet
_NOT_THERE = -0.2  # height of a line where its trial does not have the parameter, in shares of an axis


def ordered(subject: Subject, shares: Sequence[str]) -> list[str]:
    """At most a dozen parameters that were varied, the most important first."""
    names = [*shares, *(name for name in names_of(subject.trials) if name not in shares)]
    varied = [name for name in names if len({brief(t.params[name]) for t in subject.trials if name in t.params}) > 1]
    return varied[:_PARAMETERS]


def slices(subject: Subject, names: Sequence[str]) -> list[Figure]:
    """Value against each parameter alone."""
    scored = [t for t in subject.comparable if last_value(t) is not None and t.state != TrialState.RUNNING]
    if not scored:
        return []
    return [_slice(subject, i, axis_of(name, subject.trials), scored) for i, name in enumerate(names)]


def _slice(subject: Subject, i: int, axis: ParameterAxis, scored: Sequence[FrozenTrial]) -> Figure:
    base, chosen = subject.baseline, subject.chosen
    having = [t for t in scored if axis.name in t.params]
    kept = [having[k] for k in thinned(len(having), _POINTS)]
    n_without = len(scored) - len(having)
    special = {"baseline": (base, "diamond", "--orange"), "best": (chosen, "star", "--red")}
    data = [
        _scatter([t for t in kept if t.state == TrialState.PRUNED], axis, "pruned", "--quiet", "circle-open", 7),
        _scatter([t for t in kept if t.state == TrialState.COMPLETE], axis, "complete", "--blue", "circle", 8),
        *(
            _scatter([t] if t is not None and axis.name in t.params else [], axis, word, colour, symbol, 13)
            for word, (t, symbol, colour) in special.items()
        ),
    ]
    return Figure(
        key=f"slice-{i}",
        title=axis.name,
        description=f"{subject.objectives[0]} of {len(having)} trials against {axis.name}, "
        f"from {' to '.join(axis.ends)}.",
        caption=f"{n_without:,} of {len(scored):,} trials do not have it." if n_without else "",
        data=[trace for trace in data if trace["x"]],
        layout={
            "xaxis": axis.layout | {"title": {"text": ""}},
            "yaxis": {"title": {"text": label(subject.objectives[0])}},
            "showlegend": False,
            "margin": {"b": 28},
        },
        height=240,
    )


def _scatter(
    trials: Sequence[FrozenTrial], axis: ParameterAxis, name: str, colour: str, symbol: str, size: int
) -> dict[str, Any]:
    places = [axis.place(t) for t in trials]
    if axis.choices is not None:  # side by side where they would cover each other
        places = [place + 0.3 * ((t.number * 0.618) % 1 - 0.5) for place, t in zip(places, trials, strict=True)]
    values = [last_value(t) for t in trials]
    text = [f"{name}, {hover(t, value)}" for t, value in zip(trials, values, strict=True)]
    return points(places, values, text, name, colour, symbol, size)


def parallel(subject: Subject, names: Sequence[str]) -> Figure | None:
    """A line a finished trial through all parameters to its values, ranked by the first objective."""
    complete = [t for t in subject.comparable if t.state == TrialState.COMPLETE and last_value(t) is not None]
    if len(complete) < 2 or not names:
        return None
    sign = -1 if subject.directions[0] == StudyDirection.MINIMIZE else 1
    ranked = sorted(complete, key=lambda t: sign * t.values[0])
    ranked = [ranked[i] for i in thinned(len(ranked), _LINES, range(len(ranked) - 20, len(ranked)))]
    axes = [axis_of(name, complete) for name in names if any(name in t.params for t in complete)]
    ends = [_ends([t.values[i] for t in complete]) for i in range(len(subject.objectives))]
    data = [_lines(some, axes, ends, rank, word) for rank, word, some in _ranks(ranked)]
    names_shown = [label(cut(text, 18)) for text in (*(axis.name for axis in axes), *subject.objectives)]
    n = len(names_shown)
    missing = any(axis.name not in t.params for t in ranked for axis in axes)
    line = {"color": "--line", "width": 1}
    return Figure(
        key="parallel",
        title="Good trials and bad ones",
        description=f"{len(ranked)} finished trials as lines through {n} axes: {', '.join(names)} and the score.",
        caption="Each line is a finished trial; where the strong lines run together, a parameter is settled."
        + (" A line passes below the axes of parameters that its trial does not have." if missing else ""),
        data=data,
        layout={
            "xaxis": {
                "tickvals": list(range(n)),
                "ticktext": names_shown,
                "ticklabeloverflow": "allow",
                "range": [-0.35, n - 0.65],
                "gridcolor": "rgba(0,0,0,0)",
            },
            "yaxis": {"visible": False, "range": [_NOT_THERE - 0.06 if missing else -0.12, 1.12]},
            "shapes": [{"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "line": line} for i in range(n)],
            "annotations": _end_labels(axes, ends),
        },
        height=420,
    )


def _ranks(ranked: Sequence[FrozenTrial]) -> list[tuple[int, str, Sequence[FrozenTrial]]]:
    """Quarters of trials, the worst first, each with its rank, 0 to 3, and name; of few the best and the others."""
    if (n := len(ranked)) < _FEW:
        return [(1, "others", ranked[:-1]), (3, "best", ranked[-1:])]
    words = ("last quarter", "third quarter", "second quarter", "best quarter")
    return [(i, word, ranked[i * n // 4 : (i + 1) * n // 4]) for i, word in enumerate(words)]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (0.0, 0.0)


def _lines(
    trials: Sequence[FrozenTrial],
    axes: Sequence[ParameterAxis],
    ends: Sequence[tuple[float, float]],
    rank: int,
    word: str,
) -> dict[str, Any]:
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        shares: list[float | None] = [
            axis.share(axis.place(trial)) if axis.name in trial.params else _NOT_THERE for axis in axes
        ]
        for value, (low, high) in zip(trial.values, ends, strict=True):
            shares.append(None if not math.isfinite(value) else 0.5 if low == high else (value - low) / (high - low))
        x += [*range(len(shares)), None]
        y += [*shares, None]
        text += [hover(trial, trial.values[0])] * len(shares) + [""]
    style: dict[str, Any] = {"mode": "lines", "line": {"color": f"--rank-{rank}", "width": (1, 1, 1.5, 2.5)[rank]}}
    style["opacity"] = 0.55 if len(trials) > 20 else 1
    return {"x": x, "y": y, "text": text, "hoverinfo": "text", "name": word, "connectgaps": False, **style}


def _end_labels(axes: Sequence[ParameterAxis], ends: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    bounds = [axis.ends for axis in axes]
    bounds += [(score(low), score(high)) for low, high in ends]
    return [
        {
            "x": i,
            "y": y,
            "text": label(cut(text, 12)),
            "showarrow": False,
            "yanchor": "top" if y == 0 else "bottom",
            "font": {"size": 11, "color": "--muted"},
        }
        for i, texts in enumerate(bounds)
        for y, text in enumerate(texts)
    ]
