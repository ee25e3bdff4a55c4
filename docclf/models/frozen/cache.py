"""Frozen features of all pages of a data set, computed once for every trial, fold, worker and process."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from docclf.data.augment.views import PageViews
from docclf.data.cache.store import load_array, remember
from docclf.models.backbone import count_flops
from docclf.models.frozen.features import FrozenBackbone, counted, log_aspects, reduced
from docclf.models.frozen.head import ASPECT_WEIGHT, HeadOptions
from docclf.models.frozen.pooling import resize_matrix
from docclf.models.fused_norms import fuse_batch_norm
from docclf.models.process import be_exact

# Raised when the same pages would give other numbers than before.
_VERSION = 3


@dataclass(frozen=True)
class Features:
    """Frozen features of pages."""

    values: NDArray[np.float32]  # float32 of shape (n, n_features)
    weights: NDArray[np.float32]  # factor on each standardised feature, shape (n_features,)
    n_last: int  # how many of the features, the first ones, are what the backbone's own classifier would take
    identity: str  # says all that the values depend on


class UnwantedPassError(Exception):
    """A pass over the pages, or fitting heads to them, has no use any more. Another pass goes on where it stood."""


class FeatureCache:
    """Features of one backbone.

    They are computed in 32 bit, as predictions are everywhere: bfloat16 has them off by 7 % (MobileNetV2), and a head
    that was fitted to those errs on pages that are predicted in 32 bit.

    Args:
        cache_dir: Where they are kept; None for the user's cache folder.
        limit_gb: See `docclf.data.cache.store.load_array`.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        *,
        device: str = "cpu",
        cache_dir: Path | None = None,
        limit_gb: float = 20.0,
    ) -> None:
        be_exact()
        self.backbone, self.cache_dir, self._device, self._limit_gb = backbone, cache_dir, device, limit_gb
        # asked before each batch of a pass; where it says no, the pass ends with `UnwantedPassError`
        self.is_wanted: Callable[[], bool] = lambda: True

    def of(self, backbone: FrozenBackbone) -> FeatureCache:
        """Features of another backbone, computed and kept in the same way, as long as these are wanted."""
        found = FeatureCache(backbone, device=self._device, cache_dir=self.cache_dir, limit_gb=self._limit_gb)
        found.is_wanted = lambda: self.is_wanted()  # what is asked of this one from now on, too
        return found

    @functools.cached_property
    def net(self) -> torch.nn.Module:
        """The backbone, loaded when it is needed first."""
        side = self.backbone.image_size
        return fuse_batch_norm(self.backbone.build().to(self._device), (self.backbone.channels, side, side))

    @functools.cached_property
    def _widths(self) -> list[int]:
        """Numbers of the last features, of those of first order and of all features of one view."""

        def compute() -> list[int]:
            n = self._see_blank(self.backbone.image_size).shape[1]
            return [int(self.net.n_last), int(self.net.n_first_order), n]  # type: ignore[arg-type]

        found: list[int] = self._remembered("widths", compute)
        return found

    def flops(self, side: int) -> int:
        """Floating-point operations of a forward pass for one page of this height and width in pixels."""

        def compute() -> int:
            return count_flops(lambda: self._see_blank(side))

        return int(self._remembered(f"flops-{side}px", compute))

    def _see_blank(self, side: int) -> torch.Tensor:
        """Features of a page on which nothing is."""
        with torch.inference_mode():
            found: torch.Tensor = self.net(torch.zeros(1, self.backbone.channels, side, side, device=self._device))
            return found

    def _remembered(self, name: str, compute: Callable[[], Any]) -> Any:
        """What does not depend on the pages, computed once."""
        key = hashlib.sha256(f"{_VERSION} {self.backbone.identity}".encode()).hexdigest()[:24]
        return remember(self.cache_dir, f"{name}-{key}", compute)

    def load(self, views: PageViews, options: HeadOptions) -> Features:
        """Features of pages, computed now where they are not known.

        Raises:
            ConfigError: See `FrozenBackbone.build`.
            DataError: The cache cannot be written.
            UnwantedPassError: See `is_wanted`.
        """
        n_last, n_first_order, n = self._widths
        sides = self.backbone.sides(options.scales)
        arrays = [self._load(views, side, n) for side in sides]
        width = counted(n_last, n_first_order, options) or n
        parts: list[NDArray[np.float32]] = [array[:, :width] for array in arrays]
        if options.sqrt:
            n = n_first_order
            roots = [np.sign(part[:, :n]) * np.sqrt(np.abs(part[:, :n])) for part in parts]
            parts = [np.concatenate([root, part[:, n:]], axis=1) for root, part in zip(roots, parts, strict=True)]
        weights = np.ones(width * len(sides), np.float32)
        if options.aspect:
            parts.append(arrays[0][:, -1:])
            weights = np.append(weights, np.float32(ASPECT_WEIGHT))
        kinds = f"{options.stages} {options.second_order} {options.aspect} {options.sqrt}"
        identity = f"{self.backbone.identity} {sides} {kinds}"
        return Features(np.concatenate(parts, axis=1), weights, n_last, f"{identity} {views.identity}")

    def _load(self, views: PageViews, side: int, n: int) -> NDArray[np.float32]:
        """Features of shape (rows, n + 1) of one size; the last one is the logarithm of the aspect ratio."""
        identity = f"{_VERSION} {self.backbone.identity} {side} {views.identity}"
        name = f"features-v{_VERSION}-{side}px-{hashlib.sha256(identity.encode()).hexdigest()[:24]}"
        weights = resize_matrix(views.image_size, side).to(self._device)

        def compute(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            if not self.is_wanted():
                raise UnwantedPassError
            images, aspects = views(rows, self._device)
            return np.concatenate([self._see(images, weights), log_aspects(aspects).cpu().numpy()[:, None]], axis=1)

        places: dict[str, Any] = {"cache_dir": self.cache_dir, "limit_gb": self._limit_gb}
        shape = (len(views.images), n + 1)
        return load_array(name, shape, compute, dtype=np.float32, what=f"Features {side} px", **places)

    def _see(self, images: torch.Tensor, weights: torch.Tensor) -> NDArray[np.float32]:
        """Features of images that are reduced first, of fewer of them at once where memory runs out."""
        try:
            with torch.inference_mode():
                found: NDArray[np.float32] = self.net(reduced(images, weights)).float().cpu().numpy()
                return found
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = len(images) // 2
        return np.concatenate([self._see(images[:half], weights), self._see(images[half:], weights)])
