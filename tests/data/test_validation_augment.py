"""Validation pages are changed the same way in every epoch and trial, and nothing else is changed by that."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from slowly import slowly
from torch import Tensor

from docclf.data.augment.batch import BatchAugment, resize
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv
from docclf.models.classifier import PageClassifier
from docclf.models.schedules import constant
from docclf.training.trainer import make_trainer

WORN = {"noise": 0.2, "degrees": 10.0, "erasing": 0.5}


class Seen(pl.Callback):
    """Keeps the images that the model is given."""

    def __init__(self) -> None:
        self.train: list[Tensor] = []
        self.validation: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: list[Tensor], i: int
    ) -> None:
        self.train.append(batch[0].clone())

    def on_validation_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: list[Tensor], i: int, loader: int = 0
    ) -> None:
        self.validation.append(batch[0].clone())


def run(root: Path, *, seed: int = 0, augment: BatchAugment | None) -> tuple[Seen, PageDataModule]:
    data = PageDataModule(
        str(root),
        reader=read_csv,
        augment=BatchAugment(noise=0.1),
        validation_augment=augment,
        image_size=32,
        batch_size=8,
    )
    data.use_split(np.arange(0, 24, 2), np.arange(1, 24, 2))
    data.max_batch_size = 4  # two batches of validation pages
    seen = Seen()
    torch.manual_seed(seed)
    model = PageClassifier("test_resnet", num_classes=3, image_size=32, optimizer=torch.optim.AdamW, scheduler=constant)
    trainer = make_trainer(accelerator="cpu", max_epochs=2, logger=False, callbacks=[seen])
    trainer.fit(model, datamodule=data)
    return seen, data


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) > 0 and all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize("seed", [0, *slowly(1)])
def test_the_same_pages_get_the_same_changes_in_every_epoch_and_trial(pages_root: Path, seed: int) -> None:
    seen, data = run(pages_root, seed=seed, augment=BatchAugment(**WORN))
    first, second = seen.validation[:2], seen.validation[2:]
    assert same(first, second)
    other, _ = run(pages_root, seed=7, augment=BatchAugment(**WORN))
    assert same(first, other.validation[:2]) and not same(seen.train, other.train)
    plain = resize(torch.from_numpy(data.dataset.train_images[np.arange(1, 24, 2)]), 32)
    changes = (torch.cat(first) - plain).flatten(1)
    assert changes.abs().amax(dim=1).min() > 1e-3
    assert len(torch.unique(changes, dim=0)) == 12, "each page in its own way"


def test_views_in_colour_and_in_grey_are_kept_beside_each_other(
    pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # drawn, and from the cache
        for channels in (1, 3):
            options: dict[str, Any] = {"channels": channels, "cache_dir": tmp_path / "cache", "image_size": 32}
            worn = BatchAugment(**WORN)
            data = PageDataModule(str(pages_root), reader=read_csv, augment=None, validation_augment=worn, **options)
            assert data.validation_views.images.array.shape == (24, 32, 32, channels)
    assert "damaged" not in caplog.text and len(list((tmp_path / "cache").glob("views-*.npy"))) == 2


@pytest.mark.slow
def test_training_goes_on_with_the_same_random_numbers(pages_root: Path) -> None:
    with_it, _ = run(pages_root, augment=BatchAugment(**WORN))
    without, _ = run(pages_root, augment=None)
    assert same(with_it.train, without.train)
    assert not same(with_it.validation, without.validation)
    half = len(with_it.train) // 2
    assert not same(with_it.train[:half], with_it.train[half:]), "and other ones in each epoch"


def test_batches_outside_a_trainer_are_left_as_they_are(pages_root: Path) -> None:
    data = PageDataModule(
        str(pages_root), reader=read_csv, augment=BatchAugment(**WORN), validation_augment=BatchAugment(**WORN)
    )
    data.use_split(np.arange(8), np.arange(8, 24))
    batch = next(iter(data.val_dataloader()))
    images, labels = data.on_after_batch_transfer(batch, 0)
    assert torch.equal(images, resize(batch[0], 96)) and torch.equal(labels, batch[1])
