"""The time budget of a study: wall-clock of all its runs, without the time between them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import optuna

from docclf.sweeper.study.attributes import RUN, is_run
from docclf.sweeper.study.process import steady_now, this_process

# Seconds between two entries in the study: so much is not counted of a run that is killed.
TICK_S = 1.0


class Clock:
    """Writes into a study when this run began and that it still runs, and knows when the budget is spent.

    Args:
        study: Has the same of earlier runs, and of other processes.
        started: When this run began, in seconds since 1970.
        timeout: The budget in seconds; None for no end.

    Attributes:
        deadline: When the budget ends, by `steady_now`; infinite for never.
    """

    def __init__(self, study: optuna.Study, started: float, timeout: float | None) -> None:
        self._study, self._started = study, started
        self._key = f"{RUN}{this_process()}"
        self.deadline = started + timeout - seconds_spent(study, started) if timeout is not None else math.inf

    def tick(self) -> None:
        """Say that this run has come to here."""
        self._study.set_user_attr(self._key, [self._started, steady_now()])


def seconds_spent(study: optuna.Study, until: float = math.inf) -> float:
    """What a study has taken of its time budget; what lies after `until`, in seconds since 1970, does not count."""
    told = (value for key, value in study.user_attrs.items() if key.startswith(RUN))
    return seconds_covered((tuple(value) for value in told if is_run(value)), until)


def seconds_covered(runs: Iterable[tuple[float, ...]], until: float) -> float:
    """Seconds in which at least one of some runs was under way.

    Args:
        runs: Begin and end of each, in any order.
        until: What lies after it does not count.

    >>> seconds_covered([(0, 10), (5, 20), (30, 100)], until=40)
    30.0
    """
    total, reached = 0.0, -math.inf
    for begin, end in sorted(runs):
        end = min(end, until)
        total += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    return total
