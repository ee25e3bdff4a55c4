"""Pictures of parameters against the score: parallel coordinates, slices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.results.report.figures.course import hover
from docclf.results.report.figures.figure import Figure, brief, cut, label, points, thinned, whole_ticks
from docclf.results.report.subject import Subject, last_value
from docclf.sweeper.space.grammar import to_text

_POINTS = 400
_LINES = 300
_PARAMETERS = 12
_FEW = 8  # trials that have no quarters yet
_NOT_THERE = -0.2  # height of a line where its trial does not have the parameter, in fractions of an axis


@dataclass(frozen=True)
class Axis:
    """Where the values of a parameter, or of an objective, stand."""

    name: str  # of the parameter, in the study, or of the objective
    places: Mapping[int, float]  # number of each trial that has it to its place: the number, or the index of the choice
    choices: Sequence[str] | None = None  # in order, as texts; None for numbers
    log: bool = False  # whether numbers are searched on a logarithmic scale
    is_whole: bool = False  # whether its numbers are integers

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Places of its lowest and its highest value."""
        if self.choices is not None:
            return 0.0, len(self.choices) - 1.0
        return min(self.places.values(), default=0.0), max(self.places.values(), default=0.0)

    def height(self, trial: FrozenTrial) -> float:
        """A trial's place, from 0 to 1 between the lowest and the highest; below where it has none."""
        if trial.number not in self.places:
            return _NOT_THERE
        low, high, place = (math.log(x) if self.log else x for x in (*self.bounds, self.places[trial.number]))
        return 0.5 if high == low else (place - low) / (high - low)

    @property
    def ends(self) -> tuple[str, str]:
        """Its first and its last value as texts."""
        low, high = map(brief, self.bounds)
        return (self.choices[0], self.choices[-1]) if self.choices else (low, high)

    @property
    def layout(self) -> dict[str, Any]:
        """Plotly's layout of the axis."""
        title = {"text": label(cut(self.name, 44))}
        if self.choices is not None:
            ticks = [label(cut(choice, 16)) for choice in self.choices]
            n = len(ticks)
            return {"title": title, "tickvals": list(range(n)), "ticktext": ticks, "range": [-0.5, n - 0.5]}
        layout = {"title": title, "exponentformat": "e"}  # as configs have it, not 10μ
        low, high = self.bounds
        if self.log and high > 9 * low:
            return layout | {"type": "log", "dtick": 1}
        return layout | (whole_ticks(low, high) if self.is_whole else {})


def ordered(subject: Subject, first: Sequence[str]) -> list[str]:
    """At most a dozen parameters that were varied, the most important first."""
    names = [*first, *(name for name in names_of(subject.trials) if name not in first)]
    varied = [name for name in names if len({brief(t.params[name]) for t in subject.trials if name in t.params}) > 1]
    return varied[:_PARAMETERS]


def slices(subject: Subject, names: Sequence[str]) -> list[Figure]:
    """Value against each parameter alone."""
    scored = [t for t in subject.comparable if last_value(t) is not None and t.state != TrialState.RUNNING]
    if not scored:
        return []
    return [_slice(subject, i, axis_of(name, subject.trials), scored) for i, name in enumerate(names)]


