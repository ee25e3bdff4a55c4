"""The callback that turns the trainings of the folds into one score."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytorch_lightning as pl

from docclf.results.facts import NET
from docclf.training.folds.checkpoints import FoldCheckpoints
from docclf.training.folds.recorder import Candidate, FoldRecorder
from docclf.training.validation import Validation

if TYPE_CHECKING:
    from docclf.sweeper.job.trial import JobTrial

# A configuration that needs no more epochs than this comes to its end when time is up.
_GRACE = 1

# Why a configuration stops before its end. Paused or out of time, its folds can go on; out of time comes first.
Stop = Literal["pruned", "paused", "timeout"]


class UnwantedError(Exception):
    """Ends a training within an epoch: nobody needs it any more, or not in the time that there is."""


@dataclass(frozen=True)
class FoldScore:
    """Result of one fold."""

    fold: int  # index of the fold that validated
    score: float  # validation macro-F1 of the epoch that is kept, the best one
    epoch: int  # that epoch, from 0; of a head 0
    seconds: float  # wall-clock time of the training with its validations
    clean: float | None = None  # macro-F1 of the validation pages as they are, where that is scored besides; else None


class FoldAverage(FoldRecorder):
    """Averages folds while they train, and stops the configuration when its trial advises so or time is up.

    One instance serves all folds of a configuration in turn.

    With `validation.report=epoch` it reports after every epoch the mean of the finished folds' scores and the best so
    far of this fold, at step `fold * epochs + epoch`; with `fold` each fold's own score at step `fold`, for pruners
    that compare step by step (Wilcoxon).
    """

    def __init__(
        self, trial: JobTrial, validation: Validation, checkpoints: FoldCheckpoints, *, keep_weights: bool = False
    ) -> None:
        super().__init__(validation, checkpoints, keep_weights=keep_weights, tell=trial.tell_progress)
        self.trial, self.report = trial, validation.report
        self.by_kind: dict[str, list[FoldScore]] = {}
        """Finished folds of each candidate, see `docclf.training.folds.recorder.Candidate`."""
        self.reports: dict[int, float] = {}
        self.stopped: Stop | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        super().on_train_batch_end(trainer, *arguments)
        # What would stop after this epoch in any case stops now: the time that is kept for finalists is theirs. Only
        # the first trial of a search has its first epoch, so that whatever the budget is, there is something to go on.
        is_first = self.trial.number == 0 and not self.reports
        if not is_first and self._steps_left > 1 + _GRACE and self.trial.out_of_time():
            raise UnwantedError

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        self._report_epoch(self.n_epochs)
        if self.stopped != "pruned" and self._steps_left > _GRACE and self.trial.out_of_time():
            self.stopped = "timeout"
        trainer.should_stop = self.stopped is not None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stopped != "pruned":
            super().on_train_epoch_end(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.stopped in ("paused", "timeout") and trainer.current_epoch < self.epochs:
            return  # goes on another time
        self._finish(self.seconds)

    @property
    def _steps_left(self) -> int:
        return (self.validation.n_trained_folds - self.fold) * self.epochs - self.n_epochs

    def take(self, candidates: dict[str, dict[str, Any]], seconds: float) -> None:
        """Count a fold that was trained elsewhere as if it were trained here and now.

        Paused within it, the fold is not counted: what goes on finds it whole.

        Args:
            candidates: What it may keep, see `docclf.training.folds.recorder.FoldRecorder.state_dict`.
        """
        self.reset()
        self.candidates = {kind: Candidate(**one) for kind, one in candidates.items()}
        n_epochs = 0
        while n_epochs < self.n_epochs and self.stopped is None:
            n_epochs += 1
            self._report_epoch(n_epochs)
        if self.stopped == "paused" and n_epochs < self.n_epochs:
            return
        for one in self.candidates.values():
            del one.scores[n_epochs:]  # which it would not have had here
        self._finish(seconds)

    def _finish(self, seconds: float) -> None:
        for kind, one in self.candidates.items():
            found = FoldScore(self.fold, one.score, one.best_epoch, seconds, one.clean_score)
            self.by_kind.setdefault(kind, []).append(found)
        self.fold += 1
        if self.report == "fold":
            self._report(self.folds[-1].score, self.fold - 1, first=(self.validation.prune_after - 1) // self.epochs)

    def _report_epoch(self, n_epochs: int) -> None:
        if self.report == "epoch":
            step = self.fold * self.epochs + n_epochs - 1
            self._report(self._mean_until(n_epochs), step, first=self.validation.prune_after - 1)

    def _report(self, value: float, step: int, first: int) -> None:
        if step not in self.reports:
            self.reports[step] = value
            self.trial.report(value, step)
            # A trial that is out of time goes on another time, and one that is done has nothing left to save.
            if step < self.validation.n_reports - 1 and self.stopped != "timeout":
                self.stopped = self._advice(may_prune=step >= first)

    def _advice(self, *, may_prune: bool) -> Stop | None:
        if may_prune and self.trial.should_prune():
            return "pruned"
        return "paused" if self.trial.should_pause() else None

    def _mean_until(self, n_epochs: int) -> float:
        """Mean of the finished folds and the best of this one in its first epochs, of the best candidate."""
        return max(
            float(np.mean([*(fold.score for fold in self.by_kind.get(kind, [])), max(one.scores[:n_epochs])]))
            for kind, one in self.candidates.items()
        )

    @property
    def kept(self) -> str:
        """The candidate with the best mean over the finished folds; of equal ones the simplest."""
        return max(self.by_kind, key=lambda kind: self.mean(kind)) if self.by_kind else NET

    def mean(self, kind: str) -> float:
        """Mean score of a candidate over the finished folds."""
        return float(np.mean([fold.score for fold in self.by_kind[kind]]))

    @property
    def folds(self) -> list[FoldScore]:
        """The folds so far, of the candidate that is kept."""
        return self.by_kind.get(self.kept, [])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self.report == "epoch":
            first = self.fold * self.epochs
            self._repeat({first + epoch: self._mean_until(epoch + 1) for epoch in range(self.n_epochs)})

    def finished(self) -> dict[str, Any]:
        """The finished folds and their reports, for `restore`."""
        folds = {kind: [asdict(fold) for fold in folds] for kind, folds in self.by_kind.items()}
        return {"folds": folds, "reports": self.reports}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over finished folds and their reports, and report them to this trial."""
        self.by_kind = {kind: [FoldScore(**fold) for fold in folds] for kind, folds in state["folds"].items()}
        self.fold = len(self.folds)
        self._repeat(state["reports"])

    def _repeat(self, reports: dict[int, float]) -> None:
        for step, value in reports.items():
            if step not in self.reports:
                self.reports[step] = value
                self.trial.report(value, step)
