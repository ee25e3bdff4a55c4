"""What `python -m docclf.predict` writes, read back."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from small_models import CLASS_NAMES

COLUMNS = ["ID", "target", "confidence", *CLASS_NAMES, "problem"]


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def shares(rows: list[list[str]]) -> NDArray[np.float64]:
    return np.array([row[3:-1] for row in rows], dtype=float)
