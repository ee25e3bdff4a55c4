"""Batches: every page once, evenly cut, augmented in training only."""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from docclf.data.augment.batch import BatchAugment, resize
from docclf.data.module import EvenBatches, PageDataModule, class_weights
from docclf.data.readers import read_csv
from docclf.models.classifier import PageClassifier
from docclf.models.schedules import constant
from docclf.training.trainer import make_trainer


def module(root: Path, **options: Any) -> PageDataModule:
    settings: dict[str, Any] = {"reader": read_csv, "augment": BatchAugment(), "image_size": 32, **options}
    return PageDataModule(str(root), **settings)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize(("n", "batch_size"), [(1, 8), (8, 8), (9, 8), (17, 16), (24, 5), (7, 100), (3, 1)])
def test_every_page_is_in_one_batch_and_batches_are_of_nearly_one_size(
    n: int, batch_size: int, accumulate: int
) -> None:
    rows = np.arange(100, 100 + n)
    batches = EvenBatches(rows, batch_size, accumulate)
    parts = list(batches)
    assert len(parts) == len(batches) == math.ceil(n / batch_size) * accumulate
    steps = [np.concatenate(parts[i : i + accumulate]) for i in range(0, len(parts), accumulate)]
    if n >= accumulate * math.ceil(n / batch_size):
        assert sorted(np.concatenate(steps)) == rows.tolist()
        assert max(map(len, steps)) <= batch_size or batch_size < accumulate
        assert np.ptp([len(step) for step in steps]) <= 1
    assert min(map(len, parts)) >= 1


def test_batches_are_shuffled_anew_every_epoch_by_torch_s_seed() -> None:
    batches = EvenBatches(np.arange(20), 8)
    torch.manual_seed(0)
    first, second = np.concatenate(list(batches)), np.concatenate(list(batches))
    torch.manual_seed(0)
    assert np.array_equal(first, np.concatenate(list(batches))) and not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("batch_size", "n_train", "max_batch_size"),
    [
        (8, 24, None),
        (8, 24, 4),
        (8, 24, 3),
        (16, 24, 8),
        (20, 21, 3),
        (16, 17, 1),
        (64, 24, 5),
        (8, 24, 100),
        (2, 3, 1),
    ],
)
def test_no_part_is_larger_than_the_cap_or_empty(
    pages_root: Path, batch_size: int, n_train: int, max_batch_size: int | None
) -> None:
    data = module(pages_root, batch_size=batch_size)
    data.max_batch_size = max_batch_size
    data.use_split(np.arange(n_train), np.arange(0))
    loader = data.train_dataloader()
    sizes = [len(labels) for _, labels, _ in loader]
    assert len(sizes) == math.ceil(n_train / batch_size) * data.accumulate
    assert min(sizes) >= 1 and max(sizes) <= min(max_batch_size or batch_size, batch_size)


def test_a_split_serves_its_pages_and_no_others(pages_root: Path) -> None:
    data = module(pages_root, batch_size=5)
    train, validation = np.arange(0, 24, 2), np.arange(23, 0, -2)
    data.use_split(train, validation)
    labels = torch.cat([labels for _, labels, _ in data.train_dataloader()])
    assert sorted(labels.tolist()) == sorted(data.labels[train].tolist())
    pages, labels, aspects = next(iter(data.val_dataloader()))
    assert labels.tolist() == data.labels[validation].tolist(), "in the order of the split"
    assert aspects.tolist() == [0.75] * 12, "60 x 80 pixels"
    assert pages.shape == (12, 40, 40, 3) and pages.dtype == torch.uint8
    assert torch.equal(pages, torch.from_numpy(data.dataset.train_images[validation]))


Sent = tuple[torch.Tensor, torch.Tensor]


class Batches(pl.Callback):
    """Keeps what the model is given."""

    def __init__(self) -> None:
        self.train: list[Sent] = []
        self.validation: list[Sent] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Sent, index: int) -> None:
        self.train.append(batch)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Sent, index: int, loader: int = 0
    ) -> None:
        self.validation.append(batch)


