"""What a study says of the trial that a job runs, beside its parameters: read only when it is asked for."""

from __future__ import annotations

import math

import optuna

from docclf.sweeper.study.attributes import FINALIST
from docclf.sweeper.study.finals import source_number
from docclf.sweeper.study.trials import best_trial, loss


class Standing:
    """A trial among those of its study.

    Args:
        study: That of the trial, for a finalist that of the finalists.
    """

    def __init__(self, study: optuna.Study, number: int) -> None:
        self._study, self._number = study, number

    def source(self) -> int:
        """Number of the trial in the search: that of a finalist is another one than its own."""
        trial = self._study.get_trials(deepcopy=False)[self._number]
        return source_number(trial) if FINALIST in trial.user_attrs else self._number

    def best_value(self, value: float | None) -> float | None:
        """Best value of the finished trials that keep to the constraints, and of this one; None if there is none.

        Args:
            value: Of this one, which the study does not know yet; None without one.
        """
        study = self._study
        best = best_trial(study.get_trials(deepcopy=False), study.directions[0])
        values = [value, best.values[0] if best is not None else None]
        known = [v for v in values if v is not None and not math.isnan(v)]
        return min(known, key=lambda v: loss(v, study.directions[0]), default=None)
