"""The folds of one configuration."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from docclf.fitting import FoldTrainer
from docclf.fold_average import FoldAverage, FoldScore, Trial
from docclf.resume import FoldCheckpoints, NoLocksError
from docclf.scores import macro_f1
from docclf.shared_folds import POLL_S, SharedFolds, UnwantedError
from docclf.validation import Validation as Validation  # where configs look for it

log = logging.getLogger(__name__)


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
    trainer: FoldTrainer, trial: Trial, build_logger: Callable[[int], Any], *, is_shared: bool = False
) -> CrossValidation:
    """Train and score one model a fold.

    Args:
        trainer: Trains the folds.
        trial: Receives reports and advises to stop.
        build_logger: Makes the Lightning loggers of a fold; what it returns may be False.
        is_shared: Whether other processes may help, see `help_folds`. The result is the same.

    Raises:
        ConfigError, DataError: See `docclf.data.folds.split_pages`.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    validation, checkpoints = trainer.validation, trainer.checkpoints
    trainer.data.max_batch_size = validation.max_batch_size
    assignment = trainer.assign()
    average = FoldAverage(trial, prune_after=validation.prune_after, each=validation.report, **trainer.watched)
    state = _kept(checkpoints, assignment) or _nothing(assignment, len(trainer.data.pages.class_names))
    average.restore(state)

    def keep() -> None:
        if checkpoints is not None:
            checkpoints.save_folds({**state, **average.finished()})

    keep()
    with SharedFolds(trainer, assignment, is_wanted=lambda: not trial.out_of_time(), is_shared=is_shared) as shared:
        for fold in range(len(average.folds), validation.n_runs):
            try:
                state["n_parameters"] = shared.run(average, build_logger)
            except UnwantedError:
                average.out_of_time = True
            if len(average.folds) == fold or (average.pruned and validation.report == "epoch"):
                break  # not to its end
            state["probabilities"][assignment == fold] = torch.softmax(average.logits, dim=1).numpy()
            keep()
            score, by = average.folds[-1], ", by another worker" if fold in shared.by_others else ""
            log.info(f"  fold {fold + 1}/{validation.n_runs}  macro-F1 {score.score:.3f}  {score.seconds:.1f} s{by}")
            if average.pruned or average.out_of_time:
                break
    return CrossValidation(
        average.folds,
        assignment,
        trainer.data.labels,
        state["probabilities"],
        state["n_parameters"],
        pruned=average.pruned,
        out_of_time=average.out_of_time,
    )


def _kept(checkpoints: FoldCheckpoints | None, assignment: NDArray[np.int64]) -> dict[str, Any] | None:
    """What an interrupted run of the same folds has kept; None without one."""
    kept = checkpoints.load() if checkpoints is not None else None
    if checkpoints is None or kept is None or np.array_equal(kept["assignment"], assignment):
        return kept
    checkpoints.discard()  # of another split file under the same name
    return None


def _nothing(assignment: NDArray[np.int64], n_classes: int) -> dict[str, Any]:
    """What there is before the first fold."""
    probabilities = np.full((len(assignment), n_classes), np.nan, dtype=np.float32)
    return {"folds": [], "reports": {}, "assignment": assignment, "probabilities": probabilities, "n_parameters": 0}


def help_folds(trainer: FoldTrainer, is_wanted: Callable[[], bool]) -> None:
    """Train folds that `cross_validate` has not come to, which another process runs with the same configuration.

    Args:
        trainer: Trains the folds; its checkpoints are those of the other process.
        is_wanted: Whether that one still runs; asked after each epoch.
    """
    checkpoints = trainer.checkpoints
    assert checkpoints is not None
    trainer.data.max_batch_size = trainer.validation.max_batch_size
    while (opened := checkpoints.opened()) is None:
        if not is_wanted():
            return
        time.sleep(POLL_S)
    with (
        suppress(UnwantedError, NoLocksError),
        SharedFolds(trainer, opened["assignment"], is_wanted=is_wanted) as shared,
    ):
        while is_wanted() and (opened := checkpoints.opened()) is not None:
            if not shared.help(len(opened["folds"])):
                return
