"""The split into folds: fixed by a seed, so every trial sees the same."""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.data.pages import Pages
from docclf.data.reading.folders import warn_once
from docclf.data.reading.names import some
from docclf.data.reading.tables import read_table
from docclf.errors import ConfigError, DataError
from docclf.files import match_pages
from docclf.safety.cells import uncell


def split_pages(
    pages: Pages,
    *,
    n_folds: int,
    seed: int,
    class_names: Sequence[str],
    split_file: str | Path | None = None,
    order: NDArray[np.int64] | None = None,
    rare: str = "raise",
    emptied: Sequence[int] = (),
) -> NDArray[np.int64]:
    """The fold of each page, shape (n,), as a file says or else by `assign_folds`; -1 for training only (`rare=train`).

    Errors as for `assign_folds` and `read_folds`.

    Args:
        pages: With labels.
        split_file: CSV with the columns ID and fold, such as the `folds.csv` of another run.
        order: Of the pages, by which they get their folds, see `docclf.data.dataset.DataSet.order`; None for the
            order that they are in, by which earlier releases went.
        rare: See `assign_folds`.
        emptied: Classes that should have pages and have none; with `rare=train` a warning names them.
    """
    assert pages.labels is not None
    if emptied:
        _refuse_or_tell([class_names[label] for label in emptied], rare)
    if split_file is not None:
        given = read_folds(Path(split_file), pages.ids, n_folds, rare)
        _tell_of_split(split_file, given, pages, class_names)
        return given
    rows = np.arange(len(pages)) if order is None else order
    groups = pages.groups
    if groups is not None and order is not None:  # called by the order in which they come
        numbers: dict[str, int] = {}
        groups = [f"{numbers.setdefault(groups[row], len(numbers)):09}" for row in rows]
    folds = np.empty(len(pages), dtype=np.int64)
    folds[rows] = assign_folds(
        pages.labels[rows], n_folds=n_folds, seed=seed, class_names=class_names, groups=groups, rare=rare
    )
    if (rest := folds < 0).any():
        counts = Counter(class_names[label] for label in pages.labels[rest].tolist())
        shown = some(f"{name} ({n})" for name, n in sorted(counts.items()))
        warn_once(
            f"In training only, and never scored, since there are fewer pages than validation.folds={n_folds}: {shown}."
        )
    return folds


def _tell_of_split(file: str | Path, given: NDArray[np.int64], pages: Pages, class_names: Sequence[str]) -> None:
    found = {name: set(given[pages.labels == label].tolist()) for label, name in enumerate(class_names)}
    if alone := [name for name, folds in found.items() if len(folds) == 1 and min(folds) >= 0]:
        warn_once(
            f"{file} has all pages of a class in one fold, so that the model which is scored on them has not "
            f"trained on the class: {some(alone)}. Divide them among the folds."
        )
    first: dict[str, int] = {}
    if divided := {g: row for row, g in enumerate(pages.groups or ()) if given[first.setdefault(g, row)] != given[row]}:
        (group, row), *_ = divided.items()
        example = " and ".join(f"{pages.ids[i]} (fold {given[i]})" for i in (first[group], row))
        warn_once(
            f"{file} has {len(divided)} groups (near-duplicates are one) in several folds, so that models are scored "
            f"on pages like those they have trained on: {example}. Give all pages of a group one fold."
        )


def _refuse_or_tell(emptied: list[str], rare: str) -> None:
    if rare != "train":
        raise DataError(
            f"Expected training pages of every class, got none that can be used of {some(emptied)}. Look at "
            "data.exclude, data.corrections and the pages that were left out, or say data.rare_classes=drop to leave "
            "these classes out, or data.rare_classes=train to have classes that are never predicted."
        )
    warn_once(f"Never predicted, since no training page of the class can be used: {some(emptied)}.")


def read_folds(path: Path, ids: Sequence[str], n_folds: int, rare: str = "raise") -> NDArray[np.int64]:
    """Read the fold of each page.

    Args:
        path: CSV with the columns ID and fold, folds from 0.
        rare: With `train`, -1 is the fold of pages that are in training only.

    Raises:
        ConfigError: There is no such file, or it lacks a column.
        DataError: A page without a fold or with two, or a fold that is not one of them.
    """
    try:
        table = read_table(path, ("ID", "fold"))
    except (OSError, DataError) as error:
        raise ConfigError(
            "Expected `validation.split_file` to be a CSV file with the columns ID and fold, "
            f"got {path}: {str(error).rstrip('.')}."
        ) from error
    # A spreadsheet that has seen an empty cell writes 0.0 for 0.
    rows = [(uncell(row["ID"]), re.sub(r"\.0*$", "", row["fold"]) or "none") for row in table]
    fold_of = dict(rows)
    if twice := [(name, fold) for name, fold in rows if fold != fold_of[name]]:
        name, fold = twice[0]
        raise DataError(f"Expected every page once in {path}, got {name} with the folds {fold} and {fold_of[name]}.")
    allowed = {str(fold) for fold in range(-1 if rare == "train" else 0, n_folds)}
    places = zip(*(match_pages(forms, fold_of) for forms in zip(*map(_forms, ids), strict=True)), strict=True)
    listed = [*fold_of.values(), "none"]
    given = [listed[next((i for i in found if i >= 0), -1)] for found in places]
    if lost := [f"{name} ({fold})" for name, fold in zip(ids, given, strict=True) if fold not in allowed]:
        raise DataError(
            f"Expected a fold from 0 to {n_folds - 1} for every page in {path}, "
            f"got others for {len(lost)} of {len(ids)}: {', '.join(lost[:10])}. Write one for each."
        )
    folds = np.array([int(fold) for fold in given], dtype=np.int64)
    if empty := sorted(set(range(n_folds)) - set(folds.tolist())):
        n, there = len(set(folds.tolist()) - {-1}), set(folds.tolist())
        are_numbered = n > 1 and {*range(n)} <= there
        way_out = f"Say validation.folds={n}." if are_numbered else "Number two folds or more from 0, without gaps."
        raise DataError(f"Expected pages in each of {n_folds} folds of {path}, got none in {empty[0]}. {way_out}")
    return folds


