"""Who is re-evaluated: the baseline and the best trials, a reference, members of an ensemble."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.run.opening.request import named_function
from docclf.sweeper.run.opening.study import SearchContext
from docclf.sweeper.space.finalist_overrides import encoded, to_overrides
from docclf.sweeper.space.parameters import key_of
from docclf.sweeper.study.attributes import AGAIN, DUPLICATE_OF, EXPECTED, FLOORS, MEMBER, REFERENCE, ROLE, RUNG
from docclf.sweeper.study.finalists import mark, scored, source_number
from docclf.sweeper.study.trials import baseline_of, best_trials, is_allowed, loss, seconds_of

log = logging.getLogger(__name__)


def choose_finalists(trials: Sequence[FrozenTrial], direction: StudyDirection, top_k: int) -> list[FrozenTrial]:
    """The baseline, where there is one, and the `top_k` best other trials."""
    baseline = [base] if (base := baseline_of(trials)) is not None else []
    seen = [t.params for t in baseline]
    best: list[FrozenTrial] = []
    for trial in best_trials(trials, direction):
        if len(best) < top_k and DUPLICATE_OF not in trial.user_attrs and trial.params not in seen:
            seen.append(trial.params)
            best.append(trial)
    return [*baseline, *best]


@dataclass(frozen=True)
class Entrant:
    """Who is to be scored: draws, and user attributes that the finalist has besides its mark."""

    params: Mapping[str, Any]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, trial: FrozenTrial, trials: Sequence[FrozenTrial], **more: Any) -> Entrant:
        """The one that re-evaluates a trial of a study."""
        kept = {key: trial.user_attrs[key] for key in (ROLE, RUNG) if key in trial.user_attrs}
        seconds = seconds_of(trial)
        if trial.number == 0:  # which computed what others find computed
            alike = (t for t in trials[1:] if t.user_attrs.get(RUNG) == trial.user_attrs.get(RUNG))
            seconds = min([seconds, *(seconds_of(t) for t in alike if t.state == TrialState.COMPLETE)])
        return cls(trial.params, {**kept, EXPECTED: trial.user_attrs.get(AGAIN, seconds), **more})


def best_reference(context: SearchContext) -> dict[str, Entrant]:
    """The best reference that scores better than the winner where that was scored, by its mark; empty without one.

    Its draws are those of the winner as far as its overrides leave them: a floor depends on the model and the page's
    size. What the overrides set that is not in the space, the job gets besides.
    """
    settings, study = context.settings.finalists, context.study
    trials = study.get_trials(deepcopy=False)
    searched = (t for t in scored(study) if REFERENCE not in t.user_attrs)
    winner = next((t for t in searched if is_allowed(trials[source_number(t)])), None)
    if winner is None or not settings.references:
        return {}
    best = loss(winner.values[0], study.direction)
    losses = {name: loss(floor, study.direction) for name, floor in winner.user_attrs.get(FLOORS, {}).items()}
    better = [name for name in losses if name in settings.references and losses[name] < best]
    if not better:
        return {}
    name, base = min(better, key=lambda name: losses[name]), trials[source_number(winner)]
    log.info(f"The winner is worse than the reference {name} on the same folds, which is scored too")
    values = {key_of(draw): value for draw, value in base.params.items()} | encoded(settings.references[name])
    params = context.request.space.fitting(values)
    return {mark(base.number, to_overrides(settings.overrides), name): Entrant(params, {REFERENCE: name})}


def members_of(context: SearchContext) -> dict[str, Entrant]:
    """The trials that `members` asks for, by their marks; empty without any, and where that fails."""
    settings = context.settings.finalists
    try:
        if (members := named_function(settings.members, "finalists.members", context.listed)) is None:
            return {}
        numbers = members(context.study, context.directory, context.config)
    except Exception:  # the winner is not to be lost by it
        log.exception(f"Could not choose members of an ensemble by {settings.members}")
        return {}
    trials = context.study.get_trials(deepcopy=False)
    overrides = to_overrides(settings.overrides)
    found = {
        mark(number, overrides, MEMBER): Entrant.of(trials[number], trials, **{REFERENCE: MEMBER}) for number in numbers
    }
    if found:
        log.info(
            f"An ensemble scores better by the trials' predictions: {len(found)} more of its members are scored too"
        )
    return found
