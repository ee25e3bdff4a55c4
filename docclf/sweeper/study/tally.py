"""What a search has come to so far, kept up with by looking at what is new."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.screen.forecast import Cost, Plan, finalists_seconds, seconds_left
from docclf.sweeper.study.attributes import AGAIN, DUPLICATE_OF, EXPECTED, INTERRUPTED, RUNG
from docclf.sweeper.study.process import steady_now
from docclf.sweeper.study.trials import baseline_of, loss, may_win, seconds_of

# How much longer than the first finalist needs time is kept for it.
_LATE = 1.3
# Trials whose steps say how late a trial sees that its time is over.
_LATEST = 8


class Tally:
    """Counts, costs and the best of a study's trials; each is looked at until it has ended, and then no more."""

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self._directions = list(directions)
        self._open: list[int] = []
        self._expected = 0.0  # seconds of finalists that wait or run, as their trials took
        self._n_seen = 0
        # Those that were interrupted and are tried again count nowhere.
        self.complete = self.pruned = self.failed = 0
        self.costs: list[Cost] = []  # of all these, in the order in which they were seen to end
        self.scores: list[tuple[TrialState, float | None]] = []  # and the first objective where they are complete
        self.best: list[FrozenTrial | None] = [None for _ in directions]  # of each objective, once one is complete
        self.running: list[FrozenTrial] = []
        self._baseline: list[str] = []  # its rung, if it is complete
        self._ranked: list[tuple[float, str]] = []  # first objective, smaller is better, and rung of the others

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Look at what is new among all trials of the study, given in the order of their numbers."""
        still_open = []
        self.running, self._expected = [], 0.0
        for number in [*self._open, *range(self._n_seen, len(trials))]:
            trial = trials[number]
            if trial.state.is_finished():
                self._add(trial)
                continue
            still_open.append(number)
            self._expected += trial.user_attrs.get(EXPECTED, 0.0)
            if trial.state == TrialState.RUNNING:
                self.running.append(trial)
        self._open, self._n_seen = still_open, len(trials)

    def _add(self, trial: FrozenTrial) -> None:
        if trial.user_attrs.get(INTERRUPTED):
            return
        is_complete = trial.state == TrialState.COMPLETE
        self.complete += is_complete
        self.pruned += trial.state == TrialState.PRUNED
        self.failed += trial.state == TrialState.FAIL
        self.scores.append((trial.state, trial.values[0] if is_complete else None))
        rung = trial.user_attrs.get(RUNG, "")
        if DUPLICATE_OF in trial.user_attrs:
            self.costs.append(Cost(0.0, 0, rung=rung))
        else:
            seconds = seconds_of(trial)
            steps, again = len(trial.intermediate_values) or int(is_complete), trial.user_attrs.get(AGAIN)
            self.costs.append(Cost(seconds, steps, is_complete, rung, again))
        is_valid = may_win(trial)
        if baseline_of([trial]) is not None:
            self._baseline = [rung]
        elif is_valid and DUPLICATE_OF not in trial.user_attrs:
            insort(self._ranked, (loss(trial.values[0], self._directions[0]), rung))
        if is_valid:
            self.best = [
                trial if best is None or loss(trial.values[i], direction) < loss(best.values[i], direction) else best
                for i, (best, direction) in enumerate(zip(self.best, self._directions, strict=True))
            ]

    def finalists(self, n: int) -> list[str]:
        """Rungs of the trials that would be re-evaluated, at most `n`: the baseline and the best others."""
        return [*self._baseline, *(rung for _, rung in self._ranked[:n])][:n]

    def finalists_seconds(self, plan: Plan) -> float:
        """How long it will take to re-evaluate the best, with one that may be found yet.

        The best one goes first, and begins where there is as much time as it took: without it, none is re-evaluated.
        """
        known = self.finalists(plan.n_finalists)
        more = [self.costs[-1].rung] if known and len(known) < plan.n_finalists else []
        # The first trials compute what others find computed.
        if len(self.costs) <= plan.workers and all(cost.again is None for cost in self.costs):
            known, more = known[:1], []
        best = self.best[0] if known else None
        # Trial 0 computed what others find computed.
        first = 0.0 if best is None else best.user_attrs.get(AGAIN, seconds_of(best) if best.number else 0.0)
        # A trial looks at the clock between its steps.
        steps = [cost.seconds / cost.steps for cost in self.costs[-_LATEST:] if cost.steps > 1]
        step = max(steps, default=0.0) if known else 0.0
        return max(finalists_seconds(plan, self.costs, [*known, *more]), _LATE * first) + step

    def seconds_left(self, plan: Plan, deadline: float) -> float | None:
        """How long the rest will take; None before anything can be said, and when nothing is left.

        Args:
            deadline: When the search stops, by `steady_now`; infinite for never.
        """
        if len(self.costs) >= plan.total and not plan.n_finalists:
            return None
        now, limit = time.time(), deadline - steady_now()
        running = [
            Cost(seconds_run(trial, now), len(trial.intermediate_values), rung=trial.user_attrs.get(RUNG, ""))
            for trial in self.running
        ]
        found = seconds_left(plan, self.costs, running, limit, self.finalists(plan.n_finalists))
        if found is None and self._expected:  # before a finalist has ended
            expected = max(self._expected - sum(cost.seconds for cost in running), 0.0) / plan.workers
            return min(expected, max(limit, 0.0))
        return found


def seconds_run(trial: FrozenTrial, now: float) -> float:
    """How long a running trial has run until `now`, in seconds since 1970."""
    return max(now - trial.datetime_start.timestamp(), 0.0) if trial.datetime_start else 0.0
