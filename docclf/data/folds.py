"""The split into folds: fixed by a seed, so every trial sees the same."""

import csv
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from docclf.cells import uncell
from docclf.data.names import composed
from docclf.data.pages import Pages
from docclf.errors import ConfigError, DataError


def split_pages(
    pages: Pages, *, n_folds: int, seed: int, class_names: Sequence[str], split_file: str | Path | None = None
) -> NDArray[np.int64]:
    """The fold of each page: as a file says, or else by `assign_folds`.

    Args:
        pages: With labels.
        split_file: CSV with the columns ID and fold, such as the `folds.csv` of another run.

    Raises:
        ConfigError, DataError: See `assign_folds` and `read_folds`.
    """
    if split_file is not None and n_folds >= 2:
        return read_folds(Path(split_file), pages.ids, n_folds)
    assert pages.labels is not None
    return assign_folds(pages.labels, n_folds=n_folds, seed=seed, class_names=class_names, groups=pages.groups)


def read_folds(path: Path, ids: Sequence[str], n_folds: int) -> NDArray[np.int64]:
    """Read the fold of each page.

    Args:
        path: CSV with the columns ID and fold, folds from 0.
        ids: The pages.
        n_folds: Number of folds.

    Raises:
        ConfigError: There is no such file, or it lacks a column.
        DataError: A page without a fold or with two, or a fold that is not one of them.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(composed(uncell(row["ID"])), row["fold"]) for row in csv.DictReader(file)]
        if not rows:
            raise ValueError("no rows")
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise ConfigError(
            f"Expected `validation.split_file` to be a CSV file with the columns ID and fold, got {path}: {error}."
        ) from error
    fold_of = dict(rows)
    if twice := [(name, fold) for name, fold in rows if fold != fold_of[name]]:
        name, fold = twice[0]
        raise DataError(f"Expected every page once in {path}, got {name} with the folds {fold} and {fold_of[name]}.")
    allowed = {str(fold) for fold in range(n_folds)}
    given = [fold_of.get(composed(name), "none") for name in ids]
    lost = [f"{name} ({fold})" for name, fold in zip(ids, given, strict=True) if fold not in allowed]
    if lost:
        raise DataError(
            f"Expected a fold from 0 to {n_folds - 1} for every page in {path}, "
            f"got others for {len(lost)} of {len(ids)}: {', '.join(lost[:10])}."
        )
    folds = np.array([int(fold) for fold in given], dtype=np.int64)
    if empty := sorted(set(range(n_folds)) - set(folds.tolist())):
        raise DataError(f"Expected pages in each of {n_folds} folds of {path}, got none in {empty[0]}.")
    return folds


def assign_folds(
    labels: NDArray[np.int64],
    *,
    n_folds: int,
    seed: int,
    class_names: Sequence[str],
    groups: Sequence[str] | None = None,
) -> NDArray[np.int64]:
    """Assign every page to the fold that validates it.

    Args:
        labels: Class index of each page, shape (n,).
        n_folds: Number of folds, at least 2.
        seed: Of the shuffle.
        class_names: For error messages, in the order of the class indices.
        groups: Pages of one group get the same fold; classes are then balanced as well as that allows.

    Returns:
        Fold index in [0, n_folds) of each page, int64 of shape (n,).

    Raises:
        ConfigError: Fewer than 2 folds.
        DataError: A class, or the groups of a class, too few for one in each fold.

    >>> assign_folds(np.array([0, 1, 0, 1]), n_folds=2, seed=0, class_names=["a", "b"]).tolist()
    [1, 0, 0, 1]
    """
    if n_folds < 2:
        raise ConfigError(
            f"Expected `validation.folds` to be at least 2, got {n_folds}. Use validation=holdout for a single split."
        )
    # A group with pages of several classes counts for each of them.
    units = labels if groups is None else [label for label, _ in set(zip(labels.tolist(), groups, strict=True))]
    counts = np.bincount(units, minlength=len(class_names))
    scarce = [f"{class_names[c]} ({n})" for c, n in enumerate(counts) if 0 < n < n_folds]
    if scarce:
        what = "pages" if groups is None else "groups (near-duplicates are one)"
        apart = "" if groups is None else " With data.near_duplicates=null, near-duplicates are pages of their own."
        raise DataError(
            f"Expected at least {n_folds} {what} of every class for validation.folds={n_folds}, "
            f"got fewer of {', '.join(scarce)}. Add pages, merge classes, or use fewer folds.{apart}"
        )
    return _assign(tuple(labels.tolist()), None if groups is None else tuple(groups), n_folds, seed).copy()


@lru_cache(maxsize=8)  # every trial of a search asks for the same
def _assign(labels: tuple[int, ...], groups: tuple[str, ...] | None, n_folds: int, seed: int) -> NDArray[np.int64]:
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Groups may leave a fold without some class; the scores say what is done then.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, validation) in enumerate(splitter.split(labels, labels, groups)):
            folds[validation] = fold
    return folds
