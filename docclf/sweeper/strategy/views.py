"""What samplers and pruners see of a study: the trials that may be compared with each other."""

from __future__ import annotations

from typing import Any

from optuna.trial import FrozenTrial

from docclf.sweeper.study.attributes import NOT_COMPARABLE, RUNG


class ComparableView:
    """A storage that shows no trials of other data or another objective, which a merged study may hold."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        """As `optuna.storages.BaseStorage.get_all_trials`, of these trials alone."""
        trials = self._whole.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [trial for trial in trials if NOT_COMPARABLE not in trial.user_attrs]


class RungView(ComparableView):
    """A storage that shows the trials of one rung, see `docclf.sweeper.strategy.climb`."""

    def __init__(self, whole: Any, rung: str) -> None:
        super().__init__(whole)
        self._rung = rung

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        """As of `ComparableView`, of the rung alone."""
        trials = super().get_all_trials(study_id, deepcopy, states)
        return [trial for trial in trials if trial.user_attrs.get(RUNG) == self._rung]
