"""The callback that turns the trainings of the folds into one score."""

import time
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch

from docclf.model import PageClassifier
from docclf.resume import FoldCheckpoints

SCORE = "val/macro_f1"


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


class FoldAverage(pl.Callback):
    """Averages folds while they train, and stops the configuration when its trial advises so or time is up.

    One instance serves all folds of a configuration in turn. Its state goes into every checkpoint, so that a
    configuration that was interrupted goes on as if nothing had happened.

    Args:
        trial: Receives the reports.
        n_runs: Number of folds that are trained.
        epochs: Epochs of each fold.
        prune_after: Epochs before the first advice is asked.
        each: `epoch` reports after every epoch the mean of the finished folds' scores and the best so far of this
            fold, at step `fold * epochs + epoch`; `fold` reports each fold's own score at step `fold`, for pruners that
            compare step by step (Wilcoxon).
        seed: Of each epoch's random numbers, with the epoch.
        checkpoints: Where the state is kept.
        keep_weights: Keep the backbone's weights of the best epoch, in `weights`.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        n_runs: int,
        epochs: int,
        prune_after: int = 1,
        each: str = "epoch",
        seed: int = 42,
        checkpoints: FoldCheckpoints | None = None,
        keep_weights: bool = False,
    ) -> None:
        self.trial, self.n_runs, self.epochs, self.prune_after = trial, n_runs, epochs, prune_after
        self.each, self.seed, self.checkpoints, self.keep_weights = each, seed, checkpoints, keep_weights
        self.folds: list[FoldScore] = []
        self.reports: dict[int, float] = {}
        self.pruned = self.out_of_time = False
        self._reset()

    def _reset(self) -> None:
        self._score, self._epoch, self.logits = -1.0, 0, torch.empty(0)
        self.weights: dict[str, torch.Tensor] = {}
        self._seconds_before, self._started = 0.0, time.perf_counter()
        self._epoch_started, self._first_step, self._pace = self._started, 0, ""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._reset()  # before Lightning loads the state of a checkpoint, if there is one

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # By epoch, so that one that follows an interruption draws what it would have drawn. The loader's iterator draws
        # a seed too, mostly after this hook, but before it in a training's first epoch: from a generator of its own.
        trainer.train_dataloader.generator = torch.Generator()  # type: ignore[union-attr]
        seed = self.seed + 1_000_003 * trainer.current_epoch
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # timm's mixup draws from it
        self._epoch_started, self._first_step = time.perf_counter(), trainer.global_step
        self._tell(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._tell(trainer)

    def _tell(self, trainer: pl.Trainer) -> None:
        """Say where the training is, and how many steps the optimizer makes a second in this epoch or the last one."""
        if steps := trainer.global_step - self._first_step:
            rate = steps / max(time.perf_counter() - self._epoch_started, 1e-9)
            self._pace = f", {rate:.{0 if rate >= 10 else 1}f} steps/s"
        fold, epoch = len(self.folds) + 1, trainer.current_epoch + 1
        self.trial.tell_progress(f"fold {fold}/{self.n_runs}, epoch {epoch}/{self.epochs}{self._pace}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PageClassifier)
        score = float(trainer.callback_metrics[SCORE])
        if score > self._score:
            self._score, self._epoch, self.logits = score, trainer.current_epoch, pl_module.logits.cpu()
            if self.keep_weights:
                self.weights = {key: value.cpu().clone() for key, value in pl_module.net.state_dict().items()}
        if self.each == "epoch":
            step = len(self.folds) * self.epochs + trainer.current_epoch
            self._report(float(np.mean([*self.scores, self._score])), step, first=self.prune_after - 1)
        if not self.pruned and len(self.folds) + 1 < self.n_runs and self.trial.out_of_time():
            self.out_of_time = True
        trainer.should_stop = self.pruned or self.out_of_time

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.checkpoints is not None and not self.pruned:
            self.checkpoints.save_epoch(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.out_of_time and trainer.current_epoch < self.epochs:
            return  # goes on another time
        self.folds.append(FoldScore(len(self.folds), self._score, self._epoch, self._seconds))
        if self.each == "fold":
            self._report(self._score, len(self.folds) - 1, first=(self.prune_after - 1) // self.epochs)

    def _report(self, value: float, step: int, first: int) -> None:
        if step not in self.reports:
            self.reports[step] = value
            self.trial.report(value, step)
            last = self.n_runs * (self.epochs if self.each == "epoch" else 1) - 1
            # A trial that is out of time goes on another time, and one that is done has nothing left to save.
            self.pruned = first <= step < last and not self.out_of_time and self.trial.should_prune()

    @property
    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def scores(self) -> list[float]:
        """Scores of the folds so far."""
        return [fold.score for fold in self.folds]

    def state_dict(self) -> dict[str, Any]:
        return {
            "folds": [asdict(fold) for fold in self.folds],
            "reports": self.reports,
            "score": self._score,
            "epoch": self._epoch,
            "seconds": self._seconds,
            "logits": self.logits,
            "weights": self.weights,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.restore(state_dict)
        self._score, self._epoch, self.logits = state_dict["score"], state_dict["epoch"], state_dict["logits"]
        self.weights = state_dict["weights"]
        self._seconds_before = state_dict["seconds"]

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the finished folds and the reports of a state, and report them to this trial."""
        self.folds = [FoldScore(**fold) for fold in state["folds"]]
        for step, value in state["reports"].items():
            if step not in self.reports:
                self.reports[step] = value
                self.trial.report(value, step)
