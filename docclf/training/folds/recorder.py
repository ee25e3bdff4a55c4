"""The callback that follows the training of one fold."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from docclf.loggers.run import Call, replay
from docclf.metrics.scores import macro_f1
from docclf.models.classifier import PageClassifier
from docclf.models.frozen.heads import HeadFold
from docclf.results.facts import AVERAGE, HEAD, NET
from docclf.training.folds.checkpoints import FoldCheckpoints
from docclf.training.validation import Validation

SCORE = "val/macro_f1"


@dataclass
class Candidate:
    """What a fold may keep: its head, its fine-tuned net, or the mean of the two."""

    # validation macro-F1 after each epoch; of a head one, from before the first epoch
    scores: list[float] = field(default_factory=list)
    # of the validation pages at the best of them, float32 of shape (n, n_classes)
    probabilities: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    weights: dict[str, torch.Tensor] = field(default_factory=dict)  # of the backbone then, where they are kept
    # macro-F1 of the same pages as they are after each epoch, where that is scored besides
    clean: list[float] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The best one; NaN before the first."""
        return max(self.scores, default=math.nan)

    @property
    def best_epoch(self) -> int:
        """The first epoch that had it, from 0."""
        return self.scores.index(self.score)

    @property
    def clean_score(self) -> float | None:
        """That of the pages as they are, in the best epoch; None where it was not scored."""
        return self.clean[self.best_epoch] if self.clean else None


class FoldRecorder(pl.Callback):
    """Keeps the best epoch of a fold, and a checkpoint of the last one.

    Its state goes into every checkpoint, so that a fold that was interrupted goes on as if nothing had happened, in
    whatever process.

    Args:
        checkpoints: Keep the last epoch, from which a fold that was interrupted goes on.
        keep_weights: Keep the backbone's weights of the best epoch of each candidate.
        tell: Called with what the training is at, in words.
    """

    def __init__(
        self,
        validation: Validation,
        checkpoints: FoldCheckpoints,
        *,
        fold: int = 0,
        keep_weights: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.validation, self.epochs, self.checkpoints = validation, validation.epochs, checkpoints
        self.fold, self.keep_weights, self.tell = fold, keep_weights, tell
        self.head: HeadFold | None = None
        self.labels = np.empty(0, np.int64)  # of the validation pages
        self.reset()

    def follow(self, labels: NDArray[np.int64], head: HeadFold | None) -> None:
        """Be told of the next fold.

        Args:
            labels: Class of each validation page, shape (n,).
            head: What its head predicts; None where there is none.
        """
        self.labels, self.head = labels, head

    def reset(self) -> None:
        """Forget what was trained."""
        self.candidates = {NET: Candidate()}
        if self.head is not None:
            probabilities = self.head.probabilities
            head = Candidate([self._score(probabilities)], probabilities, clean=self._clean_scores(self.head.clean))
            self.candidates = {HEAD: head, AVERAGE: Candidate(), NET: Candidate()}
        self._logged_before: list[Call] = []  # by another process, which did not come to its end
        self._seconds_before, self._started = 0.0, time.perf_counter()
        self._epoch_started, self._first_step, self._pace = self._started, 0, ""

    def _score(self, probabilities: NDArray[np.float32]) -> float:
        return macro_f1(self.labels, probabilities.argmax(axis=1), probabilities.shape[1])

    def _clean_scores(self, probabilities: NDArray[np.float32] | None) -> list[float]:
        return [] if probabilities is None else [self._score(probabilities)]

    @property
    def state_key(self) -> str:
        return "FoldTraining"  # of all who record folds: one goes on from another's checkpoint, or an earlier release's

    @property
    def n_epochs(self) -> int:
        """How many epochs have been validated."""
        return len(self.candidates[NET].scores)

    @property
    def seconds(self) -> float:
        """How long it has been trained, validations included."""
        return self._seconds_before + time.perf_counter() - self._started

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Of several processes, all go by what the first one sees: a rounding error must not part their ways.
        self.head = trainer.strategy.broadcast(self.head)
        self.reset()  # before Lightning loads the state of a checkpoint, if there is one

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        replay(self._logged_before, trainer.loggers, is_whole=False)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # By epoch, so that one that follows an interruption draws what it would have drawn. The loader's iterator draws
        # a seed too, mostly after this hook, but before it in a training's first epoch: from a generator of its own.
        trainer.train_dataloader.generator = torch.Generator()  # type: ignore[union-attr]
        seed = self.validation.seed + 1_000_003 * trainer.current_epoch
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
        fold = f"fold {self.fold + 1}/{self.validation.n_trained_folds}"
        self.tell(f"{fold}, epoch {trainer.current_epoch + 1}/{self.epochs}{self._pace}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        model = cast(PageClassifier, pl_module)  # or one that has the same, see there
        probabilities = model.logits.cpu().softmax(dim=1).numpy()
        clean = None if model.clean_logits is None else model.clean_logits.cpu().softmax(dim=1).numpy()
        seen = float(trainer.callback_metrics[SCORE]), probabilities, clean
        score, probabilities, clean = trainer.strategy.broadcast(seen)
        self._offer(NET, score, probabilities, model)
        self.candidates[NET].clean += self._clean_scores(clean)
        if self.head is not None:
            mean = (self.head.probabilities + probabilities) / 2
            self._offer(AVERAGE, self._score(mean), mean, model)
            both = None if clean is None or self.head.clean is None else (self.head.clean + clean) / 2
            self.candidates[AVERAGE].clean += self._clean_scores(both)

    def _offer(self, kind: str, score: float, probabilities: NDArray[np.float32], module: PageClassifier) -> None:
        candidate = self.candidates[kind]
        if not candidate.scores or score > candidate.score:
            candidate.probabilities = probabilities
            if self.keep_weights:
                candidate.weights = {key: value.cpu().clone() for key, value in module.kept.state_dict().items()}
        candidate.scores.append(score)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.checkpoints.save_epoch(self.fold, trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"candidates": {kind: vars(one) for kind, one in self.candidates.items()}, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.candidates = {kind: Candidate(**one) for kind, one in state_dict["candidates"].items()}
        self._seconds_before = state_dict["seconds"]
        self._logged_before = state_dict.get("logged", [])
