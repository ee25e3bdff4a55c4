"""The callback that follows the training of one fold."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from docclf.loggers.recording import Call, replay
from docclf.model import PageClassifier
from docclf.resume import FoldCheckpoints

SCORE = "val/macro_f1"


class FoldTraining(pl.Callback):
    """Keeps the best epoch of a fold, and a checkpoint of the last one.

    Its state goes into every checkpoint, so that a fold that was interrupted goes on as if nothing had happened, in
    whatever process.

    Args:
        fold: Index of the fold that is trained.
        n_runs: Number of folds that are trained.
        epochs: Epochs of each fold.
        seed: Of each epoch's random numbers, with the epoch.
        checkpoints: Where the state is kept.
        keep_weights: Keep the backbone's weights of the best epoch, in `weights`.
        tell: Called with what the training is at, in words.
    """

    def __init__(
        self,
        fold: int = 0,
        *,
        n_runs: int,
        epochs: int,
        seed: int = 42,
        checkpoints: FoldCheckpoints | None = None,
        keep_weights: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.fold, self.n_runs, self.epochs, self.seed, self.tell = fold, n_runs, epochs, seed, tell
        self.checkpoints, self.keep_weights = checkpoints, keep_weights
        self.reset()

    def reset(self) -> None:
        """Forget what was trained."""
        self.epoch_scores: list[float] = []  # validation macro-F1 after each epoch
        self.logits = torch.empty(0)  # of the best epoch
        self.weights: dict[str, torch.Tensor] = {}
        self._logged_before: list[Call] = []  # by another process, which did not come to its end
        self._seconds_before, self._started = 0.0, time.perf_counter()
        self._epoch_started, self._first_step, self._pace = self._started, 0, ""

    @property
    def state_key(self) -> str:
        return "FoldTraining"  # of all who train folds: one goes on from another's checkpoint

    @property
    def score(self) -> float:
        """The best score so far."""
        return max(self.epoch_scores)

    @property
    def best_epoch(self) -> int:
        """The first epoch that had it, from 0."""
        return self.epoch_scores.index(self.score)

    @property
    def seconds(self) -> float:
        """How long it has been trained, validations included."""
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def last_epoch(self) -> Path | None:
        """Path of the checkpoint of the last epoch; None before there is one."""
        return self.checkpoints.epoch(self.fold) if self.checkpoints is not None else None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.reset()  # before Lightning loads the state of a checkpoint, if there is one

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        replay(self._logged_before, trainer.loggers, is_whole=False)

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
        self.tell(f"fold {self.fold + 1}/{self.n_runs}, epoch {trainer.current_epoch + 1}/{self.epochs}{self._pace}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PageClassifier)
        score = float(trainer.callback_metrics[SCORE])
        if not self.epoch_scores or score > self.score:
            self.logits = pl_module.logits.cpu()
            if self.keep_weights:
                self.weights = {key: value.cpu().clone() for key, value in pl_module.net.state_dict().items()}
        self.epoch_scores.append(score)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.checkpoints is not None:
            self.checkpoints.save_epoch(self.fold, trainer)

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch_scores": self.epoch_scores,
            "logits": self.logits,
            "weights": self.weights,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch_scores, self.logits = list(state_dict["epoch_scores"]), state_dict["logits"]
        self.weights, self._seconds_before = state_dict["weights"], state_dict["seconds"]
        self._logged_before = state_dict.get("logged", [])
