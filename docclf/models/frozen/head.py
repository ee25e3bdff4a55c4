"""Classifiers on frozen features: multinomial logistic regression."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The aspect ratio is one number among thousands that are punished alike: so much larger, it counts.
ASPECT_WEIGHT = 20.0
_MOST_STEPS = 500
_AT_ONCE = 256  # pages or features in double precision at once: all of them would take 4 times what features do
FLAGS = ("stages", "aspect", "sqrt", "second_order")  # what of `HeadOptions` a model's folder keeps as it is
_ABSENT = -1e4  # logit of a class without training pages

# Coefficients and intercepts of a fit, and of several by the power of ten that is their C.
_Fit = tuple[NDArray[np.float64], NDArray[np.float64]]
Fits = dict[int, _Fit]


@dataclass(frozen=True)
class HeadOptions:
    """What a head sees of a page, and how it is fitted."""

    C: float = 0.01  # inverse strength of the L2 penalty, above 0, as in scikit-learn's `LogisticRegression`
    scales: Sequence[float] = (1.0, 0.7)  # sides of the views of a page, as fractions of `data.image_size`
    stages: bool = True  # whether features of earlier stages of the backbone count
    aspect: bool = True  # whether the aspect ratio of the page counts
    # whether of the features their signed square roots count, which lie more evenly than they do (Perronnin, Sanchez
    # and Mensink, "Improving the Fisher Kernel for Large-Scale Image Classification", ECCV 2010)
    sqrt: bool = False  # as configs of before have it
    # whether of the stages it counts how their channels vary and correlate over the page, see
    # `docclf.models.frozen.features.PooledStages`
    second_order: bool = False  # likewise
    # augmented copies of each training page, made as `augment` says, besides the page itself. None: 2 where validation
    # pages are augmented, which pages as they are say little of, otherwise 0.
    views: int | None = None


@dataclass(frozen=True)
class Head:
    """A linear classifier."""

    weight: NDArray[np.float32]  # float32 of shape (n_classes, n_features)
    bias: NDArray[np.float32]  # float32 of shape (n_classes,)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of shape (n, n_classes) for features of shape (n, n_features); rows sum to 1."""
        logits = features @ self.weight.T + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return found


@dataclass(frozen=True)
class Reduced:
    """Standardised features of some pages in as few numbers as tell these pages apart.

    A penalty on the sum of squares does not change when features are rotated, and weights outside the span of the
    pages are 0 at its minimum. So a fit on these coordinates is the same, and many times as fast where there are more
    features than pages.
    """

    coordinates: NDArray[np.float32]  # float32 of shape (n, rank)
    # indices of pages that span all, shape (rank,), whose coordinates are a lower triangular matrix; None where
    # coordinates are the standardised features
    pivots: NDArray[np.int64] | None
    mean: NDArray[np.float64]  # of each feature, shape (n_features,)
    factors: NDArray[np.float64]  # by which a feature less its mean is multiplied, shape (n_features,)

    @property
    def n_bytes(self) -> int:
        """What it takes of memory."""
        return self.coordinates.nbytes + self.mean.nbytes + self.factors.nbytes

    def weights(self, weights: NDArray[np.float64], features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Weights of the features, shape (n_classes, n_features), from weights of the coordinates.

        Args:
            weights: Of shape (n_classes, rank).
            features: That were reduced, shape (n, n_features).
        """
        if self.pivots is not None:
            from scipy.linalg import solve_triangular

            pages = solve_triangular(self.coordinates[self.pivots], weights.T, trans="T", lower=True).T
            weights = (pages @ (features[self.pivots] - self.mean)) * self.factors
        return weights * self.factors


def reduce(features: NDArray[np.float32], weights: NDArray[np.float32] | None = None) -> Reduced:
    """Standardise features and rotate them into the span of the pages.

    By a Cholesky decomposition with pivoting of the pages' inner products (Higham, Accuracy and Stability of Numerical
    Algorithms, 2002, section 10.3). Of 3,333 pages that takes a thirtieth of the time that eigenvectors take.

    Args:
        features: Of shape (n, n_features).
        weights: Factor on each standardised feature, shape (n_features,); None for 1.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    rows, columns = _blocks(len(features)), _blocks(features.shape[1])
    spread = np.concatenate([features[:, some].std(axis=0, dtype=np.float64) for some in columns])
    factors = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)  # what is always the same says nothing
    if weights is not None:
        factors = factors * weights
    standard = np.empty(features.shape, np.float32)
    for some in rows:
        standard[some] = (features[some] - mean) * factors
    n, n_features = features.shape
    if n_features <= n or not standard.any():
        return Reduced(standard, None, mean, factors)
    from scipy.linalg.lapack import dpstrf

    products = (standard @ standard.T).astype(np.float64)
    lower, order, rank, _ = dpstrf(products, lower=1, tol=1e-6 * products.diagonal().max())
    order = order.astype(np.int64) - 1
    coordinates = np.empty((n, rank), np.float32)
    coordinates[order] = np.tril(lower)[:, :rank]
    return Reduced(coordinates, order[:rank], mean, factors)


