"""Folds are reported once a step, averaged, stopped when advised, and predicted by the epoch that is kept."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import SGD, AdamW

from docclf.crossval import CrossValidation, FoldScore, Validation, cross_validate, fit
from docclf.data.augment import BatchAugment
from docclf.data.folds import assign_folds
from docclf.data.module import PageDataModule
from docclf.data.pages import read_csv
from docclf.errors import ConfigError, NonFiniteLossError
from docclf.model import PageClassifier, constant, macro_f1
from docclf.trainer import make_trainer


class Recorder:
    """A trial that keeps what it is told and advises to stop at one step."""

    def __init__(self, prune_at: int | None = None) -> None:
        self.reports: list[tuple[int, float]] = []
        self.asked: list[int] = []
        self.prune_at = prune_at

    def report(self, value: float, step: int) -> None:
        self.reports.append((step, value))

    def should_prune(self) -> bool:
        self.asked.append(self.reports[-1][0])
        return self.reports[-1][0] == self.prune_at


class Epochs(pl.Callback):
    """Keeps score, labels and logits of every validation, fold by fold."""

    def __init__(self) -> None:
        self.scores: list[list[float]] = []
        self.logits: list[list[Tensor]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.scores.append([])
        self.logits.append([])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PageClassifier)
        self.scores[-1].append(float(trainer.callback_metrics["val/macro_f1"]))
        self.logits[-1].append(pl_module.logits.clone())


@pytest.fixture
def data(pages_root: Path) -> PageDataModule:
    return PageDataModule(str(pages_root), reader=read_csv, augment=BatchAugment(), batch_size=8, image_size=32)


def model(name: str = "test_resnet", optimizer: Any = None, **options: Any) -> PageClassifier:
    optimizer = optimizer or functools.partial(AdamW, lr=3e-3)
    return PageClassifier(name, num_classes=3, image_size=32, optimizer=optimizer, scheduler=constant, **options)


def validate(
    data: PageDataModule, trial: Recorder, build_model: Any = model, **validation: Any
) -> tuple[CrossValidation, Epochs]:
    epochs = Epochs()

    def build_trainer(callbacks: Sequence[pl.Callback], **options: Any) -> pl.Trainer:
        return make_trainer(accelerator="cpu", callbacks=[*callbacks, epochs], **options)

    result = cross_validate(
        data,
        Validation(**validation),
        trial,
        build_model=build_model,
        build_trainer=build_trainer,
        build_logger=lambda fold: False,
    )
    return result, epochs


def test_folds_report_their_running_mean_once_a_step_and_keep_their_best_epoch(data: PageDataModule) -> None:
    trial = Recorder()
    result, epochs = validate(data, trial, folds=3, epochs=4)

    best = [max(scores) for scores in epochs.scores]
    assert [fold.score for fold in result.folds] == best == result.scores
    assert [fold.epoch for fold in result.folds] == [scores.index(max(scores)) for scores in epochs.scores]
    assert [fold.fold for fold in result.folds] == [0, 1, 2] and all(fold.seconds > 0 for fold in result.folds)
    assert not result.pruned
    assert (result.mean, result.spread) == pytest.approx((np.mean(best), np.std(best, ddof=1)))

    assert [step for step, _ in trial.reports] == list(range(12)), "fold * epochs + epoch, each once"
    expected = [
        np.mean([*best[:fold], max(epochs.scores[fold][: epoch + 1])]) for fold in range(3) for epoch in range(4)
    ]
    assert [value for _, value in trial.reports] == pytest.approx(expected)


def test_out_of_fold_predictions_are_those_of_the_kept_epoch(data: PageDataModule) -> None:
    result, epochs = validate(data, Recorder(), folds=3, epochs=4)
    assert any(fold.epoch < 3 for fold in result.folds), "or the test could not tell the best epoch from the last"
    labels = torch.from_numpy(data.labels)
    for fold, logits in zip(result.folds, epochs.logits, strict=True):
        rows = np.flatnonzero(result.assignment == fold.fold)
        assert np.allclose(result.probabilities[rows], torch.softmax(logits[fold.epoch], 1).numpy(), atol=1e-6)
        assert float(macro_f1(logits[fold.epoch], labels[rows], 3)) == pytest.approx(fold.score)
    expected = assign_folds(data.labels, n_folds=3, seed=42, class_names=data.pages.class_names)
    assert np.array_equal(result.assignment, expected)


def test_pages_are_learnt(data: PageDataModule) -> None:
    result, _ = validate(data, Recorder(), folds=2, epochs=8)
    assert result.mean > 0.8


def test_advice_to_stop_ends_the_epoch_s_fold_and_leaves_later_folds_untrained(data: PageDataModule) -> None:
    trial = Recorder(prune_at=4)
    result, epochs = validate(data, trial, folds=3, epochs=3)
    assert result.pruned and len(result.folds) == 2
    assert [len(scores) for scores in epochs.scores] == [3, 2], "steps 0 to 4, the third fold was not begun"
    assert [step for step, _ in trial.reports] == [0, 1, 2, 3, 4]
    predicted = ~np.isnan(result.probabilities).any(axis=1)
    assert set(result.assignment[predicted]) == {0}, "an unfinished fold predicts nothing"


def test_advice_is_not_asked_before_enough_reports(data: PageDataModule) -> None:
    trial = Recorder(prune_at=0)
    result, _ = validate(data, trial, folds=2, epochs=2, prune_after=3)
    assert not result.pruned and trial.asked == [2, 3] and len(trial.reports) == 4


def test_a_single_split_trains_one_fold_and_has_no_spread(data: PageDataModule) -> None:
    trial = Recorder()
    result, epochs = validate(data, trial, folds=4, run_folds=1, epochs=2)
    assert len(result.folds) == len(epochs.scores) == 1 and len(trial.reports) == 2
    assert result.spread == 0 and result.mean == result.folds[0].score
    assert np.array_equal(np.isnan(result.probabilities).any(axis=1), result.assignment != 0)


def test_the_spread_is_the_sample_standard_deviation() -> None:
    folds = [FoldScore(i, score, 0, 1.0) for i, score in enumerate([0.5, 0.7, 0.9])]
    result = CrossValidation(folds, np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.float32), False)
    assert (result.mean, result.spread) == pytest.approx((0.7, 0.2))


@pytest.mark.parametrize(("batch_size", "split"), [(4, "training"), (24, "validation")])
def test_no_score_of_a_model_that_broke_is_reported(data: PageDataModule, batch_size: int, split: str) -> None:
    """With one step an epoch the loss of that step is still finite: only validation shows what the step did."""
    data.batch_size = batch_size
    trial = Recorder()
    broken = functools.partial(model, optimizer=functools.partial(SGD, lr=1e30))
    with pytest.raises(
        NonFiniteLossError, match=rf"The {split} loss became (nan|inf) in epoch 1\. A smaller optimizer"
    ):
        validate(data, trial, broken, folds=2, epochs=1)
    assert trial.reports == []


# Batches that go through the model in parts


def train_once(data: PageDataModule, max_batch_size: int | None) -> tuple[dict[str, Tensor], int]:
    data.use_split(np.arange(24), np.arange(0))
    data.max_batch_size = max_batch_size
    # No batch normalisation, no dropout: nothing but the sum of gradients can depend on the parts. SGD, not Adam, which
    # would hide a wrong scale of them.
    build = functools.partial(model, "test_convnext", functools.partial(SGD, lr=0.1))
    trainer, trained = fit(
        data, Validation(epochs=2), build, functools.partial(make_trainer, accelerator="cpu"),
        logger=False, limit_val_batches=0,
    )  # fmt: skip
    return {key: value.clone() for key, value in trained.net.state_dict().items()}, trainer.global_step


@pytest.mark.parametrize(("batch_size", "max_batch_size"), [(8, 4), (8, 1), (12, 5)])
def test_parts_of_a_batch_train_as_the_whole_batch_does(
    data: PageDataModule, batch_size: int, max_batch_size: int
) -> None:
    data.batch_size = batch_size
    whole, n_steps = train_once(data, None)
    parts, n_steps_in_parts = train_once(data, max_batch_size)
    assert n_steps == n_steps_in_parts == 2 * math.ceil(24 / batch_size)
    pl.seed_everything(42, verbose=False)
    start = model("test_convnext").net.state_dict()
    for key in whole:
        assert torch.allclose(whole[key], parts[key], atol=1e-5), key
    moved = max(float((whole[key] - start[key]).abs().max()) for key in whole)
    assert moved > 1e-3, "or there is nothing to compare"


@pytest.mark.parametrize("name", ["epochs", "run_folds", "max_batch_size"])
def test_counts_below_1_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"Expected `validation\.{name}` to be at least 1, got 0\."):
        Validation(**{name: 0})
