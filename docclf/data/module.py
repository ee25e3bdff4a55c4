"""The Lightning datamodule: decoded pages, split and cut into batches."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from docclf.data.augment import BatchAugment, resize
from docclf.data.cache import cache_size, load_pages
from docclf.data.pages import Pages, PageSet
from docclf.errors import ConfigError

Batch = tuple[Tensor, Tensor]


class PageDataModule(pl.LightningDataModule):
    """Batches of pages for one split at a time.

    Args:
        root: Folder of the data set.
        reader: Reads `root` into a `PageSet`, see `docclf.data.pages`.
        draw: Makes the pages of `root` if they are not there; None where they are real.
        augment: Applied to training batches.
        batch_size: Pages for one step of the optimizer.
        image_size: Height and width in pixels that the model sees.
        margin: Pages are kept this much larger than `image_size`.
        cache_dir: Where decoded pages are kept; None for the user's cache folder.
    """

    def __init__(
        self,
        root: str,
        *,
        reader: Callable[[Path], PageSet],
        augment: BatchAugment,
        draw: Callable[[Path], None] | None = None,
        batch_size: int = 32,
        image_size: int = 96,
        margin: float = 1.15,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ConfigError(f"Expected `data.batch_size` to be at least 1, got {batch_size}.")
        self.batch_size, self.image_size, self.augment = batch_size, image_size, augment
        self.max_batch_size: int | None = None
        self._size, self._cache_dir = cache_size(image_size, margin), Path(cache_dir) if cache_dir else None
        if draw is not None:
            draw(Path(root))
        self.pages = reader(Path(root))
        assert self.pages.train.labels is not None
        self.labels: NDArray[np.int64] = self.pages.train.labels
        self._images = self._load(self.pages.train)
        self.use_split(np.arange(len(self.labels)), np.arange(0))

    def _load(self, pages: Pages) -> NDArray[np.uint8]:
        return load_pages(pages.paths, self._size, self._cache_dir)

    def use_split(self, train: NDArray[np.int64], validation: NDArray[np.int64]) -> None:
        """Serve these training pages from now on.

        Args:
            train: Indices of the pages to train on, shape (n,).
            validation: Indices of the pages to validate on, shape (m,).
        """
        self._train, self._validation = train, validation

    @property
    def accumulate(self) -> int:
        """How many batches go through the model for one step of the optimizer."""
        if self.max_batch_size is None:
            return 1
        n_steps = math.ceil(len(self._train) / self.batch_size)
        return math.ceil(math.ceil(len(self._train) / n_steps) / self.max_batch_size)

    def halve_batch(self) -> bool:
        """Send half as many pages through the model at once from now on; False if it is one already."""
        at_once = min(self.batch_size, self.max_batch_size or self.batch_size)
        self.max_batch_size = max(1, at_once // 2)
        return at_once > 1

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self._images, self.labels, EvenBatches(self._train, self.batch_size, self.accumulate))

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self._images, self.labels, self._in_order(self._validation))

    def test_dataloader(self) -> DataLoader[Batch]:
        test = self.pages.test
        assert test is not None and test.labels is not None
        return self._loader(self._load(test), test.labels, self._in_order(np.arange(len(test))))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn uint8 pages on the device into what the model takes: augmented in training, reduced otherwise."""
        pages, labels = batch
        training = self.trainer is not None and self.trainer.training
        return self.augment(pages, self.image_size) if training else resize(pages, self.image_size), labels

    def _in_order(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        # Batches without gradients need about a third of the memory of those with.
        size = 2 * min(self.max_batch_size or 128, 128)
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    @staticmethod
    def _loader(images: NDArray[np.uint8], labels: NDArray[np.int64], batches: Any) -> DataLoader[Batch]:
        # No worker processes: a batch is one gather from the memory-mapped cache.
        return DataLoader(_Gather(images, labels), sampler=batches, batch_size=None)


class EvenBatches(Sampler[NDArray[np.int64]]):
    """Shuffled batches of nearly equal size, so that no page is left out and no batch is tiny.

    Args:
        rows: Indices of pages.
        batch_size: Upper bound of pages for one step of the optimizer.
        accumulate: Parts that each of these batches is cut into.
    """

    def __init__(self, rows: NDArray[np.int64], batch_size: int, accumulate: int = 1) -> None:
        self.rows, self.accumulate = rows, accumulate
        self.n_steps = math.ceil(len(rows) / batch_size)

    def __len__(self) -> int:
        return self.n_steps * self.accumulate

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        order = self.rows[torch.randperm(len(self.rows)).numpy()]
        for step in np.array_split(order, self.n_steps):
            # One page a part, and a step of one page less than others: its first page fills the last part.
            yield from np.array_split(np.resize(step, max(len(step), self.accumulate)), self.accumulate)


class _Gather(Dataset[Batch]):
    """Takes a whole batch of indices at once."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.images, self.labels = images, labels

    def __getitem__(self, rows: NDArray[np.int64]) -> Batch:
        return torch.from_numpy(self.images[rows]), torch.from_numpy(self.labels[rows])
