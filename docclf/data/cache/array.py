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
        self.array, self.rows = array, None if rows is None else np.asarray(rows, dtype=np.int64)
        self._aspects = np.ones(len(array), np.float32) if aspects is None else aspects

    def __len__(self) -> int:
        return len(self.array) if self.rows is None else len(self.rows)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """A copy of some pages, shape (len(rows), size, size, channels)."""
        return self.array[rows if self.rows is None else self.rows[rows]]

    @property
    def aspects(self) -> NDArray[np.float32]:
        """Width of each page over its height, shape (n,)."""
        return self._aspects if self.rows is None else self._aspects[self.rows]

    def take(self, rows: NDArray[np.int64]) -> PageArray:
        """Some of the pages, in a new order."""
        return PageArray(self.array, rows if self.rows is None else self.rows[rows], self._aspects)
