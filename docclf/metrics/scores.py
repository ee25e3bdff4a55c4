"""Scores of predictions: the F1 of each class and their mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.errors import DataError

Indices = NDArray[np.integer[Any]]


def f1_per_class(labels: Indices, predicted: Indices, n_classes: int) -> NDArray[np.float64]:
    """F1 = 2 TP / (2 TP + FP + FN) of each class; NaN for one neither among the labels nor among the predictions.

    Args:
        labels: True class indices, shape (n,), in [0, n_classes).
        predicted: Predicted class indices, shape (n,).

    Raises:
        DataError: Shapes differ, or an index is out of range.

    >>> f1_per_class(np.array([0, 0, 1]), np.array([0, 1, 1]), 3).round(3).tolist()
    [0.667, 0.667, nan]
    """
    labels, predicted = class_indices(n_classes, labels, predicted)
    true_positives, actual, called = (
        np.bincount(classes, minlength=n_classes) for classes in (labels[labels == predicted], labels, predicted)
    )
    return f1_of_counts(true_positives, actual + called)


def macro_f1(labels: Indices, predicted: Indices, n_classes: int) -> float:
    """Unweighted mean of the F1 of the classes that have one; NaN without pages.

    The same as scikit-learn's `f1_score(average="macro")`, and the first of the two definitions that Opitz and Burst,
    "Macro F1 and Macro F1" (2019), tell apart. Arguments and errors as for `f1_per_class`.

    >>> macro_f1(np.array([0, 0, 1]), np.array([0, 1, 2]), 5)  # 2/3, 0 and 0
    0.2222222222222222
    """
    return float(mean_of_classes(f1_per_class(labels, predicted, n_classes)))


def macro_f1_each(labels: Indices, predicted: Indices, n_classes: int) -> NDArray[np.float64]:
    """`macro_f1` of several sets of predictions at once, shape (sets,).

    Args:
        labels: True class indices, shape (n,), in [0, n_classes).
        predicted: Predicted class indices of each set, shape (sets, n).

    >>> macro_f1_each(np.array([0, 0, 1]), np.array([[0, 0, 1], [0, 1, 2]]), 5).round(3).tolist()
    [1.0, 0.222]
    """
    sets = np.arange(len(predicted))[:, None] * n_classes
    shape, n = (len(predicted), n_classes), len(predicted) * n_classes
    called = np.bincount((sets + predicted).ravel(), minlength=n).reshape(shape)
    hits = np.bincount((sets + predicted)[predicted == labels], minlength=n).reshape(shape)
    return mean_of_classes(f1_of_counts(hits, np.bincount(labels, minlength=n_classes) + called).T)


def class_indices(n_classes: int, labels: Indices, *predictions: Indices) -> list[NDArray[np.int64]]:
    """All as int64 of one shape (n,) and within range."""
    arrays = [np.asarray(array) for array in (labels, *predictions)]
    if any(array.shape != arrays[0].shape or array.ndim != 1 for array in arrays):
        raise DataError(f"Expected one class index a page, got the shapes {', '.join(str(a.shape) for a in arrays)}.")
    for array in arrays:
        if len(array) and not (array.min() >= 0 and array.max() < n_classes):
            raise DataError(f"Expected class indices from 0 to {n_classes - 1}, got {array.min()} to {array.max()}.")
    return [array.astype(np.int64, copy=False) for array in arrays]


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """NaN where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def f1_of_counts(true_positives: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """F1 from TP and (TP + FN) + (TP + FP), which is 2 TP + FP + FN."""
    return ratio(2 * true_positives, total)


def mean_of_classes(f1: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes, the first axis, that have one."""
    return ratio(np.nansum(f1, axis=0), np.asarray(np.count_nonzero(~np.isnan(f1), axis=0)))
