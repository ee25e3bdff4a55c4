"""The folds of one configuration."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache.stopwatch import Stopwatch
from docclf.metrics.scores import macro_f1
from docclf.models.frozen.heads import Heads
from docclf.results.facts import HEAD, NET
from docclf.training.folds.average import FoldAverage, FoldScore, Stop, UnwantedError
from docclf.training.folds.checkpoints import NoLocksError
from docclf.training.folds.shared import POLL_S, SharedFolds
from docclf.training.folds.trainer import FoldTrainer
from docclf.training.validation import Validation

if TYPE_CHECKING:
    from docclf.sweeper.job.trial import JobTrial

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidation:
    """Result of all folds of a configuration."""

    # one entry for each finished fold, and one for the fold in which the configuration was pruned
    folds: list[FoldScore]
    # fold of each training page, int64 of shape (n,); -1 for pages in training only, with `data.rare_classes=train`
    assignment: NDArray[np.int64]
    labels: NDArray[np.int64]  # class of each training page, int64 of shape (n,)
    # out-of-fold probabilities, float32 of shape (n, n_classes); NaN where no fold gave any
    probabilities: NDArray[np.float32]
    n_parameters: int  # of the model
    # why it stopped before its end, see `docclf.training.folds.average.Stop`; None where it did not
    stopped: Stop | None = None
    kept: str = NET  # the candidate that scored best, see `docclf.training.folds.recorder.Candidate`
    kept_scores: dict[str, float] = field(default_factory=dict)  # mean score of each candidate

    @property
    def scores(self) -> list[float]:
        """Score of each fold."""
        return [fold.score for fold in self.folds]

    @property
    def clean_scores(self) -> list[float]:
        """Score of each fold on its pages as they are; empty where that was not measured."""
        return [fold.clean for fold in self.folds if fold.clean is not None]

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
        `macro_f1_clean` the mean over folds of their pages as they are, where that was measured, `train_seconds` the
        time of all folds without the pass over the pages that all heads share, `parameters` the size of the model.
        """
        predicted = self.probabilities[self.scored].argmax(axis=1)
        pooled = macro_f1(self.labels[self.scored], predicted, self.probabilities.shape[1])
        return {
            "macro_f1": self.mean,
            "macro_f1_pooled": pooled,
            **({"macro_f1_clean": float(np.mean(self.clean_scores))} if self.clean_scores else {}),
            "train_seconds": sum(fold.seconds for fold in self.folds),
            "parameters": float(self.n_parameters),
        }


