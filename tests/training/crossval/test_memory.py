"""Batches go through the model in parts, as small as memory asks for, and train as the whole batch does."""

import functools
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from slowly import slowly
from torch import Tensor
from torch.optim import SGD

from docclf.data.augment.batch import BatchAugment
from docclf.data.module import PageDataModule
from docclf.models.classifier import PageClassifier
from docclf.models.schedules import constant
from docclf.training.folds.checkpoints import FoldCheckpoints
from docclf.training.folds.trainer import FoldTrainer
from docclf.training.kept_model import refit_all
from docclf.training.trainer import make_trainer
from docclf.training.validation import Validation


@pytest.fixture
def folds(folds: Any) -> Any:
    folds.data.augment = BatchAugment()  # which would draw other numbers for other parts
    return folds


def train_once(folds: Any, max_batch_size: int | None) -> tuple[dict[str, Tensor], int]:
    data: PageDataModule = folds.data
    data.use_split(np.arange(24), np.arange(0))
    data.max_batch_size = max_batch_size
    # No batch normalisation, no dropout: nothing but the sum of gradients can depend on the parts. SGD, not Adam, which
    # would hide a wrong scale of them.
    build = functools.partial(folds.model, "test_convnext", functools.partial(SGD, lr=0.1))
    build_trainer = functools.partial(make_trainer, accelerator="cpu", precision="32-true")
    trainer = FoldTrainer(data, Validation(), build, build_trainer, FoldCheckpoints(folds.new_folder(), "key"))
    trained = trainer.fit(2, logger=False, limit_val_batches=0)
    return {key: value.clone() for key, value in trained.net.state_dict().items()}, trained.global_step


@pytest.mark.parametrize(("batch_size", "max_batch_size"), [(8, 4), *slowly((8, 1), (12, 5))])
def test_parts_of_a_batch_train_as_the_whole_batch_does(folds: Any, batch_size: int, max_batch_size: int) -> None:
    folds.data.batch_size = batch_size
    whole, n_steps = train_once(folds, None)
    parts, n_steps_in_parts = train_once(folds, max_batch_size)
    assert n_steps == n_steps_in_parts == 2 * math.ceil(24 / batch_size)
    pl.seed_everything(42, verbose=False)
    start = folds.model("test_convnext").net.state_dict()
    for key in whole:
        assert torch.allclose(whole[key], parts[key], atol=1e-5), key
    moved = max(float((whole[key] - start[key]).abs().max()) for key in whole)
    assert moved > 1e-3, "or there is nothing to compare"


# Memory that runs out


class Hungry(PageClassifier):
    """Needs memory for each page that it learns from.

    Args:
        most: Pages that memory holds.
        from_epoch: In epochs before there is memory for all.
        tried: Gets the number of pages of every training batch.
    """

    def __init__(self, *arguments: Any, most: int, tried: list[int], from_epoch: int = 0, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.most, self.tried, self.from_epoch = most, tried, from_epoch

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.tried.append(len(images))
            if len(images) > self.most and self.current_epoch >= self.from_epoch:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(images)} pages.")
        return super().forward(images)


def hungry(**options: Any) -> Any:
    sgd = functools.partial(SGD, lr=0.1)
    return functools.partial(
        Hungry, "test_convnext", num_classes=3, image_size=32, optimizer=sgd, scheduler=constant, **options
    )


@pytest.mark.parametrize("most", [3, *slowly(4, 1)])
def test_a_fold_without_memory_is_trained_again_with_halves_until_it_fits(
    folds: Any, most: int, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []
    trial = folds.Recorder()
    result, epochs = folds.run(trial, hungry(most=most, tried=tried), folds=2, epochs=2)
    fits = {4: 4, 3: 4, 1: 1}[most]
    failed = [n for n in (8, 4, 2) if n > fits]
    # 12 training pages are 2 steps of 6 pages: as a whole, as 2 x 3, as 3 x 2, as 6 x 1
    assert tried[: len(failed)] == [{8: 6, 4: 3, 2: 2}[n] for n in failed]
    assert max(tried[len(failed) :]) <= most
    assert [record.levelname for record in caplog.records if "out of memory, retrying" in record.message] == (
        ["WARNING"] * len(failed)
    )
    assert f"retrying with at most {fits} pages at once: CUDA out of memory." in caplog.text
    assert epochs.steps[-2:] == [4, 4], "2 steps an epoch, as with whole batches"
    assert [step for step, _ in trial.reports] == [0, 1, 2, 3]

    # The second fold begins with what the first one has found out
    assert epochs.lengths == [0] * len(failed) + [2, 2]
    expected, _ = folds.run(folds.Recorder(), hungry(most=8, tried=[]), folds=2, epochs=2, max_batch_size=fits)
    assert result.scores == expected.scores
    assert np.array_equal(result.probabilities, expected.probabilities)
    whole, _ = folds.run(folds.Recorder(), hungry(most=8, tried=[]), folds=2, epochs=2)
    assert np.allclose(result.probabilities, whole.probabilities, atol=1e-3)


@pytest.mark.slow
def test_where_one_page_is_too_much_the_error_is_the_model_s_own(folds: Any) -> None:
    tried: list[int] = []
    trial = folds.Recorder()
    with pytest.raises(torch.OutOfMemoryError, match=r"^CUDA out of memory\. Tried to allocate 1 pages\.$"):
        folds.run(trial, hungry(most=0, tried=tried), folds=2, epochs=1)
    assert tried == [6, 3, 2, 1] and trial.reports == []


@pytest.mark.slow
def test_a_model_of_all_pages_is_trained_in_the_memory_that_there_is(
    folds: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []
    trainer = functools.partial(make_trainer, accelerator="cpu")
    found, whole = (
        refit_all(FoldTrainer(folds.data, Validation(), model, trainer, FoldCheckpoints(tmp_path, "key")), 2)
        for model in (hungry(most=4, tried=tried), hungry(most=4, tried=[]))
    )
    assert tried[0] == 8 and max(tried[1:]) == 4 and caplog.text.count("retrying with at most 4 pages at once") == 1
    assert all(torch.equal(found[key], whole[key]) for key in found), "which began with what the first one found out"


@pytest.mark.slow
def test_memory_that_runs_out_in_a_later_epoch_costs_that_epoch_alone(
    folds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    trial = folds.Recorder()
    with caplog.at_level(logging.WARNING):
        result, epochs = folds.run(trial, hungry(most=4, tried=[], from_epoch=1), folds=2, epochs=3)
    assert caplog.text.count("out of memory, retrying with at most 4 pages") == 1
    assert [step for step, _ in trial.reports] == [0, 1, 2, 3, 4, 5], "no step twice"
    assert (epochs.lengths, epochs.steps) == ([1, 2, 3], [2, 4, 6])
    assert len(result.folds) == 2 and not np.isnan(result.probabilities).any()
    whole, _ = folds.run(folds.Recorder(), hungry(most=8, tried=[]), folds=2, epochs=3)
    assert np.allclose(result.probabilities, whole.probabilities, atol=1e-3)
