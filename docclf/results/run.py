"""What every run leaves in its folder: result.yaml, oof.csv, confusion.png."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from docclf.inference.tables import class_columns
from docclf.results.facts import write_facts
from docclf.results.pictures import write_confusion
from docclf.safety.cells import write_csv

if TYPE_CHECKING:
    from docclf.data.pages import PageSet


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.yaml`: parameters, fold scores, mean, spread, seconds, state and what else the run knows."""
    write_facts(folder / "result.yaml", result)


def write_folds(
    folder: Path, ids: Sequence[str], folds: NDArray[np.int64], groups: Sequence[str] | None = None
) -> None:
    """Write `folds.csv`, ID and fold of every training page, which `validation.split_file` takes.

    Args:
        folds: Shape (n,).
        groups: Which pages belong together; where any do, the column `group` numbers them.
    """
    columns: dict[str, Sequence[Any]] = {"ID": ids, "fold": folds.tolist()}
    if groups is not None and len(set(groups)) < len(groups):
        columns["group"] = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1].tolist()
    write_csv(folder / "folds.csv", columns, zip(*columns.values(), strict=True))


def write_predictions(
    folder: Path,
    pages: PageSet,
    folds: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    *,
    picture: bool = True,
) -> None:
    """Write `oof.csv` and `confusion.png` of the pages that a fold has predicted.

    `oof.csv` has the columns ID, target, fold and one probability a class, see `docclf.inference.tables`.

    Args:
        folds: The fold that validated each training page, shape (n,).
        probabilities: Shape (n, n_classes); rows of NaN are left out.
    """
    train = pages.train
    assert train.labels is not None
    scored = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    targets = [pages.targets[label] for label in train.labels]
    columns = {"ID": train.ids, "target": targets, "fold": folds.tolist()}
    _write_probabilities(folder / "oof.csv", pages.class_names, columns, probabilities, scored.tolist())
    predicted = probabilities[scored].argmax(axis=1)
    if picture:
        write_confusion(folder / "confusion.png", train.labels[scored], predicted, pages.class_names)


def write_test(folder: Path, pages: PageSet, probabilities: NDArray[np.float32]) -> None:
    """Write `predictions_test.csv`, as `oof.csv` but for the fold, and `confusion_test.png` of the test pages.

    Args:
        probabilities: Of each test page, shape (n, n_classes).
    """
    test = pages.test
    assert test is not None and test.labels is not None
    columns = {"ID": test.ids, "target": [pages.targets[label] for label in test.labels]}
    path, rows = folder / "predictions_test.csv", range(len(probabilities))
    _write_probabilities(path, pages.class_names, columns, probabilities, rows)
    write_confusion(folder / "confusion_test.png", test.labels, probabilities.argmax(axis=1), pages.class_names)


def _write_probabilities(
    path: Path,
    class_names: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
    probabilities: NDArray[np.float32],
    rows: Iterable[int],
) -> None:
    written = ((row, [f"{value:.6f}" for value in probabilities[row].tolist()]) for row in rows)
    cells = ([*(values[row] for values in columns.values()), *texts] for row, texts in written)
    write_csv(path, [*columns, *class_columns(class_names)], cells)