def _slice(subject: Subject, i: int, axis: Axis, scored: Sequence[FrozenTrial]) -> Figure:
    base, chosen = subject.baseline, subject.chosen
    having = [t for t in scored if t.number in axis.places]
    kept = [having[k] for k in thinned(len(having), _POINTS)]
    n_without = len(scored) - len(having)
    special = {"baseline": (base, "diamond", "--orange"), "best": (chosen, "star", "--red")}
    data = [
        _scatter([t for t in kept if t.state == TrialState.PRUNED], axis, "pruned", "--quiet", "circle-open", 7),
        _scatter([t for t in kept if t.state == TrialState.COMPLETE], axis, "complete", "--blue", "circle", 8),
        *(
            _scatter([t] if t is not None and t.number in axis.places else [], axis, word, colour, symbol, 13)
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
    trials: Sequence[FrozenTrial], axis: Axis, name: str, colour: str, symbol: str, size: int
) -> dict[str, Any]:
    places = [axis.places[t.number] for t in trials]
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
    for i, name in enumerate(subject.objectives):
        axes.append(Axis(name, {t.number: t.values[i] for t in complete if math.isfinite(t.values[i])}))
    n = len(axes)
    missing = any(t.number not in axis.places for t in ranked for axis in axes)
    return Figure(
        key="parallel",
        title="Good trials and bad ones",
        description=f"{len(ranked)} finished trials as lines through {n} axes: {', '.join(names)} and the score.",
        caption="Each line is a finished trial; where the strong lines run together, a parameter is settled."
        + (" A line passes below the axes of what its trial does not have." if missing else ""),
        data=[_lines(some, axes, rank, word) for rank, word, some in _ranks(ranked)],
        layout={
            "xaxis": {
                "tickvals": list(range(n)),
                "ticktext": [label(cut(axis.name, 18)) for axis in axes],
                "ticklabeloverflow": "allow",
                "range": [-0.35, n - 0.65],
                "gridcolor": "--line",
            },
            "yaxis": {"visible": False, "range": [_NOT_THERE - 0.06 if missing else -0.12, 1.12]},
            "annotations": _end_labels(axes),
        },
        height=420,
    )


def _ranks(ranked: Sequence[FrozenTrial]) -> list[tuple[int, str, Sequence[FrozenTrial]]]:
    """Quarters of trials, the worst first, each with its rank, 0 to 3, and name; of few the best and the others."""
    if (n := len(ranked)) < _FEW:
        return [(1, "others", ranked[:-1]), (3, "best", ranked[-1:])]
    words = ("last quarter", "third quarter", "second quarter", "best quarter")
    return [(i, word, ranked[i * n // 4 : (i + 1) * n // 4]) for i, word in enumerate(words)]


def _lines(trials: Sequence[FrozenTrial], axes: Sequence[Axis], rank: int, word: str) -> dict[str, Any]:
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        x += [*range(len(axes)), None]
        y += [*(axis.height(trial) for axis in axes), None]
        text += [hover(trial, trial.values[0])] * len(axes) + [""]
    style: dict[str, Any] = {"mode": "lines", "line": {"color": f"--rank-{rank}", "width": (1, 1, 1.5, 2.5)[rank]}}
    style["opacity"] = 0.55 if len(trials) > 20 else 1
    return {"x": x, "y": y, "text": text, "hoverinfo": "text", "name": word, "connectgaps": False, **style}


def _end_labels(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    return [
        {
            "x": i,
            "y": y,
            "text": label(cut(text, 12)),
            "showarrow": False,
            "yanchor": "top" if y == 0 else "bottom",
            "font": {"size": 11, "color": "--muted"},
        }
        for i, axis in enumerate(axes)
        for y, text in enumerate(axis.ends)
    ]


def axis_of(name: str, trials: Sequence[FrozenTrial]) -> Axis:
    """The axis for all values, at least one, that trials have of a parameter; trials without it do not matter."""
    having = {trial.number: trial.params[name] for trial in trials if name in trial.params}
    distribution = next(trial.distributions[name] for trial in trials if name in trial.params)
    if isinstance(distribution, FloatDistribution | IntDistribution):
        places = {number: float(value) for number, value in having.items()}
        is_log, is_whole = distribution.log and min(places.values()) > 0, isinstance(distribution, IntDistribution)
        return Axis(name, places, log=is_log, is_whole=is_whole)
    assert isinstance(distribution, CategoricalDistribution)
    choices = list(dict.fromkeys(map(to_text, [*distribution.choices, *having.values()])))
    return Axis(name, {number: choices.index(to_text(value)) for number, value in having.items()}, choices)


def names_of(trials: Sequence[FrozenTrial]) -> list[str]:
    """Parameters in the order in which they appear."""
    return list({name: None for trial in trials for name in trial.params})
