"""The folds of one configuration."""

import gc
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from docclf.data.folds import split_pages
from docclf.data.module import PageDataModule
from docclf.ensemble import save_weights
from docclf.errors import ConfigError
from docclf.fold_average import FoldAverage, FoldScore, Trial
from docclf.model import PageClassifier
from docclf.resume import FoldCheckpoints
from docclf.scores import macro_f1

log = logging.getLogger(__name__)


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
        report: `epoch` or `fold`, see `docclf.fold_average.FoldAverage`.
        augment: Name of an option of `augment` for the validation pages; None leaves them as they are.
        split_file: CSV with the columns ID and fold to take the split from.
        seed: Of the split and of each training.
    """

    folds: int = 3
    run_folds: int | None = None
    epochs: int = 3
    max_batch_size: int | None = None
    prune_after: int = 1
    report: str = "epoch"
    augment: str | None = None
    split_file: str | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("run_folds", "epochs", "max_batch_size", "prune_after"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"Expected `validation.{name}` to be at least 1, got {value}.")
        if self.report not in ("epoch", "fold"):
            raise ConfigError(f"Expected `validation.report` to be epoch or fold, got {self.report}.")

    @property
    def n_runs(self) -> int:
        """Number of trainings."""
        return self.folds if self.run_folds is None else min(self.run_folds, self.folds)


@dataclass(frozen=True)
class CrossValidation:
    """Result of all folds of a configuration.

    Attributes:
        folds: One entry for each fold that was begun; the last one of a pruned configuration is not finished.
        assignment: Fold of each training page, int64 of shape (n,).
        labels: Class of each training page, int64 of shape (n,).
        probabilities: Out-of-fold probabilities, float32 of shape (n, n_classes); NaN where no fold gave any.
        n_parameters: Of the model.
        pruned: Whether the trial advised to stop.
        out_of_time: Whether the time of the search ended; the folds go on another time.
    """

    folds: list[FoldScore]
    assignment: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    n_parameters: int
    pruned: bool
    out_of_time: bool

    @property
    def scores(self) -> list[float]:
        """Score of each fold."""
        return [fold.score for fold in self.folds]

    @property
    def mean(self) -> float:
        """Mean of the folds' scores; NaN before the first."""
        return float(np.mean(self.scores)) if self.folds else math.nan

    @property
    def spread(self) -> float:
        """Sample standard deviation of the folds' scores; 0 for one fold."""
        return float(np.std(self.scores, ddof=1)) if len(self.folds) > 1 else 0.0

    @property
    def scored(self) -> NDArray[np.int64]:
        """Indices of the pages that a fold has predicted."""
        return np.flatnonzero(~np.isnan(self.probabilities).any(axis=1))

    @property
    def epochs(self) -> int:
        """How many epochs the folds' best models took, on average; at least 1."""
        return round(float(np.mean([fold.epoch + 1 for fold in self.folds])))

    @property
    def metrics(self) -> dict[str, float]:
        """What a search can have as its objectives.

        `macro_f1` is the mean over folds, `macro_f1_pooled` the one score of all out-of-fold predictions,
        `train_seconds` the time of all folds, `parameters` the size of the model.
        """
        predicted = self.probabilities[self.scored].argmax(axis=1)
        pooled = macro_f1(self.labels[self.scored], predicted, self.probabilities.shape[1])
        return {
            "macro_f1": self.mean,
            "macro_f1_pooled": pooled,
            "train_seconds": sum(fold.seconds for fold in self.folds),
            "parameters": float(self.n_parameters),
        }


