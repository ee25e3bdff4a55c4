"""What waits in a study: parameters of interrupted trials, to be tried again, and entries that do not belong there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.optuna_private import id_of
from docclf.sweeper.study.attributes import (
    BUDGET,
    CARRIED,
    ENQUEUED,
    EXPECTED,
    FINALIST,
    INTERRUPTED,
    REFERENCE,
    RETRY_OF,
    ROLE,
    RUNG,
    WANTED,
)
from docclf.sweeper.study.trials import earlier, interrupt

log = logging.getLogger(__name__)

# What a trial that is tried again keeps
_KEPT = (BUDGET, CARRIED, ENQUEUED, EXPECTED, FINALIST, REFERENCE, ROLE, RUNG)


def retry_interrupted(study: optuna.Study, trials: Sequence[FrozenTrial] | None = None) -> None:
    """Queue the parameters of interrupted trials again.

    Those of a second death of the process that came no further than the first are not queued again: they may be what
    kills it. The baseline of a search always is, and so is what only ran out of time.

    Args:
        trials: All of the study as they are now, in the order of their numbers; None to look them up.
    """
    trials = study.get_trials(deepcopy=False) if trials is None else trials
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    wanted = study.user_attrs.get(WANTED, [None])  # all trials of a search, but not all finalists
    for trial in trials:
        why = trial.user_attrs.get(INTERRUPTED)
        # One that died between queue and start has its parameters in the queue's note alone.
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        is_baseline = trial.user_attrs.get(ROLE) == "baseline" and FINALIST not in trial.user_attrs
        again = is_baseline or why != "process" or not died_before(trial, trials)
        again = again and trial.user_attrs.get(FINALIST) in wanted
        # Between its note and its end a trial is still its process's.
        is_over = why and why != "unwanted" and trial.state.is_finished()
        if is_over and trial.number not in retried and params and again:
            kept = {key: trial.user_attrs[key] for key in _KEPT if key in trial.user_attrs}
            study.enqueue_trial(params, user_attrs={RETRY_OF: trial.number, **kept})


def died_before(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a process that ran these parameters has died, and none has come further since.

    A machine that is started again and again ends a trial each time at another place; what kills a process, at one.

    Args:
        trials: All of the study, in the order of their numbers.
    """
    reached = _last_step(trial)
    for number in earlier(trial, trials):
        before = trials[number]
        if before.user_attrs.get(INTERRUPTED) == "process" and _last_step(before) >= reached:
            return True
        reached = max(reached, _last_step(before))
    return False


def _last_step(trial: FrozenTrial) -> int:
    return max(trial.intermediate_values, default=-1)


def drop_queued_twice(study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
    """Take out of the queue what stands there though it was queued before, by another process at the same moment.

    Args:
        trials: All of the study, in the order of their numbers.
    """
    seen = set()
    for trial in trials:
        keys = (RETRY_OF, ENQUEUED) if FINALIST in trial.user_attrs else (RETRY_OF, ENQUEUED, ROLE)
        known = [(key, trial.user_attrs[key]) for key in keys if key in trial.user_attrs]
        mark = next(iter(known), None)  # a retry keeps the entry of what it tries again
        if mark in seen and trial.state == TrialState.WAITING:
            interrupt(study, id_of(trial), "unwanted", "queued twice")
        if mark is not None:
            seen.add(mark)


def drop_foreign(study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
    """Take out of the queue what has parameters already: those of a search are drawn when their turn comes.

    Args:
        trials: All of the study.
    """
    for trial in trials:
        if trial.state == TrialState.WAITING and trial.params:
            interrupt(study, id_of(trial), "unwanted", "queued with parameters that no search has drawn")
            log.warning(f"trial {trial.number} was queued by another program, with parameters, and is left out")
