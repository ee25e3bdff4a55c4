"""Predictions of two runs."""

import numpy as np
import pytest
from made_runs import LABELS
from numpy.typing import NDArray


@pytest.fixture
def predicted() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of A, which is often wrong, and of B, which is better for two classes and worse for one."""
    a, b = LABELS.copy(), LABELS.copy()
    a[[0, 1, 2, 9, 10]] = [1, 1, 2, 0, 0]
    b[[3, 17, 18]] = [1, 0, 0]
    return a, b
