"""Pages worn by the library Augraphy, page by page on the CPU: rich, and slow."""

import functools
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from docclf.data.augment.batch import BatchAugment
from docclf.errors import ConfigError


class AugraphyAugment(BatchAugment):
    """Augraphy's effects on ink, paper and copy, one or two of each kind a page, then those of `BatchAugment`.

    Of Augraphy's effects those that load fonts or pictures are left out, and those that draw other numbers from the
    same seed.

    Args:
        strength: Fraction of pages that go through Augraphy, and factor on the other ranges.
        **ranges: See `docclf.data.augment.batch.BatchAugment`.

    Raises:
        ConfigError: The package `augraphy` is not installed.
    """

    def __init__(self, *, strength: float = 1.0, **ranges: Any) -> None:
        super().__init__(strength=strength, **ranges)
        try:
            self._kinds = _make_effects()
        except ImportError as error:
            raise ConfigError(
                "Expected the package `augraphy` for augment=augraphy, got none. Install it (pip install "
                "'docclf[augraphy]') or choose augment=photo."
            ) from error
        self._share = min(strength, 1.0)

    def view(
        self, pages: Tensor, size: int, aspects: Tensor | None = None, *, letterbox: bool = False
    ) -> tuple[Tensor, Tensor]:
        """See `docclf.data.augment.batch.BatchAugment`."""
        _seed_all(int(torch.randint(2**31, (1,))))  # from torch, so that a run can be repeated
        worn = pages.cpu().numpy().copy()
        for page in worn:
            if random.random() < self._share:
                page[...] = self._wear(page)
        return super().view(torch.from_numpy(worn).to(pages.device), size, aspects, letterbox=letterbox)

    def _wear(self, page: Any) -> Any:
        import cv2

        result = page.repeat(3, axis=2) if page.shape[2] == 1 else page
        for effects in self._kinds:
            if random.random() < _SHARE_OF_EFFECTS:
                result = random.choice(effects)(result)
                if result.ndim == 2:
                    result = result[..., None].repeat(3, axis=2)
        return cv2.resize(result[..., : page.shape[2]], page.shape[1::-1]).reshape(page.shape)


# Of the three kinds of effects, each is seen on so many of the pages.
_SHARE_OF_EFFECTS = 0.7


def _make_effects() -> list[list[Any]]:
    """What ink, paper and copying do to a page, in this order.

    Not as an `AugraphyPipeline`: that keeps copies of pages in a folder `augraphy_cache` where the command runs.
    """
    import augraphy as a

    ink = [a.InkBleed(p=1), a.LowInkRandomLines(p=1), a.LowInkPeriodicLines(p=1), a.InkMottling(p=1)]
    paper = [a.ColorPaper(p=1), a.BrightnessTexturize(p=1), a.SubtleNoise(p=1), a.NoiseTexturize(p=1)]
    copy = [a.DirtyDrum(p=1), a.LightingGradient(p=1), a.ShadowCast(p=1), a.Jpeg(p=1)]
    return [ink, paper, copy]


def _seed_all(seed: int) -> None:
    import cv2

    random.seed(seed)
    np.random.seed(seed)
    cv2.setRNGSeed(seed)
    _numba_seed()(seed)


@functools.cache
def _numba_seed() -> Any:
    import numba

    return numba.njit(lambda seed: np.random.seed(seed))
