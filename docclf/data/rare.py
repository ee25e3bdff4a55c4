"""Classes of so few pages that there is not one for each fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docclf.data.pages import Pages


def rare_classes(
    labels: NDArray[np.int64], groups: Sequence[str] | None, n_folds: int, n_classes: int
) -> dict[int, int]:
    """Classes with fewer pages than folds, or with fewer groups where there are groups, and how many they have.

    A group with pages of several classes counts for each of them; a class without pages is none of these.

    >>> labels = np.array([0, 0, 1, 1])
    >>> rare_classes(labels, None, 2, 3), rare_classes(labels, ["a", "b", "c", "c"], 2, 3)
    ({}, {1: 1})
    """
    units = labels.tolist()
    if groups is not None:
        units = [label for label, _ in set(zip(units, groups, strict=True))]
    counts = np.bincount(np.array(units, dtype=np.int64), minlength=n_classes)
    return {label: int(n) for label, n in enumerate(counts) if 0 < n < n_folds}


def in_training_only(labels: NDArray[np.int64], groups: Sequence[str] | None, n_folds: int) -> NDArray[np.bool_]:
    """Which pages no fold can validate: those of rare classes, and what is grouped with them.

    Returns:
        Shape (n,).
    """
    alone = np.zeros(len(labels), dtype=np.bool_)
    names = np.arange(len(labels)) if groups is None else np.unique(np.array(groups, dtype=str), return_inverse=True)[1]
    # Groups that go along may leave other classes with too few.
    while rare := rare_classes(labels[~alone], [str(name) for name in names[~alone]], n_folds, 0):
        alone |= np.isin(names, names[np.isin(labels, list(rare)) & ~alone])
    return alone


def without_classes(pages: Pages, dropped: Sequence[int], n_classes: int) -> tuple[Pages, NDArray[np.int64]]:
    """The pages of all classes but some, with labels that count the remaining ones, and the indices of these pages.

    Args:
        pages: With labels; without, all of them stay.
        dropped: Indices of classes.
        n_classes: Their number, with these.
    """
    if pages.labels is None:
        return pages, np.arange(len(pages))
    rows = np.flatnonzero(~np.isin(pages.labels, list(dropped)))
    kept = np.setdiff1d(np.arange(n_classes), list(dropped))
    found = pages.take(rows.tolist())
    assert found.labels is not None
    return Pages(found.ids, found.paths, np.searchsorted(kept, found.labels), found.groups, found.numbers), rows
