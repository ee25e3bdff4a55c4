"""The axis of a parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from docclf.results.report.figures.figure import brief, cut, label
from docclf.sweeper.space.grammar import to_text

_FEW_WHOLE = 10  # from the lowest to the highest; beyond, Plotly's own ticks are integers


@dataclass(frozen=True)
class ParameterAxis:
    """Where the values of a parameter stand.

    Attributes:
        name: Of the parameter, in the study.
        choices: In order, as texts; None for numbers.
        log: Whether numbers are searched on a logarithmic scale.
        low: Lowest value of all trials.
        high: Highest value of all trials.
        is_whole: Whether its numbers are integers.
    """

    name: str
    choices: Sequence[str] | None
    log: bool
    low: float
    high: float
    is_whole: bool = False

    def place(self, trial: FrozenTrial) -> float:
        """A trial's place: the number, or the index of the choice; NaN where the trial has not the parameter."""
        if self.name not in trial.params:
            return math.nan
        value = trial.params[self.name]
        return float(self.choices.index(to_text(value)) if self.choices is not None else value)

    def share(self, place: float) -> float:
        """A place from 0 to 1 between the lowest and the highest."""
        low, high, place = (math.log(x) if self.log else x for x in (self.low, self.high, place))
        return 0.5 if high == low else (place - low) / (high - low)

    @property
    def ends(self) -> tuple[str, str]:
        """Its first and its last value as texts."""
        return (self.choices[0], self.choices[-1]) if self.choices else (brief(self.low), brief(self.high))

    @property
    def layout(self) -> dict[str, Any]:
        """Plotly's layout of the axis."""
        title = {"text": label(cut(self.name, 44))}
        if self.choices is not None:
            ticks = [label(cut(choice, 16)) for choice in self.choices]
            n = len(ticks)
            return {"title": title, "tickvals": list(range(n)), "ticktext": ticks, "range": [-0.5, n - 0.5]}
        layout = {"title": title, "exponentformat": "e"}  # as configs have it, not 10μ
        if self.log and self.high > 9 * self.low:
            return layout | {"type": "log", "dtick": 1}
        return layout | (whole_ticks(self.low, self.high) if self.is_whole else {})


def whole_ticks(low: float, high: float) -> dict[str, Any]:
    """Layout of an axis of integers: few of them, and Plotly would put a tick at 0.5.

    >>> whole_ticks(0, 2), whole_ticks(0, 100)
    ({'dtick': 1, 'range': [-0.5, 2.5]}, {})
    """
    return {"dtick": 1, "range": [low - 0.5, high + 0.5]} if high - low <= _FEW_WHOLE else {}


def axis_of(name: str, trials: Sequence[FrozenTrial]) -> ParameterAxis:
    """The axis for all values, at least one, that trials have of a parameter; trials without it do not matter."""
    having = [trial for trial in trials if name in trial.params]
    distribution = having[0].distributions[name]
    if isinstance(distribution, FloatDistribution | IntDistribution):
        values = [float(trial.params[name]) for trial in having]
        is_log, is_whole = distribution.log and min(values) > 0, isinstance(distribution, IntDistribution)
        return ParameterAxis(name, None, is_log, min(values), max(values), is_whole)
    assert isinstance(distribution, CategoricalDistribution)
    seen = dict.fromkeys(map(to_text, [*distribution.choices, *(t.params[name] for t in having)]))
    return ParameterAxis(name, list(seen), False, 0.0, float(len(seen) - 1))


def names_of(trials: Sequence[FrozenTrial]) -> list[str]:
    """Parameters in the order in which they appear."""
    return list({name: None for trial in trials for name in trial.params})
