"""The Lightning datamodule: decoded pages, split and cut into batches."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from docclf.data.augment.batch import BatchAugment, resize
from docclf.data.augment.views import PageViews, digest_of
from docclf.data.cache.decoded import PageArray, make_options
from docclf.data.dataset import open_data_set
from docclf.data.pages import PageSet

# Pages, labels, and the pages' aspect ratios
Batch = tuple[Tensor, Tensor, Tensor]


class PageDataModule(pl.LightningDataModule):
    """Batches of pages for one split at a time.

    Pages are read and decoded here; `prepare_data` and `setup` do nothing, since one instance serves all folds.

    Args:
        root: Folder of the data set.
        reader: Reads `root` into a `PageSet`, as those of `docclf.data.readers` do.
        is_robust: Validate on the pages as they are too, after those that `validation_augment` shows.
        draw: Makes the pages of `root` if they are not there; None where they are real.
        augment: Applied to training batches.
        validation_augment: Applied to validation batches, the same for each page in every epoch and trial; None to
            leave them as they are.
        batch_size: Pages for one step of the optimizer.
        image_size: Height and width in pixels that the model sees.
        margin: Pages are kept this much larger than `image_size`.
        fit: `squeeze` pages into a square, or `letterbox` them: with their proportions, white at two sides.
        balance: `none`, or `sampler`: every class is drawn equally often.
        **decoding: See `docclf.data.cache.decoded.DecodeOptions`. Errors are those of `open_data_set`.
    """

    max_batch_size: int | None = None
    halved = 0  # how often memory ran out
    rank, world_size = 0, 1  # of the processes that train one model
    soft_labels: NDArray[np.float32] | None = None  # that nets learn in place of labels, shape (n, n_classes)

    def __init__(
        self,
        root: str,
        *,
        reader: Callable[[Path], PageSet],
        augment: BatchAugment,
        validation_augment: BatchAugment | None = None,
        is_robust: bool = False,
        draw: Callable[[Path], None] | None = None,
        batch_size: int = 32,
        image_size: int = 96,
        margin: float = 1.15,
        fit: str = "squeeze",
        balance: str = "none",
        **decoding: Any,
    ) -> None:
        super().__init__()
        self.letterbox = fit == "letterbox"
        self.batch_size, self.image_size, self.balance = batch_size, image_size, balance
        self.augment, self.validation_augment = augment, validation_augment
        self.is_robust = is_robust and validation_augment is not None
        if draw is not None:
            draw(Path(root))
        options = make_options(image_size, margin, **decoding)
        self.places: dict[str, Any] = {"cache_dir": options.cache_dir, "limit_gb": options.cache_gb}
        self.rare_classes = options.rare_classes
        self.dataset = open_data_set(Path(root), reader, options)
        self.pages = self.dataset.pages
        assert self.pages.train.labels is not None
        self.labels: NDArray[np.int64] = self.pages.train.labels
        self.use_split(np.arange(len(self.labels)), np.arange(0))

    def use_split(self, train: NDArray[np.int64], validation: NDArray[np.int64]) -> None:
        """Serve these training pages from now on.

        Args:
            train: Indices of the pages to train on, shape (n,).
            validation: Indices of the pages to validate on, shape (m,).
        """
        self._train, self._validation = train, validation

    @cached_property
    def train_views(self) -> PageViews:
        """The training pages as they are."""
        digest = digest_of(self.dataset.digests[: len(self.labels)])
        return PageViews(self.dataset.train_images, digest, self.image_size, self.letterbox)

    def augmented_views(self, seed: int) -> PageViews:
        """The training pages as a training might see them once."""
        return replace(self.train_views, augment=self.augment, seed=seed)

    @cached_property
    def validation_views(self) -> PageViews:
        """The training pages as they are validated on: the same for each page in every epoch, trial and process."""
        return replace(self.train_views, augment=self.validation_augment).kept(**self.places)

    @property
    def accumulate(self) -> int:
        """How many batches go through the model for one step of the optimizer."""
        if self.max_batch_size is None:
            return 1
        n_steps = math.ceil(len(self._train) / self.batch_size)
        n_pages = math.ceil(math.ceil(len(self._train) / n_steps) / self.world_size)
        return math.ceil(n_pages / self.max_batch_size)

    def halve_batch(self) -> bool:
        """Send half as many pages through the model at once from now on; False if it is one already."""
        at_once = min(self.batch_size, self.max_batch_size or self.batch_size)
        self.max_batch_size = max(1, at_once // 2)
        self.halved += 1
        return at_once > 1

    def train_dataloader(self) -> DataLoader[Batch]:
        labels = self.labels[self._train]
        weights = class_weights(labels, len(self.pages.class_names))[labels] if self.balance == "sampler" else None
        batches = EvenBatches(self._train, self.batch_size, self.accumulate, weights, self.rank, self.world_size)
        learnt = self.labels if self.soft_labels is None else self.soft_labels
        return self._loader(self.dataset.train_images, learnt, batches)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        shown = [self.validation_views.images, *([self.dataset.train_images] if self.is_robust else [])]
        loaders = [self._loader(images, self.labels, self._in_order(self._validation)) for images in shown]
        return loaders if self.is_robust else loaders[0]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Turn uint8 pages on the device into what the model takes: augmented in training, reduced otherwise."""
        pages, labels, aspects = batch
        trainer = self.trainer
        if trainer is not None and trainer.training:
            images, _ = self.augment.view(pages, self.image_size, aspects, letterbox=self.letterbox)
            return self.augment.mix(images, labels, len(self.pages.class_names))
        # `validating` holds inside a fit as well: the folds' validation pages.
        is_validation = trainer is not None and trainer.validating and dataloader_idx == 0
        is_drawn = is_validation and self.validation_augment is not None
        return resize(pages, self.image_size, aspects if self.letterbox and not is_drawn else None), labels

    def _in_order(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        # Batches without gradients need about a third of the memory of those with. On a CPU large ones take longer.
        most = 32 if self.trainer is None or self.trainer.strategy.root_device.type == "cpu" else 128
        size = 2 * min(self.max_batch_size or most, most)
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    @staticmethod
    def _loader(images: PageArray, labels: NDArray[Any], batches: Any) -> DataLoader[Batch]:
        # No worker processes: a batch is one gather from the memory-mapped cache.
        return DataLoader(_Gather(images, labels), sampler=batches, batch_size=None)


def class_weights(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Weight of each class, inverse to its number of pages, of mean 1 over the pages; 0 for a class without pages.

    >>> class_weights(np.array([0, 0, 0, 2]), 3).round(2).tolist()
    [0.67, 0.0, 2.0]
    """
    counts = np.bincount(labels, minlength=n_classes)
    present = counts > 0
    return np.where(present, len(labels) / (present.sum() * np.maximum(counts, 1)), 0.0)


class EvenBatches(Sampler[NDArray[np.int64]]):
    """Shuffled batches of nearly equal size, so that no page is left out and no batch is tiny.

    Args:
        rows: Indices of pages.
        batch_size: Upper bound of pages for one step of the optimizer.
        accumulate: Parts that each of these batches is cut into.
        weights: How often each of `rows` is drawn, relatively, with replacement; None for once each.
        rank: Number of this process, from 0.
        world_size: Processes that train one model; each takes as many parts.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        batch_size: int,
        accumulate: int = 1,
        weights: NDArray[np.float64] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.rows, self.accumulate, self.weights = rows, accumulate, weights
        self.rank, self.world_size = rank, world_size
        self.n_steps = math.ceil(len(rows) / batch_size)

    def __len__(self) -> int:
        return self.n_steps * self.accumulate

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        if self.weights is None:
            order = torch.randperm(len(self.rows))
        else:
            order = torch.multinomial(torch.from_numpy(self.weights), len(self.rows), replacement=True)
        n_parts = self.accumulate * self.world_size
        for step in np.array_split(self.rows[order.numpy()], self.n_steps):
            # One page a part, and a step of one page less than others: its first page fills the last part.
            yield from np.array_split(np.resize(step, max(len(step), n_parts)), n_parts)[self.rank :: self.world_size]


class _Gather(Dataset[Batch]):
    """Takes a whole batch of indices at once."""

    def __init__(self, images: PageArray, labels: NDArray[Any]) -> None:
        self.images, self.labels = images, labels

    def __getitem__(self, rows: NDArray[np.int64]) -> Batch:
        aspects = torch.from_numpy(self.images.aspects[rows])
        return torch.from_numpy(self.images[rows]), torch.from_numpy(self.labels[rows]), aspects
