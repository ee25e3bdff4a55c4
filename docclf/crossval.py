"""The folds of one configuration, and the callback that turns them into one score."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from docclf.data.folds import assign_folds
from docclf.data.module import PageDataModule
from docclf.errors import ConfigError
from docclf.model import PageClassifier

log = logging.getLogger(__name__)

SCORE = "val/macro_f1"


class Trial(Protocol):
    """What the folds need of an Optuna trial."""

    def report(self, value: float, step: int) -> None: ...

    def should_prune(self) -> bool: ...


@dataclass(frozen=True)
class Validation:
    """How a configuration is scored.

    Attributes:
        folds: Number of folds that the pages are split into, at least 2.
        run_folds: How many of them are trained and scored; None for all. 1 is a single split.
        epochs: Epochs of each training.
        max_batch_size: Most pages that go through the model at once; gradients accumulate to the batch size asked
            for. None for no limit.
        prune_after: Epochs of its first fold that every trial gets before it may be stopped.
        seed: Of the split and of each training.
    """

    folds: int = 3
    run_folds: int | None = None
    epochs: int = 3
    max_batch_size: int | None = None
    prune_after: int = 1
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("run_folds", "epochs", "max_batch_size", "prune_after"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"Expected `validation.{name}` to be at least 1, got {value}.")

    @property
    def n_runs(self) -> int:
        """Number of trainings."""
        return self.folds if self.run_folds is None else min(self.run_folds, self.folds)


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
    """Averages folds while they train, and stops the configuration when its trial advises so.

    After every epoch it reports the mean of the finished folds' scores and the best so far of this fold, at step
    `fold * epochs + epoch`. One instance serves all folds of a configuration in turn.

    Args:
        trial: Receives the reports.
        epochs: Epochs of each fold.
        prune_after: Reports before the first advice is asked.
    """

    def __init__(self, trial: Trial, epochs: int, prune_after: int = 1) -> None:
        self.trial, self.epochs, self.prune_after = trial, epochs, prune_after
        self.folds: list[FoldScore] = []
        self.pruned = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()
        self._score, self._epoch = -1.0, 0
        self.logits = torch.empty(0)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PageClassifier)
        score = float(trainer.callback_metrics[SCORE])
        if score > self._score:
            self._score, self._epoch, self.logits = score, trainer.current_epoch, pl_module.logits.cpu()
        step = len(self.folds) * self.epochs + trainer.current_epoch
        self.trial.report(float(np.mean([*self.scores, self._score])), step)
        if step + 1 >= self.prune_after and self.trial.should_prune():
            self.pruned = trainer.should_stop = True

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seconds = time.perf_counter() - self._started
        self.folds.append(FoldScore(len(self.folds), self._score, self._epoch, seconds))

    @property
    def scores(self) -> list[float]:
        """Scores of the folds so far."""
        return [fold.score for fold in self.folds]


@dataclass(frozen=True)
class CrossValidation:
    """Result of all folds of a configuration.

    Attributes:
        folds: One entry for each fold that was begun; the last one of a pruned configuration is not finished.
        assignment: Fold of each training page, int64 of shape (n,).
        probabilities: Out-of-fold probabilities, float32 of shape (n, n_classes); NaN where no fold gave any.
        pruned: Whether the trial advised to stop.
    """

    folds: list[FoldScore]
    assignment: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    pruned: bool

    @property
    def scores(self) -> list[float]:
        """Score of each fold."""
        return [fold.score for fold in self.folds]

    @property
    def mean(self) -> float:
        """Mean of the folds' scores."""
        return float(np.mean(self.scores))

    @property
    def spread(self) -> float:
        """Sample standard deviation of the folds' scores; 0 for one fold."""
        return float(np.std(self.scores, ddof=1)) if len(self.folds) > 1 else 0.0


def cross_validate(
    data: PageDataModule,
    validation: Validation,
    trial: Trial,
    *,
    build_model: Callable[[], PageClassifier],
    build_trainer: Callable[..., pl.Trainer],
    build_logger: Callable[[int], Any],
) -> CrossValidation:
    """Train and score one model a fold.

    Args:
        data: All pages.
        validation: The folds and epochs.
        trial: Receives reports and advises to stop.
        build_model: Makes a fresh model.
        build_trainer: Makes a Lightning trainer from further arguments.
        build_logger: Makes the Lightning logger of a fold; what it returns may be False.

    Raises:
        ConfigError, DataError: See `docclf.data.folds.assign_folds`.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    assignment = assign_folds(
        data.labels,
        n_folds=validation.folds,
        seed=validation.seed,
        class_names=data.pages.class_names,
        groups=data.pages.train.groups,
    )
    probabilities = np.full((len(assignment), len(data.pages.class_names)), np.nan, dtype=np.float32)
    average = FoldAverage(trial, validation.epochs, validation.prune_after)
    data.max_batch_size = validation.max_batch_size
    for fold in range(validation.n_runs):
        rows = np.flatnonzero(assignment == fold)
        data.use_split(np.flatnonzero(assignment != fold), rows)
        fit(data, validation, build_model, build_trainer, callbacks=[average], logger=build_logger(fold))
        if average.pruned:
            break
        probabilities[rows] = torch.softmax(average.logits, dim=1).numpy()
        done = average.folds[-1]
        log.info(f"  fold {fold + 1}/{validation.n_runs}  macro-F1 {done.score:.3f}  {done.seconds:.1f} s")
    return CrossValidation(average.folds, assignment, probabilities, average.pruned)


def fit(
    data: PageDataModule,
    validation: Validation,
    build_model: Callable[[], PageClassifier],
    build_trainer: Callable[..., pl.Trainer],
    **options: Any,
) -> tuple[pl.Trainer, PageClassifier]:
    """Train one model on the current split of `data`, from the same random numbers each time.

    Args:
        **options: Further arguments of the trainer.
    """
    pl.seed_everything(validation.seed, workers=True, verbose=False)
    model = build_model().to(memory_format=torch.channels_last)
    trainer = build_trainer(max_epochs=validation.epochs, accumulate_grad_batches=data.accumulate, **options)
    trainer.fit(model, datamodule=data)
    return trainer, model
