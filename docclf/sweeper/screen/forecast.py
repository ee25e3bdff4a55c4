"""What a search does in all, what its trials cost, and how long the rest will take."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TYPE_CHECKING

from docclf.sweeper.config import Settings
from docclf.sweeper.strategy.race import N_WHOLE

if TYPE_CHECKING:
    from docclf.sweeper.strategy.climb import Climb

# Of trials that may be pruned, the fraction that runs whole, as seen with median.
_WHOLE = 0.5
# Part of a trial that one that is stopped runs, where none was seen.
_STOPPED_AFTER = 0.4
# The fraction of trials that a plan expects to run whole counts as so many trials that were seen.
_PRIOR = 16.0
# What is left of a trial that takes longer than expected: so much of its steps to come, and so many seconds.
_OVERDUE, _LEAST_S = 0.5, 1.0
# What a step costs is the mean of so many trials, the latest: the sampler may come to prefer dearer ones.
_LATEST = 30
# Beyond so many trials a worker, which of them a worker runs does not matter.
_ROUNDS = 20
# Trials to come that are looked at one by one.
_MANY = 100_000


@dataclass(frozen=True)
class Cost:
    """What a trial has cost, so far or in all."""

    seconds: float  # wall-clock time
    steps: int  # values that it reported; 1 of one that ended without any
    is_whole: bool = False  # whether it came to its end
    rung: str = ""  # of a search that climbs: what a trial costs says nothing of those on another one
    again: float | None = None  # seconds that it would take again, where its task has told


@dataclass(frozen=True)
class Plan:
    """What a search does in all."""

    total: float  # trials; infinite for as many as there is time for
    workers: int = 1  # of them that run at once
    whole: float = 1.0  # fraction of the trials that is expected to run to its end, before any was seen
    n_startup: int = 0  # trials of a rung that none stops before
    n_finalists: int = 0  # trials that are re-evaluated at the end
    is_race: bool = False  # whether of these those behind the leader stop
    climb: Climb | None = field(default=None, repr=False)  # which rungs the trials are on; None for one

    def coming(self, done: Sequence[Cost], running: Sequence[Cost]) -> list[tuple[str, int]]:
        """Rungs of the trials to come, with how many each will have."""
        n_left = max(int(self.total) - len(done) - len(running), 0)
        if self.climb is None:
            return [("", n_left)] if n_left else []
        begun = Counter(cost.rung for cost in (*done, *running))
        return self.climb.coming(begun, (*done, *running)[-1].rung, n_left)


def make_plan(
    settings: Settings, total: float, workers: int, *, is_single: bool = True, climb: Climb | None = None
) -> Plan:
    """The plan of a search.

    Args:
        is_single: Whether there is one objective; trials of several are neither stopped nor re-evaluated.
        climb: Which rungs the trials are on; None for one.

    >>> from docclf.sweeper.config import FinalistsConfig
    >>> pruner = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1}
    >>> make_plan(Settings(pruner=pruner, baseline=True, finalists=FinalistsConfig(top_k=3, race=True)), 20, 1)
    Plan(total=20, workers=1, whole=0.5, n_startup=1, n_finalists=4, is_race=True)
    """
    if not is_single:
        return Plan(total, workers, climb=climb)
    pruner, finalists = settings.pruner, settings.finalists
    name = str(pruner["_target_"]).rpartition(".")[2]
    return Plan(
        total,
        workers,
        1.0 if name == "NopPruner" else 0.0 if name == "Race" else _WHOLE,
        N_WHOLE if name == "Race" else int(pruner.get("n_startup_trials") or 0),
        int(min(finalists.top_k, total)) + bool(settings.baseline) if finalists.top_k else 0,
        finalists.race,
        climb,
    )


def seconds_left(
    plan: Plan, done: Sequence[Cost], running: Sequence[Cost], limit: float = math.inf, finalists: Sequence[str] = ()
) -> float | None:
    """How long the rest of a search will take, its finalists included; None before anything can be said.

    A step costs what it cost on average on the same rung; the first trial of each worker, which loads what the others
    find loaded, is left out. How many steps a trial will make comes from those seen and from what its pruner is known
    for, since few are stopped before there are some to compare with.

    Args:
        done: The trials that ended and count, in the order in which they began.
        limit: Seconds until the time budget is over.
        finalists: Rungs of the trials that would be re-evaluated as things stand, see `finalists_seconds`.

    >>> seconds_left(Plan(4), [Cost(20, 2, True), Cost(10, 2, True)], [Cost(6, 1)])
    14.0
    >>> seconds_left(Plan(4, workers=2), [Cost(20, 2, True), Cost(20, 2, True)], [Cost(6, 1), Cost(2, 0)])
    18.0
    """
    if math.isinf(plan.total):
        return None if math.isinf(limit) else max(limit, 0.0)
    paces = _paces(plan, done)
    if not paces:
        return None
    coming = plan.coming(done, running)
    if ({rung for rung, _ in coming} | {cost.rung for cost in running}) - paces.keys():
        return None
    if sum(n for _, n in coming) > _MANY:  # the order in which they run says nothing of so many
        whole = sum(n * paces[rung].mean for rung, n in coming)
        return min(whole / plan.workers, max(limit, 0.0))
    free = [paces[cost.rung].left(cost) for cost in running]
    begun = Counter(cost.rung for cost in (*done, *running))
    seconds = []
    for rung, n in coming:
        n_startup = min(max(plan.n_startup - begun[rung], 0), n)
        seconds += [paces[rung].whole] * n_startup + [paces[rung].mean] * (n - n_startup)
    # Who is not known yet is taken for one like the latest trials.
    final = [*finalists, *[done[-1].rung] * plan.n_finalists][: plan.n_finalists]
    return min(_makespan(seconds, free, plan.workers) + finalists_seconds(plan, done, final), max(limit, 0.0))


def finalists_seconds(plan: Plan, done: Sequence[Cost], finalists: Sequence[str]) -> float:
    """How long it takes to re-evaluate some trials: each as long as the median of those on its rung.

    Where their mean is longer, it is that of a few which computed what all others find computed. What a task has told
    of its trials counts instead.

    Args:
        plan: Says whether they race, in which all but two are expected to stop half-way.
        done: The trials that ended and count.
        finalists: The rung of each, those first that run whole.

    >>> costs = [Cost(1, 1, True, "head"), Cost(30, 9, True, "all")]
    >>> finalists_seconds(Plan(9, is_race=True), costs, ["head", "all", "all"])
    46.0
    """
    paces = _paces(plan, done)
    known = [paces[rung].again for rung in finalists if rung in paces]
    n_whole = N_WHOLE if plan.is_race else len(known)
    return _makespan([*known[:n_whole], *(seconds / 2 for seconds in known[n_whole:])], [], plan.workers)


@dataclass(frozen=True)
class _Pace:
    """What the trials of a rung are expected to cost."""

    whole: float  # seconds of one that runs to its end
    again: float  # seconds of one that runs to its end again
    mean: float  # seconds on average
    until: float  # steps after which those that do not are stopped
    steps: int  # of one that runs to its end

    def left(self, cost: Cost) -> float:
        """Seconds that a running trial still takes; one that has come further than others are stopped runs whole.

        One that takes longer than expected is as far as its steps say, and never at its end.
        """
        expected = self.whole if cost.steps > self.until else self.mean
        overdue = _OVERDUE * self.whole * max(1 - cost.steps / self.steps, 0.0)
        return max(expected - cost.seconds, overdue, _LEAST_S)


def _paces(plan: Plan, done: Sequence[Cost]) -> dict[str, _Pace]:
    """By rung, as far as trials were seen."""
    by_rung: dict[str, list[Cost]] = {}
    for cost in done:
        by_rung.setdefault(cost.rung, []).append(cost)
    return {rung: _pace(plan, costs) for rung, costs in by_rung.items() if any(cost.steps for cost in costs)}


def _pace(plan: Plan, done: Sequence[Cost]) -> _Pace:
    steps = max(cost.steps for cost in done)
    later = done[plan.workers :][-_LATEST:]  # without the first ones, where there are others
    costs = later if any(cost.steps for cost in later) else done
    whole = sum(cost.seconds for cost in costs) / sum(cost.steps for cost in costs) * steps
    told = [cost.again / cost.steps for cost in done if cost.again is not None and cost.steps]
    seen = [cost.seconds / cost.steps for cost in costs if cost.steps]
    again = median(told) * steps if told else min(whole, median(seen) * steps)
    fraction, stopped = _expected(plan, done, steps)
    return _Pace(whole, again, whole * (fraction + (1 - fraction) * stopped), stopped * steps, steps)


def _expected(plan: Plan, done: Sequence[Cost], whole: int) -> tuple[float, float]:
    """The fraction of the trials to come that will run whole, and the mean part that the others will run."""
    seen = done[plan.n_startup :]
    fraction = (_PRIOR * plan.whole + sum(cost.is_whole for cost in seen)) / (_PRIOR + len(seen))
    parts = [cost.steps / whole for cost in seen if not cost.is_whole]
    return fraction, fmean(parts) if parts else _STOPPED_AFTER


def _makespan(coming: Sequence[float], free: Sequence[float], workers: int) -> float:
    """Seconds until the last of some trials ends, where each worker takes the next one as soon as it is free.

    Args:
        coming: Seconds of each trial.
        free: Seconds after which the workers that run one are free, in any order.
        workers: How many there are, if there are not more of them in `free`.

    >>> _makespan([2.0, 2.0, 2.0], [1.0], workers=2)
    4.0
    """
    heap = [*free, *[0.0] * (workers - len(free))]
    n_even = max(0, len(coming) - _ROUNDS * len(heap))
    even = sum(coming[:n_even]) / len(heap)
    heapq.heapify(heap)
    for seconds in coming[n_even:]:
        heapq.heapreplace(heap, heap[0] + seconds)
    return even + max(heap)
