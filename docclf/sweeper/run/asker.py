"""Which trial of a study is asked for next, and what the sampler is shown when it draws it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.optuna_private import id_of, storage_of, study_id_of, with_storage
from docclf.sweeper.strategy.climb import Climb
from docclf.sweeper.strategy.samplers import BruteForce
from docclf.sweeper.strategy.views import ComparableView
from docclf.sweeper.study.attributes import BEAT, DEADLINE, OWNER, RUNG
from docclf.sweeper.study.process import steady_now, this_process


class Asker:
    """Takes trials of a study, each marked as this process's before the sampler sees it, and has them drawn.

    Call `take`, then set the study's sampler, then call `ask`. In place of `Study.ask`, which does all at once.

    Args:
        study: The trials are taken of it.
        known: Other studies' trials for the sampler, whose parameters fit the space, with negative numbers.
        climb: Says which rung a trial is on. Then the sampler sees the trials of that rung alone.
    """

    def __init__(self, study: optuna.Study, *, known: Sequence[FrozenTrial] = (), climb: Climb | None = None) -> None:
        self.study, self.known, self.climb = study, known, climb
        self.rung: str | None = None  # of the trial that was taken last
        self.deadline = math.inf  # when a trial is asked to stop, by `steady_now`; infinite for never
        self._storage, self._study_id = storage_of(study), study_id_of(study)

    def take(self, spent: float = 0.0) -> int:
        """Take the next trial, queued or new, and mark it as this process's.

        Args:
            spent: Part of the time budget that is over.

        Returns:
            Its id in the storage.
        """
        trial_id = self._begin()
        self._storage.set_trial_user_attr(trial_id, BEAT, time.time())  # first: elsewhere the owner is judged by it
        self._storage.set_trial_user_attr(trial_id, OWNER, this_process())
        if math.isfinite(self.deadline):
            left = self.deadline - steady_now()
            self._storage.set_trial_user_attr(trial_id, DEADLINE, time.time() + left)
        if self.climb is not None:
            self._place(trial_id, self.climb, spent)
        return trial_id

    def ask(self, trial_id: int) -> optuna.Trial:
        """The trial that was taken last, whose parameters the study's sampler draws when they are suggested."""
        # What another study has tried is no point of this one's: brute force leaves none out.
        known = () if isinstance(self.study.sampler, BruteForce) else self.known
        return optuna.Trial(with_storage(self.study, ComparableView(self._storage, self.rung, known)), trial_id)

    def _begin(self) -> int:
        """Set a trial running, as `Study.ask` does: the first waiting one that no other process takes, or a new one."""
        for trial in self._storage.get_all_trials(self._study_id, deepcopy=False, states=(TrialState.WAITING,)):
            with suppress(UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(id_of(trial), TrialState.RUNNING):
                    return id_of(trial)
        return self._storage.create_new_trial(self._study_id)

    def _place(self, trial_id: int, climb: Climb, spent: float) -> None:
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        given = self._storage.get_trial(trial_id).system_attrs.get("fixed_params", {})
        draws, attributes = climb.place(trials, given, spent, self.deadline - steady_now())
        self._storage.set_trial_system_attr(trial_id, "fixed_params", draws)
        for key, value in attributes.items():
            self._storage.set_trial_user_attr(trial_id, key, value)
        self.rung = attributes[RUNG]
