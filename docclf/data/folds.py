"""The split into folds: fixed by a seed, so every trial sees the same."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from docclf.errors import ConfigError, DataError


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
        what = "pages" if groups is None else "groups"
        raise DataError(
            f"Expected at least {n_folds} {what} of every class for validation.folds={n_folds}, "
            f"got fewer of {', '.join(scarce)}. Add pages, merge classes, or use fewer folds."
        )
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Groups may leave a fold without some class; the scores say what is done then.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, validation) in enumerate(splitter.split(labels, labels, groups)):
            folds[validation] = fold
    return folds
