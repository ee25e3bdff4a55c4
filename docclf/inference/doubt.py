"""When a model is not sure: how often it was right out of fold at each confidence, and which pages it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from docclf.errors import DataError
from docclf.metrics.calibration import Selective, accuracy_over_coverage
from docclf.models.frozen.novelty import Novelty

_MOST_BYTES = 2**28  # 20,000 training pages of 256 coordinates are 10 MB


@dataclass(frozen=True)
class Doubt:
    """What a model knows of its own mistakes."""

    # accuracy over coverage out of fold, calibrated; pages that are unlike others count as not answered
    selective: Selective
    novelty: Novelty | None = None  # tells pages that are; None where frozen features say nothing

    def arrays(self) -> dict[str, NDArray[np.floating]]:
        """What `read_doubt` reads."""
        arrays = {f"selective.{name}": value for name, value in asdict(self.selective).items()}
        if self.novelty is not None:
            arrays |= {f"novelty.{name}": value for name, value in asdict(self.novelty).items()}
            arrays["novelty.reference"] = arrays["novelty.reference"].astype(np.float16)
        return arrays


def read_doubt(path: Path) -> Doubt:
    """Read the arrays of a file.

    Raises:
        DataError: It is missing, damaged, or larger than any that docclf writes.
    """
    try:
        with ZipFile(path) as packed:
            if (size := sum(part.file_size for part in packed.infolist())) > _MOST_BYTES:
                raise ValueError(f"{size / 2**20:.0f} MB of numbers")
        with np.load(path, allow_pickle=False) as file:
            return _of(dict(file))
    except (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, NotImplementedError, BadZipFile) as error:
        raise DataError(
            f"Expected {path} as docclf writes it, got {type(error).__name__}: {error}. Copy the folder again."
        ) from error


def _of(arrays: Mapping[str, NDArray[np.floating]]) -> Doubt:
    for name, value in arrays.items():
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise ValueError(f"{name} with what is no finite number")
    parts: dict[str, Mapping[str, NDArray[np.floating]]] = {
        part: {name.partition(".")[2]: value for name, value in arrays.items() if name.startswith(f"{part}.")}
        for part in ("selective", "novelty")
    }
    selective = Selective(**{name: np.asarray(value, np.float64) for name, value in parts["selective"].items()})
    if len({value.shape for value in asdict(selective).values()}) > 1 or selective.coverage.ndim != 1:
        raise ValueError("lists of several lengths")
    return Doubt(selective, Novelty.of(parts["novelty"]) if parts["novelty"] else None)


def make_doubt(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    novelty: tuple[Novelty, NDArray[np.float32]] | None,
) -> Doubt:
    """From out-of-fold predictions.

    Args:
        probabilities: Calibrated, of shape (n, n_classes).
        labels: Class of each page, shape (n,).
        novelty: And what it says of these pages, shape (n,).
    """
    confidence = probabilities.max(axis=1)
    if novelty is not None:
        confidence = np.where(novelty[1] > 0, 0, confidence)
    curve = accuracy_over_coverage(confidence, probabilities.argmax(axis=1) == labels)
    return Doubt(curve, None if novelty is None else novelty[0])
