"""The trials of a study as a search last saw them, and those that it runs itself."""

from __future__ import annotations

import time
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.optuna_private import storage_of
from docclf.sweeper.study.attributes import BEAT
from docclf.sweeper.study.trials import counted, interrupt


class Ledger:
    """What a search knows of its study.

    Attributes:
        trials: All, in the order of their numbers, as they were at the last `refresh`.
        running: Number of each trial that this process runs to its id in the storage.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self.trials: list[FrozenTrial] = []
        self.running: dict[int, int] = {}

    def refresh(self) -> None:
        """Look at the study again."""
        self.trials = self.study.get_trials(deepcopy=False)

    @property
    def counted(self) -> list[FrozenTrial]:
        """Trials that count towards the total."""
        return counted(self.trials)

    @property
    def n_running(self) -> int:
        """Trials that run, of other processes too."""
        return sum(trial.state == TrialState.RUNNING for trial in self.trials)

    def beat(self) -> None:
        """Say in the storage that the trials of this process live."""
        for trial_id in list(self.running.values()):
            with suppress(UpdateFinishedTrialError):
                storage_of(self.study).set_trial_user_attr(trial_id, BEAT, time.time())

    def interrupt(self, why: str, cause: str) -> None:
        """Fail the trials of this process, whose parameters shall be tried again.

        Args:
            why: See `docclf.sweeper.study.attributes.INTERRUPTED`.
            cause: In words.
        """
        for trial_id in list(self.running.values()):
            interrupt(self.study, trial_id, why, cause)
