"""A study as it is asked for trials."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from docclf.sweeper.optuna_private import storage_of
from docclf.sweeper.strategy.climb import Climb
from docclf.sweeper.strategy.views import ComparableView
from docclf.sweeper.study.attributes import BEAT, DEADLINE, OWNER, RUNG
from docclf.sweeper.study.process import steady_now, this_process
from docclf.sweeper.study.trials import interrupt


class OwnedStudy(optuna.Study):
    """Marks every trial as this process's before the sampler sees it, and knows trials of other studies.

    Call `take`, then set `sampler`, then call `ask`: `take` marks the trial, and `ask` reaches it through Optuna's
    `_pop_waiting_trial_id`. In between, `_storage` shows the trials that may be compared alone, with a climb those of
    one rung.

    Args:
        study: Where results are told, its sampler set.
        known: Other studies' trials for the sampler, whose parameters fit the space, with negative numbers.
        climb: Says which rung a trial is on. Then the sampler sees the trials of that rung alone.
    """

    def __init__(self, study: optuna.Study, *, known: Sequence[FrozenTrial] = (), climb: Climb | None = None) -> None:
        super().__init__(study.study_name, storage_of(study), study.sampler, study.pruner)
        self._taken: int | None = None
        self._full_storage: Any = self._storage
        self.climb = climb
        self.rung: str | None = None  # of the trial that was taken last
        self.known = list(known)
        self.deadline = math.inf  # when a trial is asked to stop, by `steady_now`; infinite for never

    def _get_trials(self, deepcopy: bool = True, states: Any = None, use_cache: bool = False) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        known = [t for t in self.known if t.user_attrs.get(RUNG) == self.rung and (states is None or t.state in states)]
        return [*known, *trials] if known else trials

    def take(self, spent: float = 0.0) -> int:
        """Take the next trial, queued or new, and mark it as this process's; `ask` then draws its parameters.

        Args:
            spent: Part of the time budget that is over.

        Returns:
            Its id in the storage.
        """
        self._storage = self._full_storage
        trial_id = super()._pop_waiting_trial_id()
        if trial_id is None:
            trial_id = self._storage.create_new_trial(self._study_id)
        self._storage.set_trial_user_attr(trial_id, BEAT, time.time())  # first: elsewhere the owner is judged by it
        self._storage.set_trial_user_attr(trial_id, OWNER, this_process())
        if math.isfinite(self.deadline):
            left = self.deadline - steady_now()
            self._storage.set_trial_user_attr(trial_id, DEADLINE, time.time() + left)
        if self.climb is not None:
            self._place(trial_id, self.climb, spent)
        self._storage = ComparableView(self._full_storage, self.rung)  # type: ignore[assignment]
        self._taken = trial_id
        return trial_id

    def give_back(self, trial_id: int) -> None:
        """Fail a trial that was taken while another process may have taken the last one."""
        self._taken = None
        interrupt(self, trial_id, "claim", "the database was away while it was begun")

    def _pop_waiting_trial_id(self) -> int | None:
        trial_id, self._taken = self.take() if self._taken is None else self._taken, None
        return trial_id

    def _place(self, trial_id: int, climb: Climb, spent: float) -> None:
        trials = self._full_storage.get_all_trials(self._study_id, deepcopy=False)
        given = self._full_storage.get_trial(trial_id).system_attrs.get("fixed_params", {})
        draws, attributes = climb.place(trials, given, spent, self.deadline - steady_now())
        self._full_storage.set_trial_system_attr(trial_id, "fixed_params", draws)
        for key, value in attributes.items():
            self._full_storage.set_trial_user_attr(trial_id, key, value)
        self.rung = attributes[RUNG]
