"""Suggestions that were tried before: of discrete parameters, the known result is told instead of run again."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.optuna_private import id_of
from docclf.sweeper.study.attributes import DUPLICATE_OF, ITS_OWN, NOT_COMPARABLE
from docclf.sweeper.study.outcome import Outcome


def find_twin(trial: optuna.Trial, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The earlier trial with a result and the same parameters; None without one, or where a parameter is continuous.

    Of several, as of a ladder where a trial goes on in another one, the first of those that came furthest.
    """
    discrete = (isinstance(d, CategoricalDistribution) or d.step is not None for d in trial.distributions.values())  # type: ignore[attr-defined]
    if not all(discrete):
        return None
    known = (TrialState.COMPLETE, TrialState.PRUNED)
    ended = (t for t in trials if t.state in known and NOT_COMPARABLE not in t.user_attrs)
    twins = [t for t in ended if t.params == trial.params]
    far = [(t.state == TrialState.COMPLETE, max(t.intermediate_values, default=-1)) for t in twins]
    return twins[far.index(max(far))] if twins else None


def take_over(trial: optuna.Trial, twin: FrozenTrial) -> Outcome:
    """Give a trial what its twin has measured, but not what is the twin's own; how it ends."""
    for key, value in twin.user_attrs.items():
        if key not in ITS_OWN:
            trial.set_user_attr(key, value)
    trial.set_user_attr(DUPLICATE_OF, twin.user_attrs.get(DUPLICATE_OF, twin.number))
    for step, value in twin.intermediate_values.items():
        trial.storage.set_trial_intermediate_value(id_of(trial), step, value)
    for key, value in twin.constraints.items():
        trial.set_constraint(key, value)
    return Outcome(twin.state, tuple(twin.values) if twin.state == TrialState.COMPLETE else None)
