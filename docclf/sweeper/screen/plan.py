"""What a search does in all, and what its trials cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from docclf.sweeper.config import Settings
from docclf.sweeper.strategy.race import N_WHOLE

if TYPE_CHECKING:
    from docclf.sweeper.strategy.climb import Climb

# Of trials that may be pruned, the fraction that runs whole, by their pruner's class: what was seen with median,
# what halving comes to, and guesses.
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


@dataclass(frozen=True)
class Cost:
    """What a trial has cost, so far or in all.

    Attributes:
        seconds: Wall-clock time.
        steps: Values that it reported; 1 of one that ended without any.
        is_whole: Whether it came to its end.
        rung: Of a search that climbs: what a trial costs says nothing of those on another one.
        again: Seconds that it would take again, where its task has told.
    """

    seconds: float
    steps: int
    is_whole: bool = False
    rung: str = ""
    again: float | None = None


@dataclass(frozen=True)
class Plan:
    """What a search does in all.

    Attributes:
        total: Trials; infinite for as many as there is time for.
        workers: Of them that run at once.
        whole: Fraction of the trials that is expected to run to its end, before any was seen.
        n_startup: Trials of a rung that none stops before.
        n_finalists: Trials that are re-evaluated at the end.
        is_race: Whether of these those behind the leader stop.
        climb: Which rungs the trials are on; None for one.
    """

    total: float
    workers: int = 1
    whole: float = 1.0
    n_startup: int = 0
    n_finalists: int = 0
    is_race: bool = False
    climb: Climb | None = field(default=None, repr=False)

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
        _WHOLE.get(name, _WHOLE_OTHERWISE),
        N_WHOLE if name == "Race" else int(pruner.get("n_startup_trials") or 0),
        int(min(finalists.top_k, total)) + bool(settings.baseline) if finalists.top_k else 0,
        finalists.race,
        climb,
    )
