"""What every run leaves in its folder: result.yaml, oof.csv, confusion.png."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from docclf.results.files import replacing
from docclf.results.pictures import write_confusion


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.yaml`: parameters, fold scores, mean, spread, seconds, state and what else the run knows."""
    with replacing(folder / "result.yaml") as partial:
        partial.write_text(yaml.safe_dump(dict(result), sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_folds(folder: Path, ids: Sequence[str], folds: NDArray[np.int64]) -> None:
    """Write `folds.csv`, ID and fold of every training page, which `validation.split_file` takes."""
    with replacing(folder / "folds.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ID", "fold"])
        writer.writerows(zip(ids, folds.tolist(), strict=True))


class LabelledPages(Protocol):
    """What is needed of a data set, see `docclf.data.pages.PageSet`."""

    targets: list[str]
    class_names: list[str]
    train: Any


def write_predictions(
    folder: Path, pages: LabelledPages, folds: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> None:
    """Write `oof.csv` and `confusion.png` of the pages that a fold has predicted.

    `oof.csv` has the columns ID, target, fold and one probability a class, named as the class.

    Args:
        folder: The run's folder.
        pages: The data set.
        folds: The fold that validated each training page, shape (n,).
        probabilities: Shape (n, n_classes); rows of NaN are left out.
    """
    train = pages.train
    scored = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    with replacing(folder / "oof.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ID", "target", "fold", *pages.class_names])
        for page in scored.tolist():
            shares = (f"{share:.6f}" for share in probabilities[page])
            writer.writerow([train.ids[page], pages.targets[train.labels[page]], int(folds[page]), *shares])
    predicted = probabilities[scored].argmax(axis=1)
    write_confusion(folder / "confusion.png", train.labels[scored], predicted, pages.class_names)
