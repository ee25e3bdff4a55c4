"""Pages that are unlike all training pages, by their frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Pages that are compared with at most, and that the basis comes from.
_MOST_PAGES, _MOST_OF_BASIS = 20_000, 1000
_RANK = 256
_PRIOR = 5  # pages, whose usual distance is that of all classes, that are added to each class
_QUANTILE = 0.98  # of training pages, out of fold, that are taken for like the others
_LEAST = 1e-4  # distance: that of a page and its copy
_BLOCK = 1024

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Novelty:
    """Says of pages how unlike the training pages they are.

    Measured is the cosine distance to the nearest training page (Sun et al., "Out-of-Distribution Detection with Deep
    Nearest Neighbors", ICML 2022), as a logarithm, over what is usual between pages of that one's class in two folds:
    forms of one kind lie closer to each other than letters do. To it the classifier's doubt is added, 1 - confidence;
    each counts in units of its spread out of fold. At 0 lies the quantile .98 of the training pages out of fold.
    """

    mean: Floats  # of each feature, shape (n_features,)
    factors: Floats  # likewise, to standardise with
    basis: Floats  # standardised features to coordinates, shape (rank, n_features)
    reference: Floats  # training pages over their lengths before they were reduced, shape (m, rank)
    usual: Floats  # logarithm of the distance that is usual in the class of each, shape (m,)
    scale: Floats  # spreads of distance and doubt, and the threshold, shape (3,)

    def __call__(self, features: Floats, confidence: Floats) -> Floats:
        """Above 0 where a page is unlike the training pages, shape (n,).

        Args:
            features: Of shape (n, n_features).
            confidence: Probability of the predicted class, shape (n,).
        """
        nearest, distances = _nearest(self._directions(features), self.reference)
        return self._score(np.log(distances) - self.usual[nearest], confidence)

    def _score(self, ratios: Floats, confidence: Floats) -> Floats:
        distance, doubt, threshold = self.scale
        return np.asarray(ratios / distance + (1 - confidence) / doubt - threshold, np.float32)

    def _directions(self, features: Floats) -> Floats:
        standard = (features - self.mean) * self.factors
        lengths = np.linalg.norm(standard, axis=1, keepdims=True)
        return np.asarray(standard @ self.basis.T / np.maximum(lengths, 1e-6), np.float32)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.floating]]) -> Novelty:
        """From arrays by the names of the attributes.

        Raises:
            ValueError: Their shapes do not go together.
        """
        found = cls(**{name: np.asarray(arrays[name], np.float32) for name in cls.__dataclass_fields__})
        (rank, n_features), m = found.basis.shape, len(found.usual)
        expected = [(n_features,), (n_features,), (rank, n_features), (m, rank), (m,), (3,)]
        if (shapes := [getattr(found, name).shape for name in cls.__dataclass_fields__]) != expected:
            raise ValueError(f"shapes {shapes}, which do not go together")
        return found


def fit_novelty(
    train: Floats,
    validation: Floats,
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    confidence: Floats,
) -> tuple[Novelty, Floats]:
    """Learn what is usual from pages of other folds.

    Args:
        train: Features of the n training pages, and after them maybe of other views of each, shape (k * n, n_features).
        validation: Of the same pages as they are validated on, shape (n, n_features).
        labels: Class of each page, shape (n,).
        folds: Fold of each page, shape (n,), of at least two.
        confidence: Out of fold, shape (n,); NaN where no fold has predicted the page.

    Returns:
        The novelty, and what it says of the training pages out of fold, shape (n,); NaN as the confidence.
    """
    random, n = np.random.default_rng(0), len(labels)
    rows = np.sort(random.permutation(len(train))[:_MOST_PAGES])
    mean, spread = train.mean(axis=0), train.std(axis=0)
    factors = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0).astype(np.float32)
    sample = (train[random.permutation(len(train))[:_MOST_OF_BASIS]] - mean) * factors
    values, vectors = np.linalg.eigh((sample @ sample.T).astype(np.float64))
    kept = np.flatnonzero(values > 1e-6 * values[-1])[-_RANK:]
    basis = ((vectors[:, kept] / np.sqrt(values[kept])).T @ sample).astype(np.float32)
    parts = {"mean": mean, "factors": factors, "basis": basis, "scale": np.array([1, 1, 0])}
    first = Novelty.of({**parts, "reference": np.empty((0, len(basis))), "usual": mean[:0]})
    reference = first._directions(train[rows])
    owners = rows % n  # the pages that the references are views of
    nearest, distances = _nearest(first._directions(validation), reference, folds, folds[owners])
    logs = np.log(distances)
    by_class = np.array(
        [
            (logs[labels == label].sum() + _PRIOR * np.median(logs)) / ((labels == label).sum() + _PRIOR)
            for label in range(labels.max() + 1)
        ]
    )
    usual = by_class[labels[owners]]
    ratios, known = logs - usual[nearest], ~np.isnan(confidence)
    spreads = [max(float(np.std(values)), 1e-3) for values in (ratios[known], confidence[known])]
    found = Novelty.of({**parts, "reference": reference, "usual": usual, "scale": np.array([*spreads, 0])})
    scores = found._score(ratios, confidence)
    threshold = np.quantile(scores[known], _QUANTILE)
    found.scale[2] = threshold
    return found, scores - np.float32(threshold)


def _nearest(
    pages: Floats,
    reference: Floats,
    folds: NDArray[np.int64] | None = None,
    others: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], Floats]:
    """The nearest reference of each page, of another fold where folds are given, and its cosine distance."""
    nearest, distances = np.empty(len(pages), np.int64), np.empty(len(pages), np.float32)
    for start in range(0, len(pages), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found = 1 - pages[rows] @ reference.T
        if folds is not None and others is not None:
            found[folds[rows, None] == others] = np.inf
        nearest[rows] = found.argmin(axis=1)
        distances[rows] = found.min(axis=1)
    return nearest, distances.clip(_LEAST, 2)
