"""Decoded pages, of which some can be used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class PageArray:
    """Decoded pages without those that cannot be used, still in the memory-mapped array.

    Args:
        array: uint8 of shape (m, size, size, channels).
        rows: Which of them, in order; None for all.
        aspects: Width of each of the m pages over its height, shape (m,); None for 1.
    """

    def __init__(
        self,
        array: NDArray[np.uint8],
        rows: Sequence[int] | NDArray[np.int64] | None = None,
        aspects: NDArray[np.float32] | None = None,
    ) -> None:
        self.array, self._every = array, np.ones(len(array), np.float32) if aspects is None else aspects
        self._rows = np.arange(len(array)) if rows is None else np.asarray(rows, dtype=np.int64)
        self.aspects = self._every[self._rows]
        """Width of each page over its height, shape (n,)."""

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """A copy of some pages, shape (len(rows), size, size, channels)."""
        return self.array[self._rows[rows]]

    def take(self, rows: NDArray[np.int64]) -> PageArray:
        """Some of the pages, in a new order."""
        return PageArray(self.array, self._rows[rows], self._every)