def cross_validate(
    trainer: FoldTrainer, trial: JobTrial, build_logger: Callable[[int], Any], *, is_shared: bool = False
) -> CrossValidation:
    """Train and score one model a fold.

    Args:
        build_logger: Makes the Lightning loggers of a fold; what it returns may be False.
        is_shared: Whether other processes may help, see `help_folds`. The result is the same.

    Raises:
        ConfigError, DataError: See `docclf.data.folds.split_pages`.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    validation, checkpoints = trainer.validation, trainer.checkpoints
    assignment = trainer.assign()
    average = FoldAverage(trial, validation, checkpoints, keep_weights=trainer.keep_weights)
    state = checkpoints.resume()
    if state is None or not np.array_equal(state["assignment"], assignment):  # the latter of another split file
        checkpoints.discard()
        state = {"folds": {}, "reports": {}, "assignment": assignment, "probabilities": {}, "n_parameters": 0}
    none_yet = np.full((len(assignment), len(trainer.data.pages.class_names)), np.nan, np.float32)
    average.restore(state)
    checkpoints.save_run(state)  # opens the run: helpers wait for this file, see `FoldCheckpoints.is_open`
    with SharedFolds(trainer, assignment, is_wanted=lambda: not trial.out_of_time(), is_shared=is_shared) as shared:
        for fold in range(average.fold, validation.n_trained_folds):
            try:
                state["n_parameters"] = shared.run(average, build_logger)
            except UnwantedError:
                average.stopped = "timeout"
            if average.fold == fold or (average.stopped == "pruned" and validation.report == "epoch"):
                break
            for kind, candidate in average.candidates.items():
                known = state["probabilities"].setdefault(kind, none_yet.copy())
                known[assignment == fold] = candidate.probabilities
            checkpoints.save_run({**state, **average.finished()})
            _log_fold(average, by_another=fold in shared.by_others)
            if average.stopped is not None:
                break
    return CrossValidation(
        average.folds,
        assignment,
        trainer.data.labels,
        state["probabilities"].get(average.kept, none_yet),
        state["n_parameters"],
        stopped=average.stopped,
        kept=average.kept,
        kept_scores={kind: average.mean(kind) for kind in average.by_kind} if trainer.heads is not None else {},
    )


def cross_validate_heads(
    heads: Heads, validation: Validation, assignment: NDArray[np.int64], trial: JobTrial
) -> CrossValidation:
    """Fit and score one head a fold; mostly a second or less for each, so none is pruned. Errors as for `Heads.folds`.

    Args:
        assignment: Fold of each training page, shape (n,).
        trial: Receives the score of each fold where `validation.report` is `fold`.
    """
    labels, n_classes = heads.data.labels, len(heads.data.pages.class_names)
    probabilities = np.full((len(labels), n_classes), np.nan, dtype=np.float32)
    folds: list[FoldScore] = []
    watch, started = Stopwatch(), 0.0
    for fold, (rows, found) in enumerate(heads.folds(assignment, validation.n_trained_folds)):
        probabilities[rows] = found.probabilities
        score = macro_f1(labels[rows], found.probabilities.argmax(axis=1), n_classes)
        clean = None if found.clean is None else macro_f1(labels[rows], found.clean.argmax(axis=1), n_classes)
        ended = watch.again  # features that whoever comes first computes are no trial's own
        folds.append(FoldScore(fold, score, 0, ended - started, clean))
        started = ended
        if validation.report == "fold":
            trial.report(score, fold)
        log.info(_fold_line(folds[-1], validation.n_trained_folds))
    return CrossValidation(folds, assignment, labels, probabilities, (heads.n_features + 1) * n_classes, kept=HEAD)


def _log_fold(average: FoldAverage, *, by_another: bool) -> None:
    """Say how the last fold came out."""
    parts = ", ".join(f"{kind} {folds[-1].score:.3f}" for kind, folds in average.by_kind.items())
    of, by = f" ({parts})" if len(average.by_kind) > 1 else "", ", by another worker" if by_another else ""
    log.info(f"{_fold_line(average.folds[-1], average.validation.n_trained_folds, of)}{by}")


def _fold_line(score: FoldScore, n_trained_folds: int, parts: str = "") -> str:
    """
    >>> _fold_line(FoldScore(0, 0.8, 0, 1.0), 3), _fold_line(FoldScore(0, 0.8, 0, 1.0, clean=0.9), 3)
    ('  fold 1/3  macro-F1 0.800  1.0 s', '  fold 1/3  macro-F1 0.800, clean 0.900  1.0 s')
    """
    clean = "" if score.clean is None else f", clean {score.clean:.3f}"
    return f"  fold {score.fold + 1}/{n_trained_folds}  macro-F1 {score.score:.3f}{clean}{parts}  {score.seconds:.1f} s"


def help_folds(trainer: FoldTrainer, is_wanted: Callable[[], bool]) -> None:
    """Train folds that `cross_validate` has not come to, which another process runs with the same configuration.

    Args:
        trainer: Trains the folds; its checkpoints are those of the other process.
        is_wanted: Whether that one still runs; asked after each epoch.
    """
    checkpoints = trainer.checkpoints
    while (opened := checkpoints.read_open_run()) is None:
        if not is_wanted():
            return
        time.sleep(POLL_S)
    with (
        suppress(UnwantedError, NoLocksError),
        SharedFolds(trainer, opened["assignment"], is_wanted=is_wanted) as shared,
    ):
        while is_wanted() and (opened := checkpoints.read_open_run()) is not None:
            if not shared.help(max(map(len, opened["folds"].values()), default=0)):
                return
