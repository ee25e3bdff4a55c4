"""How well a classifier tells test pages from training pages, on frozen features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from docclf.models.frozen.head import one_thread, reduce

FOLDS, _REPEATS = 5, 3
_C = 0.001  # with so few pages and so many features, less penalty tells them apart no better
_DRAWS, _LEVEL = 1000, 0.95


@dataclass(frozen=True)
class TwoSampleTest:
    """How well a classifier tells two sets of pages apart."""

    auc: float  # area under the ROC curve, in [0, 1]; 0.5 where it cannot tell them apart
    low: float  # lower bound of its 95 % interval
    high: float  # upper bound
    # how much each test page looks like one, in [0, 1], shape (m,): its rank among the held-out pages
    unlike: NDArray[np.float64]

    @property
    def bounds(self) -> dict[str, float]:
        """Area and interval, rounded, for a file."""
        return {"value": round(self.auc, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


def compare_samples(train: NDArray[np.float32], test: NDArray[np.float32], groups: NDArray[np.int64]) -> TwoSampleTest:
    """Cross-validate a logistic regression that tells test pages from training pages.

    Each page is judged by classifiers that have seen no page of its group, in three splits into five folds. Judgements
    become ranks within each fold, since classifiers of several folds are not sure in the same way; the area is the one
    under the curve of the mean ranks. Its interval comes from a bootstrap of groups (percentile).

    Args:
        train: Features of training pages, shape (n, n_features).
        test: Of test pages, shape (m, n_features).
        groups: Of all these pages, training pages first, shape (n + m,); at least `FOLDS` different ones.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.repeat([0, 1], [len(train), len(test)])
    seen = reduce(np.concatenate([train, test])).coordinates  # without the labels, so of all pages at once
    ranks = np.zeros(len(labels))
    for seed in range(_REPEATS):
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        for rows, held_out in folds.split(labels, labels, groups):
            with one_thread():
                model = LogisticRegression(C=_C, max_iter=500).fit(seen[rows], labels[rows])
            found = model.decision_function(seen[held_out])
            # The middle of each one's place in [0, 1]
            ranks[held_out] += (rankdata(found) - 0.5) / len(found) / _REPEATS
    n_groups, inverse = len(np.unique(groups)), np.unique(groups, return_inverse=True)[1]
    drawn = np.random.default_rng(0).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=_DRAWS)
    areas = _areas(ranks, labels, np.concatenate([np.ones((1, len(labels))), drawn[:, inverse]]))
    low, high = np.nanquantile(areas[1:], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return TwoSampleTest(float(areas[0]), float(low), float(high), ranks[len(train) :])


def _areas(ranks: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas under the ROC curve, each for a row of weights of the pages, shape (n_rows,); ties count half."""
    values, place = np.unique(ranks, return_inverse=True)
    per_class = np.zeros((2, len(weights), len(values)))
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        np.add.at(per_class[label].T, place[rows], weights[:, rows].T)
    training, test = per_class
    below = training.cumsum(axis=1) - training / 2
    total = training.sum(axis=1) * test.sum(axis=1)
    areas: NDArray[np.float64] = (below * test).sum(axis=1) / np.where(total > 0, total, np.nan)
    return areas
