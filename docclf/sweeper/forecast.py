"""How long the rest of a search will take."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

# Of trials that may be stopped early, the share that runs whole, by their pruner's class: what was seen with median,
# what halving comes to, and guesses. It counts as so many trials that were seen.
_WHOLE = {
    "NopPruner": 1.0,
    "PatientPruner": 0.8,
    "WilcoxonPruner": 0.8,
    "HyperbandPruner": 0.3,
    "PercentilePruner": 0.3,
    "SuccessiveHalvingPruner": 0.15,
    "Race": 0.0,
}
_WHOLE_OTHERWISE = 0.5
_STOPPED_AFTER = 0.4  # part of a trial that one that is stopped runs, where none was seen
_PRIOR = 16.0
# What a step costs is the mean of so many trials, the latest: the sampler may come to prefer dearer ones.
_LATEST = 30
# Trials of a race that run whole, see docclf.sweeper.race.Race.
_RACE_WHOLE = 2
# Beyond so many trials a worker, which of them a worker runs does not matter.
_ROUNDS = 20


@dataclass(frozen=True)
class Cost:
    """What a trial has cost, so far or in all.

    Attributes:
        seconds: Wall-clock time.
        steps: Values that it reported; 1 of one that ended without any.
        is_whole: Whether it came to its end.
    """

    seconds: float
    steps: int
    is_whole: bool = False


@dataclass(frozen=True)
class Plan:
    """What a search does in all.

    Attributes:
        total: Trials.
        workers: Of them that run at once.
        whole: Share of the trials that is expected to run to its end, before any was seen.
        n_startup: Trials that none stops before.
        n_finalists: Trials that run once more at the end.
        is_race: Whether of these those behind the leader stop.
    """

    total: int
    workers: int = 1
    whole: float = 1.0
    n_startup: int = 0
    n_finalists: int = 0
    is_race: bool = False


def make_plan(settings: Mapping[str, Any], total: int, workers: int, *, is_single: bool = True) -> Plan:
    """The plan of a search.

    Args:
        settings: The keys of `docclf.sweeper.config.SweeperConfig`; `pruner`, `baseline` and `finalists` are read.
        total: Trials.
        workers: Of them that run at once.
        is_single: Whether there is one objective; trials of several are neither stopped nor scored again.

    >>> pruner = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1}
    >>> make_plan({"pruner": pruner, "baseline": True, "finalists": {"top_k": 3, "race": True}}, 20, 1)
    Plan(total=20, workers=1, whole=0.5, n_startup=1, n_finalists=4, is_race=True)
    """
    if not is_single:
        return Plan(total, workers)
    pruner, finalists = settings["pruner"], settings["finalists"]
    name = str(pruner["_target_"]).rpartition(".")[2]
    return Plan(
        total,
        workers,
        _WHOLE.get(name, _WHOLE_OTHERWISE),
        _RACE_WHOLE if name == "Race" else int(pruner.get("n_startup_trials") or 0),
        min(finalists["top_k"], total) + bool(settings["baseline"]) if finalists["top_k"] else 0,
        bool(finalists.get("race")),
    )


def seconds_left(plan: Plan, done: Sequence[Cost], running: Sequence[Cost], limit: float = math.inf) -> float | None:
    """How long the rest of a search will take, its finalists included; None before anything can be said.

    A step costs what it cost on average; the first trial of each worker, which loads what the others find loaded, is
    left out. How many steps a trial will make comes from those seen and from what its pruner is known for, since few
    are stopped before there are some to compare with.

    Args:
        plan: What is to be done in all.
        done: The trials that ended and count, in the order in which they began.
        running: Those that run.
        limit: Seconds after which the search stops, whatever is left, and goes over to its finalists.

    >>> seconds_left(Plan(4), [Cost(20, 2, True), Cost(10, 2, True)], [Cost(6, 1)])
    14.0
    >>> seconds_left(Plan(4, workers=2), [Cost(20, 2, True), Cost(20, 2, True)], [Cost(6, 1), Cost(2, 0)])
    18.0
    """
    whole = max((cost.steps for cost in done), default=0)
    if not whole:
        return None
    pace = _seconds_a_step(done, plan.workers) * whole
    share, stopped = _expected(plan, done, whole)
    mean = pace * (share + (1 - share) * stopped)
    # One that has come further than those that are stopped is likely to run whole.
    free = [max((pace if cost.steps > stopped * whole else mean) - cost.seconds, 0.0) for cost in running]
    n_before = len(done) + len(running)
    coming = [pace if number < plan.n_startup else mean for number in range(n_before, plan.total)]
    rest = min(_makespan(coming, free, plan.workers), max(limit, 0.0))
    raced = max(0, plan.n_finalists - _RACE_WHOLE) if plan.is_race else 0
    finalists = [pace] * (plan.n_finalists - raced) + [pace / 2] * raced
    return rest + _makespan(finalists, [], plan.workers)


def _seconds_a_step(done: Sequence[Cost], n_first: int) -> float:
    """Mean of the latest trials, without the first ones where there are others."""
    later = done[n_first:][-_LATEST:]
    costs = later if sum(cost.steps for cost in later) else done
    return sum(cost.seconds for cost in costs) / sum(cost.steps for cost in costs)


def _expected(plan: Plan, done: Sequence[Cost], whole: int) -> tuple[float, float]:
    """The share of the trials to come that will run whole, and the mean part that the others will run."""
    seen = done[plan.n_startup :]
    share = (_PRIOR * plan.whole + sum(cost.is_whole for cost in seen)) / (_PRIOR + len(seen))
    parts = [cost.steps / whole for cost in seen if not cost.is_whole]
    return share, fmean(parts) if parts else _STOPPED_AFTER


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
