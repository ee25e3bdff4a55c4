"""What a study holds beside its trials' values: who runs a trial, which count, why one failed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.optuna_private import id_of, storage_of
from docclf.sweeper.storage.patience import back_since
from docclf.sweeper.study.attributes import (
    BEAT,
    CAUSE,
    DUPLICATE_OF,
    FINALIST,
    INTERRUPTED,
    NOT_COMPARABLE,
    OWNER,
    RETRY_OF,
    ROLE,
)
from docclf.sweeper.study.process import is_here, runs_here

BEAT_S = 30.0
STALE_AFTER_S = 5 * BEAT_S


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that count towards the total: all finished ones but the interrupted."""
    return [t for t in trials if t.state.is_finished() and not t.user_attrs.get(INTERRUPTED)]


def has_success(trials: Sequence[FrozenTrial]) -> bool:
    """Whether a trial came to its end, or was only stopped because others are better."""
    return any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)


def seconds_of(trial: FrozenTrial) -> float:
    """Wall-clock time of a trial; 0 before it has ended."""
    return trial.duration.total_seconds() if trial.duration else 0.0


def loss(value: float, direction: StudyDirection) -> float:
    """A value turned so that smaller is better.

    >>> loss(0.9, StudyDirection.MAXIMIZE), loss(0.9, StudyDirection.MINIMIZE)
    (-0.9, 0.9)
    """
    return -value if direction == StudyDirection.MAXIMIZE else value


def is_allowed(trial: FrozenTrial) -> bool:
    """Whether a trial came to its end and keeps to all constraints."""
    return trial.state == TrialState.COMPLETE and all(excess <= 0 for excess in trial.constraints.values())


def may_win(trial: FrozenTrial) -> bool:
    """Whether a trial is one that the best is chosen of: of a merged study, its score can be compared, too."""
    return is_allowed(trial) and NOT_COMPARABLE not in trial.user_attrs


def best_trials(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """The trials that may win, the best value first, equals in the order of `trials`."""
    return sorted(filter(may_win, trials), key=lambda t: loss(t.values[0], direction))


def best_trial(trials: Sequence[FrozenTrial], direction: StudyDirection) -> FrozenTrial | None:
    """The first of `best_trials`; None without one."""
    return next(iter(best_trials(trials, direction)), None)


def baseline_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The config as it was without the search, where it came to its end and its score can be compared."""
    ended = (t for t in trials if t.state == TrialState.COMPLETE and NOT_COMPARABLE not in t.user_attrs)
    return next((trial for trial in ended if trial.user_attrs.get(ROLE) == "baseline"), None)


def front(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """The trials that no other one beats in every objective."""
    losses = [[*map(loss, trial.values, directions)] for trial in trials]
    return [
        trial
        for trial, mine in zip(trials, losses, strict=True)
        if not any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in losses)
    ]


def front_of(study: optuna.Study) -> list[FrozenTrial]:
    """The Pareto front of the trials that may win."""
    found = study.best_trials
    if all(map(may_win, found)):  # by far the most, and Optuna is fast
        return found
    return front([*filter(may_win, study.get_trials(deepcopy=False))], study.directions)


def folder_number(trial: FrozenTrial) -> int:
    """Number of the trial in whose folder its results are; what others wrote into the study is no path."""
    number = trial.user_attrs.get(DUPLICATE_OF)
    return number if type(number) is int and number >= 0 else trial.number


def how_scored(trial: FrozenTrial) -> str:
    """The overrides that a finalist is re-evaluated with; empty for a trial of a search."""
    return str(trial.user_attrs.get(FINALIST, "")).partition(" ")[2]


def fail_stale(study: optuna.Study) -> None:
    """Fail the trials that a dead process, or this one at its end, left running."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # Optuna does not say the time zone of a start.
        started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        if not is_alive(trial.user_attrs, started):
            interrupt(study, id_of(trial), "process", "interrupted: the process that ran it ended")


def interrupt(study: optuna.Study, trial_id: int, why: str, cause: str) -> None:
    """Fail a trial whose parameters shall be tried again."""
    storage = storage_of(study)
    with suppress(UpdateFinishedTrialError):  # another process came first
        storage.set_trial_user_attr(trial_id, INTERRUPTED, why)
        storage.set_trial_user_attr(trial_id, CAUSE, cause)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)


def is_alive(attributes: Mapping[str, Any], started: float = 0.0) -> bool:
    """Whether the process lives that has a trial, or the finalists of a search.

    Args:
        attributes: Of the trial or the study.
        started: When it began, in seconds since 1970, which counts before its first heartbeat.
    """
    owner = attributes.get(OWNER)
    if owner is not None and is_here(owner):
        return runs_here(owner)
    silent = time.time() - max(attributes.get(BEAT, started), back_since())  # elsewhere: by its heartbeat
    # Without an owner it was asked for at this very moment, or its process died at that.
    return bool(silent < (1.0 if owner is None else STALE_AFTER_S))


def earlier(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> list[int]:
    """Numbers of the interrupted trials that had this one's parameters before, the latest first.

    Args:
        trials: All of the study, in the order of their numbers.
    """
    numbers: list[int] = []
    while (number := trial.user_attrs.get(RETRY_OF, trial.number)) < trial.number:  # others may have written a circle
        numbers.append(number)
        trial = trials[number]
    return numbers


def last_improvement(done: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> int:
    """How many trials ended since the best one, or since the last one on the Pareto front."""
    in_order = sorted(done, key=lambda t: t.datetime_complete.timestamp() if t.datetime_complete else 0.0)
    front: list[list[float]] = []
    since = 0
    for trial in in_order:
        since += 1
        if not may_win(trial):
            continue
        losses = list(map(loss, trial.values, directions))
        if not any(all(a <= b for a, b in zip(other, losses, strict=True)) for other in front):
            front = [o for o in front if not all(a <= b for a, b in zip(losses, o, strict=True))] + [losses]
            since = 0
    return since


def causes(trials: Sequence[FrozenTrial]) -> str:
    """Why trials failed, grouped, the most frequent first; a line each."""
    counts = Counter(str(t.user_attrs.get(CAUSE, "unknown cause")) for t in trials if t.state == TrialState.FAIL)
    return "".join(f"\n  {n} x {cause}" for cause, n in counts.most_common())
