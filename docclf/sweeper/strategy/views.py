"""What samplers and pruners see of a study: the trials that may be compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from docclf.sweeper.study.attributes import NOT_COMPARABLE, RUNG


class ComparableView:
    """A storage that shows no trials of other data or another objective, which a merged study may hold.

    Args:
        whole: The storage that has all.
        rung: Of a search that climbs, whose trials alone are shown, see `docclf.sweeper.strategy.climb`.
        known: Trials of other studies, which are shown besides.
    """

    def __init__(self, whole: Any, rung: str | None = None, known: Sequence[FrozenTrial] = ()) -> None:
        self._whole, self._rung, self._known = whole, rung, known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        """As `optuna.storages.BaseStorage.get_all_trials`, of these trials alone."""
        known = [trial for trial in self._known if states is None or trial.state in states]
        trials = self._whole.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        shown = [trial for trial in [*known, *trials] if NOT_COMPARABLE not in trial.user_attrs]
        return shown if self._rung is None else [t for t in shown if t.user_attrs.get(RUNG) == self._rung]
