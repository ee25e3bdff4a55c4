"""Successive halving in which no epoch is trained twice: trials pause after a budget, and the best go on from there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import ConfigError
from docclf.sweeper.config import Settings
from docclf.sweeper.study.attributes import BUDGET, DUPLICATE_OF, NOT_COMPARABLE, RETRY_OF, ROLE, RUNG
from docclf.sweeper.study.trials import loss, seconds_of

# Time is kept for the best as if its remaining reports took so often what the first ones of a trial took.
_SLOWER = 1.3


@dataclass(frozen=True)
class Ladder:
    """Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020).

    A trial may make the reports of the lowest budget and pauses. The best of every `eta` that paused at a budget go on
    with the next one, each as another trial with the same parameters, which finds what the paused one has kept. The
    baseline does not pause, nor do the cheap trials of a search that climbs. When no more trials, or no more time, are
    left than the best needs, it goes on to the end.
    """

    budgets: tuple[int, ...]  # reports of a trial when it pauses, rising; the last is a whole trial
    eta: int  # one of so many goes on
    direction: StudyDirection  # of the study
    rung: str | None = None  # of a search that climbs, where alone trials pause: the last one

    def prepare(
        self, study: optuna.Study, trials: Sequence[FrozenTrial], n_left: float, seconds_left: float = math.inf
    ) -> None:
        """Queue what goes on now, if nothing is queued.

        Args:
            trials: All of it, in the order of their numbers.
            n_left: Trials that are still to be started.
            seconds_left: Until trials are stopped.
        """
        if any(trial.state == TrialState.WAITING for trial in trials):
            return
        if (found := self.promoted(trials, n_left, seconds_left)) is not None:
            trial, budget = found
            study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number, BUDGET: budget})

    def promoted(
        self, trials: Sequence[FrozenTrial], n_left: float = math.inf, seconds_left: float = math.inf
    ) -> tuple[FrozenTrial, int] | None:
        """The trial that goes on next, with its new budget; None for none."""
        gone_on = _gone_on(trials)
        first = [seconds_of(trial) / self.budgets[0] for trial in trials if self._has_paused(trial, self.budgets[0])]
        affordable = seconds_left / (_SLOWER * mean(first)) if first and math.isfinite(seconds_left) else math.inf
        for place in range(len(self.budgets) - 2, -1, -1):
            paused = [trial for trial in trials if self._has_paused(trial, self.budgets[place])]
            paused.sort(key=lambda trial: loss(trial.intermediate_values[self.budgets[place] - 1], self.direction))
            is_last = n_left < len(self.budgets) - place or affordable < self.budgets[-1] - self.budgets[place]
            best = paused[: max(len(paused) // self.eta, int(is_last))]
            waiting = [trial for trial in best if trial.number not in gone_on]
            if waiting:
                return waiting[0], self.budgets[place + 1]
        return None

    def is_waiting(self, trials: Sequence[FrozenTrial], n_left: float) -> bool:
        """Whether all that are left are kept for a trial that went on and still runs: it may go on to the end."""
        running = [
            t.user_attrs.get(BUDGET) for t in trials if t.state == TrialState.RUNNING and RETRY_OF in t.user_attrs
        ]
        places = [self.budgets.index(budget) for budget in running if budget in self.budgets]
        return any(n_left < len(self.budgets) - place for place in places if place < len(self.budgets) - 1)

    def budget(self, trial: FrozenTrial) -> int | None:
        """What a trial gets that has none yet; None where it does not pause."""
        is_whole = trial.number == 0 or ROLE in trial.user_attrs or trial.user_attrs.get(RUNG) != self.rung
        return None if is_whole else self.budgets[0]

    def _has_paused(self, trial: FrozenTrial, budget: int) -> bool:
        return (
            trial.state == TrialState.PRUNED
            and not {DUPLICATE_OF, NOT_COMPARABLE} & trial.user_attrs.keys()  # they have kept nothing to go on from
            and trial.user_attrs.get(BUDGET) == budget
            and budget - 1 in trial.intermediate_values
        )


def _gone_on(trials: Sequence[FrozenTrial]) -> set[int]:
    """Numbers of the trials that another one went on from; in a merged study its parameters alone tell."""
    furthest: dict[Any, int] = {}
    comparable = [trial for trial in trials if NOT_COMPARABLE not in trial.user_attrs]
    for trial in comparable:
        params = frozenset(trial.params.items())
        furthest[params] = max(_reach(trial), furthest.get(params, 0))
    further = {t.number for t in comparable if furthest[frozenset(t.params.items())] > _reach(t)}
    return further | {trial.user_attrs[RETRY_OF] for trial in trials if RETRY_OF in trial.user_attrs}


def _reach(trial: FrozenTrial) -> int:
    """Reports that a trial has made, or may make before it pauses."""
    budget: int = trial.user_attrs.get(BUDGET, 0)
    return max(budget, 1 + max(trial.intermediate_values, default=-1))


def read_ladder(
    settings: Settings, steps: int | None, directions: Sequence[str], rung: str | None = None
) -> Ladder | None:
    """Read and check `ladder`; None without one.

    Args:
        steps: Reports of a whole trial, as the preflight knows it.
        directions: minimize or maximize, for each objective.
        rung: The last one of a search that climbs.

    Raises:
        ConfigError: It cannot be climbed.
    """
    eta = settings.ladder
    if eta is None:
        return None
    if len(directions) > 1:
        raise ConfigError(
            f"Expected one objective with `hydra.sweeper.ladder`, got {len(directions)}. "
            "Say hydra.sweeper.ladder=null, or one objective."
        )
    if steps is None or steps < eta:
        raise ConfigError(
            f"Expected trials of at least {eta} reports with `hydra.sweeper.ladder={eta}`, got "
            f"{'a number that the preflight does not tell' if steps is None else steps}. Say validation.epochs=3 or "
            "more, or search without a ladder."
        )
    n = int(math.log(steps, eta) + 1e-9)
    budgets = dict.fromkeys(math.ceil(steps / eta**place) for place in range(n, -1, -1))
    return Ladder(tuple(budgets), eta, StudyDirection[directions[0].upper()], rung)
