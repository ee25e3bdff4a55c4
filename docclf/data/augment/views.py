"""Pages as a model sees them: in its size and proportions, as they are or as an augmentation shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from docclf.data.augment.batch import BatchAugment, resize
from docclf.data.cache.decoded import PageArray
from docclf.data.cache.store import load_array
from docclf.data.formats import DECODER

# Raised when the same pages would give other views than before.
_VERSION = 1
_SMALL = 8  # pixels of a view of which only the aspect ratio is wanted


@dataclass(frozen=True)
class PageViews:
    """Decoded pages as a model sees them."""

    images: PageArray  # the pages, squeezed
    digest: str  # identifies them by content
    image_size: int  # height and width in pixels that the model sees
    letterbox: bool = False  # whether pages keep their proportions, with white around them
    augment: BatchAugment | None = None  # makes another view of each page; None shows it as it is
    seed: int = 0  # of that view

    @property
    def identity(self) -> str:
        """Says all that these views depend on."""
        changed = f"{self.augment.identity} seed {self.seed}" if self.augment is not None else "as they are"
        side, channels = self.images.array.shape[2:]
        decoded = side if channels == 3 else f"{side} {channels}ch"
        return f"{_VERSION} {DECODER} {self.digest} {decoded} to {self.image_size} letterbox {self.letterbox} {changed}"

    def __call__(self, rows: NDArray[np.int64], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Some pages.

        Args:
            rows: Their indices, in order. What an augmentation draws depends on the first one and their number.

        Returns:
            Images, float32 of shape (n, channels, image_size, image_size) in about [0, 1], and the aspect ratios, width
            over height, of shape (n,).
        """
        pages = torch.from_numpy(self.images[rows]).to(device)
        aspects = torch.from_numpy(self.images.aspects[rows]).to(device)
        if self.augment is None:
            return resize(pages, self.image_size, aspects if self.letterbox else None), aspects
        with torch.random.fork_rng(devices=[pages.device] if pages.device.type == "cuda" else []):
            torch.manual_seed(1_000_003 * self.seed + int(rows[0]))
            return self.augment.view(pages, self.image_size, aspects, letterbox=self.letterbox)

    def kept(self, cache_dir: Path | None, limit_gb: float) -> PageViews:
        """The same views, drawn once and kept in the cache, the same in every epoch, trial, fold and process.

        Raises:
            DataError: The cache cannot be written.
        """
        if self.augment is None:
            return self
        digest = digest_of([self.identity])
        name = f"views-v{_VERSION}-{self.image_size}px-{digest}"
        n, channels = len(self.images), self.images.array.shape[3]

        def draw(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
            images = self(rows)[0].clamp(0, 1).mul(255).round().to(torch.uint8)
            return images.permute(0, 2, 3, 1).numpy()

        shape = (n, self.image_size, self.image_size, channels)
        places: dict[str, Any] = {"cache_dir": cache_dir, "limit_gb": limit_gb}
        images = load_array(name, shape, draw, dtype=np.uint8, what="Drawing validation pages", **places)
        aspects = load_array(
            name.replace("views", "aspects", 1),
            (n,),
            lambda rows: replace(self, image_size=_SMALL)(rows)[1].numpy(),
            dtype=np.float32,
            **places,
        )
        return PageViews(PageArray(images, None, np.asarray(aspects)), digest, self.image_size)


def digest_of(digests: Sequence[str]) -> str:
    """Identifies pages by the hashes of their contents, in order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:24]
