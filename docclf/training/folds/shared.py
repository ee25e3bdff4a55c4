"""Folds of one run that several processes train: each takes one that nobody has, and finds what others have done."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

from docclf.loggers.run import RecordingLogger, replay
from docclf.training.folds.average import FoldAverage, UnwantedError
from docclf.training.folds.checkpoints import NoLocksError
from docclf.training.folds.recorder import FoldRecorder
from docclf.training.folds.trainer import FoldTrainer

# Seconds between two looks at what another process does.
POLL_S = 0.2


class SharedFolds:
    """Trains folds for the process that opened a run, which may be this one; claims are given up at its end.

    Args:
        assignment: Fold of each training page, shape (n,).
        is_wanted: Whether to go on; asked after each epoch.
        is_shared: Whether there may be other processes; without any, nothing is claimed.
    """

    def __init__(
        self,
        trainer: FoldTrainer,
        assignment: NDArray[np.int64],
        *,
        is_wanted: Callable[[], bool],
        is_shared: bool = True,
    ) -> None:
        self._trainer, self._assignment, self._checkpoints = trainer, assignment, trainer.checkpoints
        self._is_wanted, self._is_shared = is_wanted, is_shared
        self._trained: set[int] = set()  # apart, since another process had the next one
        self.by_others: set[int] = set()
        """Folds that other processes trained."""

    def __enter__(self) -> SharedFolds:
        return self

    def __exit__(self, *_: object) -> None:
        self._checkpoints.release()

    def run(self, average: FoldAverage, build_logger: Callable[[int], Any]) -> int:
        """Train the next fold of an average, or let it count the fold as another process trained it.

        As long as another one is at it, folds after it are trained here.

        Args:
            build_logger: Makes the Lightning loggers of a fold; what it returns may be False.

        Returns:
            Number of the model's parameters.

        Raises:
            UnwantedError: There is no time to wait.
        """
        fold = average.fold
        if self._is_shared:
            self._claim(fold, average.tell)
        done = self._checkpoints.load_fold(fold)
        loggers = build_logger(fold)
        if done is None:
            return self._trainer.train(self._assignment, average, loggers)
        replay(done["logged"], loggers or ())
        average.take(done["candidates"], done["seconds"])
        self.by_others |= {fold} - self._trained
        n_parameters: int = done["n_parameters"]
        return n_parameters

    def _claim(self, fold: int, tell: Callable[[str], None]) -> None:
        """Wait until no other process trains a fold, and train later ones meanwhile."""
        with suppress(NoLocksError):  # without locks on files no other process can have it
            while not self._checkpoints.claim(fold):
                if not self._is_wanted():
                    raise UnwantedError
                if not self.help(fold + 1, tell):
                    time.sleep(POLL_S)

    def help(self, first: int, tell: Callable[[str], None] = lambda text: None) -> bool:
        """Train the first fold from `first` on that nobody has; False if there is none.

        Args:
            tell: Called with what the training is at, in words.

        Raises:
            UnwantedError: The run came to its end, or is not wanted any more.
            NoLocksError: Nobody can claim a fold.
        """
        for fold in range(first, self._trainer.validation.n_trained_folds):
            if self._checkpoints.is_finished(fold) or not self._checkpoints.claim(fold):
                continue
            try:
                if not self._checkpoints.is_finished(fold):
                    self._train(fold, tell)
                    return True
            finally:
                self._checkpoints.release([fold])
        return False

    def _train(self, fold: int, tell: Callable[[str], None]) -> None:
        trainer, recorder = self._trainer, RecordingLogger()
        options: dict[str, Any] = {"fold": fold, "keep_weights": trainer.keep_weights, "tell": tell}
        watch = _HelpedFold(recorder, self._is_wanted, trainer.validation, trainer.checkpoints, **options)
        n_parameters = trainer.train(self._assignment, watch, recorder)
        own = {"n_parameters": n_parameters, "logged": recorder.calls}
        self._trained.add(fold)
        candidates = {kind: {**vars(one), "weights": {}} for kind, one in watch.candidates.items()}
        self._checkpoints.save_fold(fold, {"candidates": candidates, "seconds": watch.seconds, **own})


class _HelpedFold(FoldRecorder):
    """Stops when the process that opened the run has come to its end, or the fold is not wanted for another reason."""

    def __init__(
        self, recorder: RecordingLogger, is_wanted: Callable[[], bool], *training: Any, **options: Any
    ) -> None:
        super().__init__(*training, **options)
        self._recorder, self._is_wanted = recorder, is_wanted

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        super().on_train_batch_end(trainer, *arguments)
        self._stop_if_ended()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self._stop_if_ended()
        if trainer.current_epoch + 1 < self.epochs and not self._is_wanted():
            raise UnwantedError

    def _stop_if_ended(self) -> None:
        if not self.checkpoints.is_open:
            raise UnwantedError

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "logged": self._recorder.calls}
