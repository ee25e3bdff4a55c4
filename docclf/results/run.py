"""What every run leaves in its folder: result.yaml, oof.csv, confusion.png."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from docclf.results.files import replacing


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.yaml`: parameters, fold scores, mean, spread, seconds, state and what else the run knows."""
    with replacing(folder / "result.yaml") as partial:
        partial.write_text(yaml.safe_dump(dict(result), sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_oof(
    folder: Path,
    *,
    ids: Sequence[str],
    targets: Sequence[str],
    folds: NDArray[np.int64],
    class_names: Sequence[str],
    probabilities: NDArray[np.float32],
) -> None:
    """Write `oof.csv`: ID, target, fold and one probability a class for every page that a fold has predicted.

    Args:
        ids: ID of each page, n of them.
        targets: What the user calls the class of each page.
        folds: The fold that validated each page, shape (n,).
        class_names: In the order of the columns of `probabilities`.
        probabilities: Shape (n, n_classes); rows of NaN are left out.
    """
    with replacing(folder / "oof.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ID", "target", "fold", *class_names])
        for page in np.flatnonzero(~np.isnan(probabilities).any(axis=1)).tolist():
            shares = (f"{p:.6f}" for p in probabilities[page])
            writer.writerow([ids[page], targets[page], int(folds[page]), *shares])
