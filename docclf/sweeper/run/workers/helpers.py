"""Workers without a trial of their own, which help those that have one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import optuna
from hydra.core.utils import JobReturn, JobStatus

from docclf.errors import error_text
from docclf.sweeper.hydra_private import returned
from docclf.sweeper.run.workers.launchers import death

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A job that runs, or is about to.

    Attributes:
        trial: Its trial.
        overrides: Of its config.
        helps: Whether another job has the trial, and this one helps it.
    """

    trial: optuna.Trial
    overrides: tuple[str, ...]
    helps: bool = False


class Helpers:
    """Chooses whom to help.

    Args:
        most: Helpers of a trial at the same time.
        noun: What a trial is called.
    """

    def __init__(self, most: int, noun: str) -> None:
        self.most, self.noun = most, noun
        self.running: Counter[int] = Counter()
        """Number of a trial to how many help it now."""
        self._is_all_taken: set[int] = set()  # numbers of trials of which all is done, or under way

    def next(self, jobs: Sequence[Job]) -> Job | None:
        """One more helper for the trial that has the fewest, of several the latest; None where none needs any.

        Args:
            jobs: Those that run; what is returned is the next of them.
        """
        helped = {job.trial.number: job for job in jobs if not job.helps}
        open_ones = [n for n in helped if n not in self._is_all_taken and self.running[n] < self.most]
        if not open_ones:
            return None
        number = min(open_ones, key=lambda n: (self.running[n], -n))
        self.running[number] += 1
        return replace(helped[number], helps=True)

    def end(self, number: int, future: Future[JobReturn]) -> None:
        """Send no more to a trial whose helper has found nothing more to do, or has failed, which harms nobody."""
        self.running[number] -= 1
        self._is_all_taken.add(number)
        error = future.exception()
        if error is None and future.result().status == JobStatus.FAILED:
            error = returned(future.result())
        if error is not None:
            cause = death(error) or error_text(error)
            log.warning(f"{self.noun} {number} goes on without its helper: {cause}")
