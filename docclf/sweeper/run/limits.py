"""What ends a search before its total: time, which all runs of a study share, stagnation, failures."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import SearchError
from docclf.sweeper.config import Settings
from docclf.sweeper.screen.progress import format_seconds
from docclf.sweeper.study.attributes import RUN, RUNG, is_run
from docclf.sweeper.study.process import steady_now, this_process
from docclf.sweeper.study.trials import causes, counted, has_success, last_improvement

log = logging.getLogger(__name__)

# A failure rate says little about fewer trials.
_FAILURES_JUDGED_AFTER = 5
# Seconds between two entries in the study: so much is not counted of a run that is killed.
TICK_S = 1.0


class Limits:
    """The limits of one run of a search.

    Args:
        settings: Of the sweep, `timeout` in seconds.
        deadline: When the time budget ends, by `steady_now`; infinite for never.
        last_rung: Of a search that climbs, where alone it can stagnate; see `docclf.sweeper.strategy.climb`.
    """

    def __init__(
        self,
        settings: Settings,
        directions: Sequence[StudyDirection],
        deadline: float = math.inf,
        last_rung: str | None = None,
    ) -> None:
        self.settings, self.directions, self.last_rung = settings, directions, last_rung
        self.deadline = deadline
        self.reserve = 0.0  # seconds of the time budget that are kept for the finalists
        self.is_reached = False

    @property
    def spent(self) -> float:
        """Part of the time budget that is over."""
        return 1 - (self.deadline - steady_now()) / self.settings.timeout if self.settings.timeout else 0.0

    @property
    def stops_at(self) -> float:
        """When a trial that begins is asked to stop, by `steady_now`."""
        return self.deadline - self.reserve

    def is_over(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether one of them ends the search, which then is a success; says which, once."""
        self.is_reached = self.is_reached or self._reaches(trials)
        return self.is_reached

    def _reaches(self, trials: Sequence[FrozenTrial]) -> bool:
        # One trial begins in any case, so that even a budget that its start has spent says something.
        if trials and (left := self.deadline - steady_now()) <= self.reserve:
            has_finalists = left > 0 and self.settings.finalists.top_k
            kept = f"; {format_seconds(left)} is kept for the finalists" if has_finalists else ""
            log.info(f"The time budget ran out (timeout={self.settings.timeout:g} s{kept}). Raise it to continue")
            return True
        patience = self.settings.stop_when_stagnant
        judged = (t for t in counted(trials) if self.last_rung in (None, t.user_attrs.get(RUNG)))
        since = last_improvement(list(judged), self.directions) if patience else 0
        if patience and since >= patience:
            last = f"last {since} trials" if since > 1 else "last trial"
            log.info(f"Stopped by stop_when_stagnant={patience}: no better score in the {last}")
            return True
        return False

    def require_few_failures(self, trials: Sequence[FrozenTrial]) -> None:
        """Raise SearchError where more trials failed than `max_failure_rate` allows."""
        done = counted(trials)
        failed = [trial for trial in done if trial.state == TrialState.FAIL]
        rate = self.settings.max_failure_rate
        if len(done) >= _FAILURES_JUDGED_AFTER and len(failed) / len(done) > rate:
            raise SearchError(
                f"{len(failed)} of {len(done)} trials failed, more than max_failure_rate={rate:g} allows:"
                f"{causes(failed)}\n"
                "Their logs are in the trials' folders. Fix the cause and give the same command again, or allow "
                "more with hydra.sweeper.max_failure_rate."
            )

    def require_a_success(self, trials: Sequence[FrozenTrial], noun: str, way_out: str) -> None:
        """Raise SearchError where all trials failed."""
        failed = [trial for trial in counted(trials) if trial.state == TrialState.FAIL]
        if failed and not has_success(trials):
            raise SearchError(f"All {len(failed)} {noun}s failed:{causes(failed)}\n{way_out}")


class Clock:
    """Writes into a study when this run began and that it still runs, and knows when the budget is spent.

    Args:
        study: Has the same of earlier runs, and of other processes.
        started: When this run began, in seconds since 1970.
        timeout: The budget in seconds; None for no end.
    """

    def __init__(self, study: optuna.Study, started: float, timeout: float | None) -> None:
        self._study, self._started = study, started
        self._key = f"{RUN}{this_process()}"
        # When the budget ends, by `steady_now`; infinite for never.
        self.deadline = started + timeout - seconds_spent(study, started) if timeout is not None else math.inf

    def tick(self) -> None:
        """Say that this run has come to here."""
        self._study.set_user_attr(self._key, [self._started, steady_now()])


def seconds_spent(study: optuna.Study, until: float = math.inf) -> float:
    """What a study has taken of its time budget: seconds in which at least one of its runs was under way.

    Args:
        until: What lies after it, in seconds since 1970, does not count.
    """
    runs = [tuple(value) for key, value in study.user_attrs.items() if key.startswith(RUN) and is_run(value)]
    total, reached = 0.0, -math.inf
    for begin, end in sorted(runs):
        end = min(end, until)
        total += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    return total