def _forms(name: str) -> tuple[str, ...]:
    """How a training page may be called: below the root, or below `train`."""
    return name, f"train/{name}", name.removeprefix("train/")


def assign_folds(
    labels: NDArray[np.int64],
    *,
    n_folds: int,
    seed: int,
    class_names: Sequence[str],
    groups: Sequence[str] | None = None,
    rare: str = "raise",
) -> NDArray[np.int64]:
    """Assign every page to the fold that validates it.

    Args:
        labels: Class index of each page, shape (n,).
        n_folds: Number of folds, at least 2.
        class_names: For error messages, in the order of the class indices.
        groups: Pages of one group get the same fold; classes are then balanced as well as that allows.
        rare: What becomes of a class of too few pages: `train` has them in no fold, so that all train on them; anything
            else refuses them, `drop` too, which has left out those of the trials' folds.

    Returns:
        Fold index in [0, n_folds) of each page, int64 of shape (n,); -1 for those in training only.

    Raises:
        DataError: A class, or the groups of a class, too few for one in each fold.

    >>> assign_folds(np.array([0, 1, 0, 1]), n_folds=2, seed=0, class_names=["a", "b"]).tolist()
    [1, 0, 0, 1]
    """
    alone = np.zeros(len(labels), np.bool_) if rare != "train" else in_training_only(labels, groups, n_folds)
    kept = None if groups is None else tuple(group for group, is_out in zip(groups, alone, strict=True) if not is_out)
    if scarce := rare_classes(labels[~alone], kept, n_folds, len(class_names)):
        what = "pages" if groups is None else "groups (near-duplicates are one)"
        apart = "" if groups is None else " With data.near_duplicates=null, near-duplicates are pages of their own."
        fewer = "" if min(scarce.values()) < 2 else "use fewer folds, "
        drop = "" if rare == "drop" else "data.rare_classes=drop to leave these classes out, or "
        raise DataError(
            f"Expected at least {n_folds} {what} of every class for validation.folds={n_folds}, got fewer of "
            f"{', '.join(f'{class_names[label]} ({n})' for label, n in scarce.items())}. Add pages, merge classes, "
            f"{fewer}or say {drop}data.rare_classes=train to have them in training only.{apart}"
        )
    if len(np.unique(labels[~alone])) < 2:
        raise DataError(
            f"Expected at least 2 classes with {n_folds} pages each for validation.folds={n_folds}, got fewer: there "
            "would be nothing to tell apart. Add pages, or use fewer folds."
        )
    folds = np.full(len(labels), -1, dtype=np.int64)
    folds[~alone] = _assign(tuple(labels[~alone].tolist()), kept, n_folds, seed)
    return folds


@lru_cache(maxsize=8)  # every trial of a search asks for the same
def _assign(labels: tuple[int, ...], groups: tuple[str, ...] | None, n_folds: int, seed: int) -> NDArray[np.int64]:
    folds = np.empty(len(labels), dtype=np.int64)
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Groups may leave a fold without some class; the scores say what is done then.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, validation) in enumerate(splitter.split(labels, labels, groups)):
            folds[validation] = fold
    return folds


def rare_classes(
    labels: NDArray[np.int64], groups: Sequence[str] | None, n_folds: int, n_classes: int, emptied: Sequence[int] = ()
) -> dict[int, int]:
    """Classes with fewer pages than folds, or with fewer groups where there are groups, and how many they have.

    A group with pages of several classes counts for each of them; of those without pages, only `emptied` are these.

    >>> labels = np.array([0, 0, 1, 1])
    >>> rare_classes(labels, None, 2, 3), rare_classes(labels, ["a", "b", "c", "c"], 2, 3)
    ({}, {1: 1})
    """
    units = labels.tolist()
    if groups is not None:
        units = [label for label, _ in set(zip(units, groups, strict=True))]
    counts = np.bincount(np.array(units, dtype=np.int64), minlength=n_classes)
    return {label: int(n) for label, n in enumerate(counts) if 0 < n < n_folds or label in emptied}


def in_training_only(labels: NDArray[np.int64], groups: Sequence[str] | None, n_folds: int) -> NDArray[np.bool_]:
    """Which pages, shape (n,), no fold can validate: those of rare classes, and what is grouped with them."""
    alone = np.zeros(len(labels), dtype=np.bool_)
    names = np.arange(len(labels)) if groups is None else np.unique(np.array(groups, dtype=str), return_inverse=True)[1]
    # Groups that go along may leave other classes with too few.
    while rare := rare_classes(labels[~alone], [str(name) for name in names[~alone]], n_folds, 0):
        alone |= np.isin(names, names[np.isin(labels, list(rare)) & ~alone])
    return alone