def _blocks(n: int) -> list[slice]:
    """Parts of `n` pages or features.

    >>> _blocks(3), _blocks(513)
    ([slice(0, 3, None)], [slice(0, 256, None), slice(256, 513, None)])
    """
    edges = np.linspace(0, n, max(n // _AT_ONCE, 1) + 1, dtype=int).tolist()
    return [slice(*pair) for pair in itertools.pairwise(edges)]


@functools.cache
def _thread_pools() -> Any:
    import sklearn.linear_model  # noqa: F401  # whose libraries are looked for, which takes milliseconds
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """One thread for each fit of this thread: for steps of a fraction of a millisecond, threads wait 10 times as long.

    Some builds of OpenBLAS keep the limit of each thread apart, others have one for all.
    """
    return _thread_pools().limit(limits=1)  # type: ignore[no-any-return]


def fit_head(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    n_classes: int,
    *,
    C: float,  # noqa: N803  # as scikit-learn calls it
    reduced: Reduced | None = None,
    class_weights: NDArray[np.float64] | None = None,
    known: Fits | None = None,
) -> Head:
    """Fit a head.

    Between two powers of ten, L-BFGS starts from what lies between the fits for these, a fifth of the steps from
    there. Whatever was fitted before, the result is the same.

    Args:
        features: Of the training pages, shape (n, n_features); the coordinates do where these have no pivots.
        labels: Class of each page, shape (n,).
        n_classes: Number of classes; those without training pages are never predicted.
        C: See `HeadOptions`.
        reduced: What `reduce` makes of the features, where it is known.
        class_weights: Weight of each class in the loss, shape (n_classes,); None weighs all alike.
        known: Fits for powers of ten on the same pages, labels and weights, which is added to.
    """
    reduced = reduce(features) if reduced is None else reduced
    present = np.unique(labels)
    weight = np.zeros((n_classes, features.shape[1]))
    bias = np.full(n_classes, _ABSENT)
    if len(present) == 1:
        bias[present] = 0.0
    else:
        weights, known = None if class_weights is None else class_weights[labels], {} if known is None else known
        fit = functools.partial(_fit, reduced.coordinates, labels, weights)
        with one_thread():
            decade = math.log10(C)
            below, above = math.floor(decade), math.ceil(decade)
            for power in {below, above} - known.keys():
                known[power] = fit(10.0**power)
            part = decade - below
            between = [(1 - part) * a + part * b for a, b in zip(known[below], known[above], strict=True)]
            coefficients, intercepts = fit(C, (between[0], between[1])) if part else known[below]
        # Of two classes scikit-learn keeps one row, the logit of the second less that of the first.
        rows, offsets = (
            (np.stack([-side / 2, side / 2]) if len(present) == 2 else side)
            for side in (coefficients[0] if len(present) == 2 else coefficients, intercepts.squeeze())
        )
        weight[present], bias[present] = reduced.weights(rows, features), offsets
    bias -= weight @ reduced.mean
    return Head(weight.astype(np.float32), bias.astype(np.float32))


def _fit(
    coordinates: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    C: float,  # noqa: N803
    start: _Fit | None = None,
) -> _Fit:
    """Coefficients and intercepts as scikit-learn gives them, from a start or from zero."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, max_iter=_MOST_STEPS, tol=1e-4, warm_start=True)
    if start is not None:
        model.coef_, model.intercept_ = start
    model.fit(coordinates, labels, weights)
    return model.coef_, model.intercept_
