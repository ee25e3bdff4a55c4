"""What every run leaves in its folder: result.yaml, oof.csv, confusion.png."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from docclf.files import replacing
from docclf.results.pictures import write_confusion
from docclf.safety.cells import CsvWriter


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.yaml`: parameters, fold scores, mean, spread, seconds, state and what else the run knows."""
    with replacing(folder / "result.yaml") as partial:
        partial.write_text(yaml.safe_dump(dict(result), sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_folds(
    folder: Path, ids: Sequence[str], folds: NDArray[np.int64], groups: Sequence[str] | None = None
) -> None:
    """Write `folds.csv`, ID and fold of every training page, which `validation.split_file` takes.

    Args:
        folder: The run's folder.
        ids: Of the pages.
        folds: Shape (n,).
        groups: Which pages belong together; where any do, the column `group` numbers them.
    """
    columns: dict[str, Sequence[Any]] = {"ID": ids, "fold": folds.tolist()}
    if groups is not None and len(set(groups)) < len(groups):
        columns["group"] = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1].tolist()
    with replacing(folder / "folds.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


class LabelledPages(Protocol):
    """What is needed of a data set, see `docclf.data.pages.PageSet`."""

    @property
    def targets(self) -> list[str]:
        """What the user writes for each class."""

    @property
    def class_names(self) -> list[str]:
        """What the user calls each class, in the same order."""

    @property
    def train(self) -> Any:
        """The training pages, with `ids` and `labels`."""

    @property
    def test(self) -> Any:
        """The test pages, likewise; None where there are none."""


def write_predictions(
    folder: Path,
    pages: LabelledPages,
    folds: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    *,
    picture: bool = True,
) -> None:
    """Write `oof.csv` and `confusion.png` of the pages that a fold has predicted.

    `oof.csv` has the columns ID, target, fold and one probability a class, named as the class.

    Args:
        folder: The run's folder.
        pages: The data set.
        folds: The fold that validated each training page, shape (n,).
        probabilities: Shape (n, n_classes); rows of NaN are left out.
        picture: Whether `confusion.png` is drawn.
    """
    train = pages.train
    scored = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    _write_probabilities(folder / "oof.csv", pages, train, probabilities, scored.tolist(), {"fold": folds.tolist()})
    predicted = probabilities[scored].argmax(axis=1)
    if picture:
        write_confusion(folder / "confusion.png", train.labels[scored], predicted, pages.class_names)


def write_test(folder: Path, pages: LabelledPages, probabilities: NDArray[np.float32]) -> None:
    """Write `predictions_test.csv`, as `oof.csv` but for the fold, and `confusion_test.png` of the test pages.

    Args:
        folder: The run's folder.
        pages: The data set.
        probabilities: Of each test page, shape (n, n_classes).
    """
    test = pages.test
    _write_probabilities(folder / "predictions_test.csv", pages, test, probabilities, range(len(probabilities)), {})
    write_confusion(folder / "confusion_test.png", test.labels, probabilities.argmax(axis=1), pages.class_names)


def _write_probabilities(
    path: Path,
    pages: LabelledPages,
    split: Any,
    probabilities: NDArray[np.float32],
    rows: Iterable[int],
    columns: Mapping[str, Sequence[Any]],
) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = CsvWriter(file)
        writer.writerow(["ID", "target", *columns, *pages.class_names])
        for page in rows:
            more = (values[page] for values in columns.values())
            shares = [f"{share:.6f}" for share in probabilities[page].tolist()]
            writer.writerow([split.ids[page], pages.targets[split.labels[page]], *more, *shares])
