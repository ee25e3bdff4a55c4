"""The callback that turns the trainings of the folds into one score."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from docclf.fold_training import FoldTraining


class Trial(Protocol):
    """What the folds need of an Optuna trial."""

    def report(self, value: float, step: int) -> None: ...

    def should_prune(self) -> bool: ...

    def out_of_time(self) -> bool: ...

    def tell_progress(self, text: str) -> None: ...


@dataclass(frozen=True)
class FoldScore:
    """Result of one fold.

    Attributes:
        fold: Index of the fold that validated.
        score: Validation macro-F1 of the epoch that is kept, the best one.
        epoch: That epoch, from 0.
        seconds: Wall-clock time of the training with its validations.
    """

    fold: int
    score: float
    epoch: int
    seconds: float


class FoldAverage(FoldTraining):
    """Averages folds while they train, and stops the configuration when its trial advises so or time is up.

    One instance serves all folds of a configuration in turn.

    Args:
        trial: Receives the reports.
        prune_after: Epochs before the first advice is asked.
        each: `epoch` reports after every epoch the mean of the finished folds' scores and the best so far of this
            fold, at step `fold * epochs + epoch`; `fold` reports each fold's own score at step `fold`, for pruners that
            compare step by step (Wilcoxon).
        **training: See `docclf.fold_training.FoldTraining`.
    """

    def __init__(self, trial: Trial, *, prune_after: int = 1, each: str = "epoch", **training: Any) -> None:
        super().__init__(tell=trial.tell_progress, **training)
        self.trial, self.prune_after, self.each = trial, prune_after, each
        self.folds: list[FoldScore] = []
        self.reports: dict[int, float] = {}
        self.pruned = self.out_of_time = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self._report_epoch()
        if not self.pruned and self.fold + 1 < self.n_runs and self.trial.out_of_time():
            self.out_of_time = True
        trainer.should_stop = self.pruned or self.out_of_time

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.pruned:
            super().on_train_epoch_end(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.out_of_time and trainer.current_epoch < self.epochs:
            return  # goes on another time
        self._finish(self.seconds)

    def take(self, epoch_scores: Sequence[float], logits: Tensor, seconds: float) -> None:
        """Count a fold that was trained elsewhere as if it were trained here and now.

        Args:
            epoch_scores: Its score after each epoch.
            logits: Of its best epoch.
            seconds: How long it was trained.
        """
        self.reset()
        self.logits = logits
        for score in epoch_scores:
            self.epoch_scores.append(score)
            self._report_epoch()
            if self.pruned:
                break
        self._finish(seconds)

    def _finish(self, seconds: float) -> None:
        self.folds.append(FoldScore(self.fold, self.score, self.best_epoch, seconds))
        self.fold += 1
        if self.each == "fold":
            self._report(self.score, self.fold - 1, first=(self.prune_after - 1) // self.epochs)

    def _report_epoch(self) -> None:
        if self.each == "epoch":
            step = self.fold * self.epochs + len(self.epoch_scores) - 1
            self._report(self._mean_with(self.score), step, first=self.prune_after - 1)

    def _report(self, value: float, step: int, first: int) -> None:
        if step not in self.reports:
            self.reports[step] = value
            self.trial.report(value, step)
            last = self.n_runs * (self.epochs if self.each == "epoch" else 1) - 1
            # A trial that is out of time goes on another time, and one that is done has nothing left to save.
            self.pruned = first <= step < last and not self.out_of_time and self.trial.should_prune()

    def _mean_with(self, score: float) -> float:
        return float(np.mean([*self.scores, score]))

    @property
    def scores(self) -> list[float]:
        """Scores of the folds so far."""
        return [fold.score for fold in self.folds]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self.each == "epoch":
            best = accumulate(self.epoch_scores, max)
            first = self.fold * self.epochs
            self._repeat({first + epoch: self._mean_with(score) for epoch, score in enumerate(best)})

    def finished(self) -> dict[str, Any]:
        """The finished folds and their reports, for `restore`."""
        return {"folds": [asdict(fold) for fold in self.folds], "reports": self.reports}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over finished folds and their reports, and report them to this trial."""
        self.folds = [FoldScore(**fold) for fold in state["folds"]]
        self.fold = len(self.folds)
        self._repeat(state["reports"])

    def _repeat(self, reports: dict[int, float]) -> None:
        for step, value in reports.items():
            if step not in self.reports:
                self.reports[step] = value
                self.trial.report(value, step)