def cross_validate(
    data: PageDataModule,
    validation: Validation,
    trial: Trial,
    *,
    build_model: Callable[[], PageClassifier],
    build_trainer: Callable[..., pl.Trainer],
    build_logger: Callable[[int], Any],
    checkpoints: FoldCheckpoints | None = None,
    keep_weights: bool = False,
) -> CrossValidation:
    """Train and score one model a fold.

    Args:
        data: All pages.
        validation: The folds and epochs.
        trial: Receives reports and advises to stop.
        build_model: Makes a fresh model.
        build_trainer: Makes a Lightning trainer from further arguments.
        build_logger: Makes the Lightning logger of a fold; what it returns may be False.
        checkpoints: Keeps what is done; without, an interruption loses it.
        keep_weights: Leave each fold's backbone at `checkpoints.weights(fold)`, as it was in the epoch that is kept.

    Raises:
        ConfigError, DataError: See `docclf.data.folds.split_pages`.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    assignment = split_pages(
        data.pages.train,
        n_folds=validation.folds,
        seed=validation.seed,
        class_names=data.pages.class_names,
        split_file=validation.split_file,
    )
    average = FoldAverage(
        trial,
        n_runs=validation.n_runs,
        epochs=validation.epochs,
        prune_after=validation.prune_after,
        each=validation.report,
        seed=validation.seed,
        checkpoints=checkpoints,
        keep_weights=keep_weights,
    )
    kept = checkpoints.load() if checkpoints is not None else None
    if kept is not None and not np.array_equal(kept["assignment"], assignment):
        kept = None  # of another split file under the same name
    if kept is not None:
        average.restore(kept)
    probabilities = kept["probabilities"] if kept else _nothing(len(assignment), len(data.pages.class_names))
    n_parameters = kept["n_parameters"] if kept else 0

    def keep() -> None:
        if checkpoints is not None:
            own = {"assignment": assignment, "probabilities": probabilities, "n_parameters": n_parameters}
            # The weights of a finished fold have a file of their own.
            checkpoints.save_folds({**average.state_dict(), "weights": {}, **own})

    if kept is None:
        keep()
    data.max_batch_size = validation.max_batch_size
    for fold in range(len(average.folds), validation.n_runs):
        rows = np.flatnonzero(assignment == fold)
        data.use_split(np.flatnonzero(assignment != fold), rows)
        _, model = fit_in_memory(data, validation, build_model, build_trainer, average, logger=build_logger(fold))
        n_parameters = sum(parameter.numel() for parameter in model.parameters())
        if len(average.folds) == fold or (average.pruned and validation.report == "epoch"):
            break  # not to its end
        probabilities[rows] = torch.softmax(average.logits, dim=1).numpy()
        if checkpoints is not None and keep_weights:
            save_weights(checkpoints.weights(fold), average.weights)
        keep()
        done = average.folds[-1]
        log.info(f"  fold {fold + 1}/{validation.n_runs}  macro-F1 {done.score:.3f}  {done.seconds:.1f} s")
        if average.pruned or average.out_of_time:
            break
    ended = (average.pruned, average.out_of_time)
    return CrossValidation(average.folds, assignment, data.labels, probabilities, n_parameters, *ended)


def _nothing(n: int, n_classes: int) -> NDArray[np.float32]:
    return np.full((n, n_classes), np.nan, dtype=np.float32)


def fit_in_memory(
    data: PageDataModule,
    validation: Validation,
    build_model: Callable[[], PageClassifier],
    build_trainer: Callable[..., pl.Trainer],
    average: FoldAverage | None = None,
    **options: Any,
) -> tuple[pl.Trainer, PageClassifier]:
    """Train a model; where memory runs out, again with half as many pages at once and gradients accumulated.

    Args:
        average: Watches a fold, which goes on from its last epoch.
        **options: Further arguments of the trainer.
    """
    checkpoints = average.checkpoints if average is not None else None
    callbacks = [average] if average is not None else []
    while True:
        last = checkpoints.epoch if checkpoints is not None else None
        try:
            return fit(data, validation, build_model, build_trainer, last, callbacks=callbacks, **options)
        except torch.OutOfMemoryError as error:
            if not data.halve_batch():
                raise
            log.warning(f"  out of memory, again with at most {data.max_batch_size} pages at once: {error}")
        # Here, where the exception and what its traceback holds are gone.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def fit(
    data: PageDataModule,
    validation: Validation,
    build_model: Callable[[], PageClassifier],
    build_trainer: Callable[..., pl.Trainer],
    ckpt_path: Any = None,
    **options: Any,
) -> tuple[pl.Trainer, PageClassifier]:
    """Train one model on the current split of `data`, from the same random numbers each time.

    Args:
        ckpt_path: Lightning checkpoint to go on from.
        **options: Further arguments of the trainer.
    """
    pl.seed_everything(validation.seed, workers=True, verbose=False)
    model = build_model().to(memory_format=torch.channels_last)
    trainer = build_trainer(max_epochs=validation.epochs, accumulate_grad_batches=data.accumulate, **options)
    trainer.fit(model, datamodule=data, ckpt_path=ckpt_path, weights_only=False)
    return trainer, model
