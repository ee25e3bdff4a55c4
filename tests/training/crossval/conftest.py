"""Cross-validations on tiny pages, with trials that keep what they are told and callbacks that keep what is trained."""

import functools
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from torch import Tensor
from torch.optim import AdamW

from docclf.data.augment.batch import BatchAugment
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv
from docclf.models.classifier import PageClassifier
from docclf.models.schedules import constant
from docclf.training.crossval import CrossValidation, cross_validate
from docclf.training.folds.checkpoints import FoldCheckpoints
from docclf.training.folds.trainer import FoldTrainer
from docclf.training.trainer import make_trainer
from docclf.training.validation import Validation


class Recorder:
    """A trial that keeps what it is told.

    Args:
        prune_at: Step at which it advises to stop.
        out_of_time_at: Step from which on the time is over.
        break_at: Step whose report ends in an interruption.
        pause_at: Step at which it advises to pause.
    """

    def __init__(
        self,
        prune_at: int | None = None,
        out_of_time_at: int | None = None,
        break_at: int | None = None,
        pause_at: int | None = None,
    ) -> None:
        self.number: int | None = None
        self.reports: list[tuple[int, float]] = []
        self.asked: list[int] = []
        self.told: list[str] = []
        self.prune_at, self.out_of_time_at, self.break_at = prune_at, out_of_time_at, break_at
        self.pause_at = pause_at

    def report(self, value: float, step: int) -> None:
        self.reports.append((step, value))
        if step == self.break_at:
            raise KeyboardInterrupt

    def should_prune(self) -> bool:
        self.asked.append(self.reports[-1][0])
        return self.reports[-1][0] == self.prune_at

    def should_pause(self) -> bool:
        return self.reports[-1][0] == self.pause_at

    def out_of_time(self) -> bool:
        return self.out_of_time_at is not None and bool(self.reports) and self.reports[-1][0] >= self.out_of_time_at

    def tell_progress(self, text: str) -> None:
        self.told.append(text)


class Epochs(pl.Callback):
    """Keeps score and logits of every validation, training by training, and the steps of the optimizer."""

    def __init__(self) -> None:
        self.scores: list[list[float]] = []
        self.logits: list[list[Tensor]] = []
        self.steps: list[int] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.scores.append([])
        self.logits.append([])
        self.steps.append(0)

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.steps[-1] += 1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PageClassifier)
        self.scores[-1].append(float(trainer.callback_metrics["val/macro_f1"]))
        self.logits[-1].append(pl_module.logits.clone())

    @property
    def lengths(self) -> list[int]:
        """Epochs of each training."""
        return [len(scores) for scores in self.scores]


class Folds:
    """Runs cross-validations of one data set.

    Args:
        root: Folder of the pages.
        new_folder: Makes a folder for a run that is given none.
    """

    Recorder = Recorder

    def __init__(self, root: Path, new_folder: Callable[[], Path]) -> None:
        self.new_folder = new_folder
        # Turns, so that random numbers matter
        self.data = PageDataModule(
            str(root), reader=read_csv, augment=BatchAugment(degrees=5), batch_size=8, image_size=32
        )

    @staticmethod
    def model(name: str = "test_resnet", optimizer: Any = None, **options: Any) -> PageClassifier:
        optimizer = optimizer or functools.partial(AdamW, lr=3e-3)
        return PageClassifier(name, num_classes=3, image_size=32, optimizer=optimizer, scheduler=constant, **options)

    def run(
        self,
        trial: Recorder,
        build_model: Callable[[], PageClassifier] | None = None,
        *,
        checkpoints: FoldCheckpoints | None = None,
        callback: pl.Callback | None = None,
        **validation: Any,
    ) -> tuple[CrossValidation, Epochs]:
        """Result of a cross-validation, and what it trained."""
        epochs = Epochs()
        self.data.max_batch_size = validation.get("max_batch_size")
        more = [epochs] if callback is None else [epochs, callback]

        def build_trainer(callbacks: Sequence[pl.Callback], **options: Any) -> pl.Trainer:
            return make_trainer(accelerator="cpu", precision="32-true", callbacks=[*callbacks, *more], **options)

        trainer = FoldTrainer(
            self.data,
            Validation(**validation),
            build_model or self.model,
            build_trainer,
            checkpoints=checkpoints or FoldCheckpoints(self.new_folder(), "key"),
        )
        return cross_validate(trainer, trial, lambda fold: False), epochs

    def break_off(self, *arguments: Any, **options: Any) -> None:
        """A cross-validation that must end in an interruption."""
        handler = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises((KeyboardInterrupt, SystemExit)):  # Lightning makes the one of the other
                self.run(*arguments, **options)
        finally:
            signal.signal(signal.SIGINT, handler)  # which Lightning sets to nothing at all


@pytest.fixture
def folds(pages_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Folds:
    return Folds(pages_root, lambda: tmp_path_factory.mktemp("run"))


class Slow:
    """Three folds of three epochs of a model that learns so slowly, with dropout, that epochs differ.

    Args:
        folds: Runs them.
        undisturbed: Result and reports of a run that nothing interrupts, by kind of report; filled when first needed.
    """

    def __init__(self, folds: Folds, undisturbed: dict[str, Any]) -> None:
        self.folds, self.undisturbed = folds, undisturbed
        self.model = functools.partial(folds.model, optimizer=functools.partial(AdamW, lr=5e-4), drop_rate=0.2)

    def run(
        self, trial: Recorder, checkpoints: FoldCheckpoints | None = None, **options: Any
    ) -> tuple[CrossValidation, Epochs]:
        return self.folds.run(trial, self.model, checkpoints=checkpoints, **{"folds": 3, "epochs": 3, **options})

    def break_off(self, trial: Recorder, checkpoints: FoldCheckpoints, **options: Any) -> None:
        self.folds.break_off(trial, self.model, checkpoints=checkpoints, **{"folds": 3, "epochs": 3, **options})

    def require_same(self, result: CrossValidation, trial: Any, **options: Any) -> None:
        """Nothing but the seconds tells that there was an interruption."""
        kind = str(options)
        if kind not in self.undisturbed:
            recorder = self.folds.Recorder()
            self.undisturbed[kind] = (self.run(recorder, **options)[0], recorder.reports)
        expected, reports = self.undisturbed[kind]
        assert len({fold.epoch for fold in expected.folds}) > 1, "or the kept epochs could not be told apart"
        assert [(f.fold, f.score, f.epoch) for f in result.folds] == [
            (f.fold, f.score, f.epoch) for f in expected.folds
        ]
        assert np.array_equal(result.probabilities, expected.probabilities)
        assert (result.n_parameters, result.stopped) == (expected.n_parameters, None)
        assert trial.reports == reports, "all of them, once each"


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    return {}


@pytest.fixture
def slow(folds: Folds, undisturbed: dict[str, Any]) -> Slow:
    return Slow(folds, undisturbed)