def test_pages_are_augmented_in_training_alone(pages_root: Path) -> None:
    data, batches = module(pages_root, augment=BatchAugment(noise=1.0), batch_size=8), Batches()
    data.use_split(np.arange(0, 24, 2), np.arange(1, 24, 2))
    classifier = PageClassifier(
        "test_resnet", num_classes=3, image_size=32, optimizer=torch.optim.AdamW, scheduler=constant
    )
    make_trainer(accelerator="cpu", max_epochs=2, logger=False, callbacks=[batches]).fit(classifier, datamodule=data)
    plain = {label: set() for label in range(3)}
    for image, label in zip(
        resize(torch.from_numpy(data.dataset.train_images[np.arange(24)]), 32), data.labels.tolist(), strict=True
    ):
        plain[label].add(image.numpy().tobytes())
    for split, n, expected in ((batches.train, 24, False), (batches.validation, 24, True)):
        pages = [(image, int(label)) for images, labels in split for image, label in zip(images, labels, strict=True)]
        assert len(pages) == n
        assert {image.contiguous().numpy().tobytes() in plain[label] for image, label in pages} == {expected}


@pytest.mark.parametrize("mixed", [{}, {"mixup": 1.0}, {"cutmix": 1.0}], ids=str)
def test_a_loss_of_one_s_own_gets_class_indices_or_of_mixed_pages_probabilities(
    pages_root: Path, mixed: dict[str, float]
) -> None:
    given: list[torch.Tensor] = []

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        given.append(labels)
        return torch.nn.functional.cross_entropy(logits, labels)

    data = module(pages_root, augment=BatchAugment(**mixed), batch_size=8)
    data.use_split(np.arange(0, 24, 2), np.arange(1, 24, 2))
    options: dict[str, Any] = {"optimizer": torch.optim.AdamW, "scheduler": constant, "loss": loss}
    classifier = PageClassifier("test_resnet", num_classes=3, image_size=32, **options)
    make_trainer(accelerator="cpu", max_epochs=1, logger=False).fit(classifier, datamodule=data)
    assert {(labels.ndim, labels.is_floating_point()) for labels in given} == {(2, True) if mixed else (1, False)}
    if mixed:
        assert torch.allclose(torch.cat(given).sum(dim=1), torch.ones(12)) and torch.cat(given).shape[1] == 3


def test_validation_batches_respect_the_cap(pages_root: Path) -> None:
    data = module(pages_root)
    data.max_batch_size = 3
    data.use_split(np.arange(4), np.arange(4, 24))
    assert [len(labels) for _, labels, _ in data.val_dataloader()] == [6, 6, 6, 2]


def test_pages_are_drawn_before_they_are_read(tmp_path: Path, pages_root: Path) -> None:
    def draw(root: Path, drawn: list[Path]) -> None:
        root.symlink_to(pages_root)
        drawn.append(root)

    drawn: list[Path] = []
    data = module(tmp_path / "new", draw=functools.partial(draw, drawn=drawn))
    assert len(data.labels) == 24 and drawn == [tmp_path / "new"]


def test_the_cache_may_be_anywhere(pages_root: Path, tmp_path: Path) -> None:
    module(pages_root, cache_dir=str(tmp_path / "here"))
    assert len(list((tmp_path / "here").glob("pages-*.npy"))) == 2, "training and test pages"


# Rare classes


def served(data: PageDataModule) -> NDArray[np.int64]:
    """Indices of the pages of one epoch."""
    return np.concatenate(list(data.train_dataloader().sampler))


def test_a_balanced_sampler_draws_every_class_about_equally_often(pages_root: Path) -> None:
    data = module(pages_root, balance="sampler", batch_size=8)
    train = np.concatenate([np.arange(8), [8, 9], [16]])  # 8, 2 and 1 pages of the classes
    data.use_split(train, np.arange(0))
    torch.manual_seed(0)
    epochs = [served(data) for _ in range(300)]
    assert {len(epoch) for epoch in epochs} == {11}, "an epoch stays as long as it was"
    drawn = np.concatenate(epochs)
    assert set(drawn) == set(train)
    assert np.abs(np.bincount(data.labels[drawn]) / len(drawn) - 1 / 3).max() < 0.03


def test_without_it_every_page_comes_once(pages_root: Path) -> None:
    data = module(pages_root, batch_size=8)
    assert sorted(served(data)) == list(range(24))


@pytest.mark.parametrize(
    ("labels", "n_classes", "weights"),
    [([0, 1], 2, [1, 1]), ([0, 0, 0, 1], 2, [2 / 3, 2]), ([2, 2], 3, [0, 0, 1]), ([1, 1, 1, 2], 4, [0, 2 / 3, 2, 0])],
)
def test_classes_weigh_inversely_to_their_pages(labels: list[int], n_classes: int, weights: list[float]) -> None:
    found = class_weights(np.array(labels), n_classes)
    assert found == pytest.approx(weights)
    assert found[labels].mean() == pytest.approx(1)
