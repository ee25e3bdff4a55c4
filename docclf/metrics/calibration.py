"""How far probabilities can be believed, and the temperature that makes them so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from docclf.errors import ConfigError, DataError
from docclf.metrics.scores import Indices, class_indices, ratio


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy, bin by bin of equal width; the last bin holds the highest confidence."""

    count: NDArray[np.int64]  # pages, int64 of shape (bins,)
    confidence: NDArray[np.float64]  # mean probability of the predicted class, shape (bins,); NaN without pages
    accuracy: NDArray[np.float64]  # fraction of correct predictions, shape (bins,); NaN without pages


def reliability(probabilities: ArrayLike, labels: Indices, bins: int = 15) -> Reliability:
    """What a reliability diagram shows. Bin m of M holds confidences in ((m - 1) / M, m / M].

    Args:
        probabilities: Shape (n, n_classes), in [0, 1].
        labels: True class indices, shape (n,).

    Raises:
        DataError: Shapes differ, an index is out of range, or there are no pages.

    >>> reliability([[0.9, 0.1], [0.4, 0.6]], np.array([0, 0]), bins=2).accuracy.tolist()
    [nan, 0.5]
    """
    p, labels = _checked_probabilities(probabilities, labels)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    rows = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(rows, minlength=bins)
    means = [ratio(np.bincount(rows, weights=values, minlength=bins), count) for values in (confidence, right)]
    return Reliability(count, *means)


def calibration_error(probabilities: ArrayLike, labels: Indices, bins: int = 15) -> float:
    """Expected calibration error of the predicted class, in [0, 1]: the mean over pages of |accuracy - confidence|.

    Both are means of the page's bin; see Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation
    3. Arguments and errors as for `reliability`.

    >>> round(calibration_error([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]], np.array([0, 0, 0])), 3)
    0.4
    """
    found = reliability(probabilities, labels, bins)
    gaps = np.nan_to_num(abs(found.accuracy - found.confidence))
    return float(np.sum(gaps * found.count) / np.sum(found.count))


def fit_temperature(probabilities: ArrayLike, labels: Indices) -> float:
    """The temperature T in [0.05, 20] by which softmax(log p / T) gives the labels the highest likelihood.

    Above 1 the model was overconfident. 1 where no temperature does better. Log-probabilities are logits but for a
    constant a page, so this is temperature scaling as in Guo et al. (2017), but for one thing: as if 1 page in n + 2
    more had been taken for its likeliest wrong class. A few pages that are all right would otherwise make every later
    confidence 1 (the remedy is that of Platt, "Probabilistic Outputs for Support Vector Machines", 1999). Probabilities
    of 0, rounded as they may be, count as half of the smallest one above 0, or as 5e-7 if that is less; for a model
    that is very overconfident, give them as the model does, not rounded. Arguments and errors as for `reliability`.

    >>> sure, labels = np.tile([0.99, 0.01], (4, 1)), np.array([0, 0, 0, 1])
    >>> with_temperature(sure, fit_temperature(sure, labels))[0].round(2).tolist()
    [0.67, 0.33]
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    p, labels = _checked_probabilities(probabilities, labels)
    above = p[p > 0]
    least = max(min(above.min() / 2, 5e-7), np.finfo(np.float64).tiny)
    logits = np.log(np.where(p > 0, p, least))
    rows = np.arange(len(labels))
    logits -= logits[rows, labels][:, None]  # the loss of a page is what the rest weighs
    wrong = logits.copy()
    wrong[rows, labels] = -np.inf
    mistaken = float(np.mean(wrong.max(axis=1))) / (len(labels) + 2) if p.shape[1] > 1 else 0.0

    def loss(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        return float(np.mean(logsumexp(logits / temperature, axis=1))) - mistaken / temperature

    bounds = (math.log(0.05), math.log(20))
    found = min((float(minimize_scalar(loss, bounds=bounds, method="bounded").x), *bounds), key=loss)
    return math.exp(found) if loss(found) < loss(0) - 1e-12 else 1.0


def with_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Softmax(log p / T), shape (n, n_classes): the same order of classes, more even where T is above 1.

    Args:
        probabilities: Shape (n, n_classes), in [0, 1]; 0 stays 0.
        temperature: T, above 0.

    Raises:
        DataError: The temperature is not above 0.

    >>> with_temperature([[0.8, 0.2]], 2).round(3).tolist()
    [[0.667, 0.333]]
    """
    if not temperature > 0:
        raise DataError(f"Expected a temperature above 0, got {temperature}.")
    p = np.asarray(probabilities, dtype=np.float64)
    powers = (p / p.max(axis=1, keepdims=True)) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class Cut(NamedTuple):
    """A place on the curve of `Selective`."""

    confidence: float
    coverage: float
    accuracy: float


@dataclass(frozen=True)
class Selective:
    """Accuracy over coverage: pages are answered in order of confidence, the most confident first."""

    confidence: NDArray[np.float64]  # least confidence that is answered, falling, shape (k,)
    coverage: NDArray[np.float64]  # fraction of the pages that are answered then, in (0, 1], shape (k,)
    accuracy: NDArray[np.float64]  # fraction of these that are right, shape (k,)

    def at(self, accuracy: float) -> Cut:
        """Where as many pages as may be are answered at this accuracy.

        Raises:
            ConfigError: No part of the pages was right so often.
        """
        enough = np.flatnonzero(self.accuracy >= accuracy)
        if not len(enough):
            best = int(self.accuracy.argmax()) if len(self.accuracy) else -1
            most = "no page" if best < 0 else f"at most {self.accuracy[best]:.4f}, on {self.coverage[best]:.1%} of them"
            less = 0.0 if best < 0 else math.floor(self.accuracy[best] * 100) / 100
            way = f"Ask for less, as with abstain={less}" if less > 0 else "Predict every page with abstain=null"
            raise ConfigError(
                f"Expected an accuracy in `abstain` that the model had on some training pages out of fold, got "
                f"{accuracy}; it had {most}. {way}, or train a better model."
            )
        place = enough[-1]
        return Cut(float(self.confidence[place]), float(self.coverage[place]), float(self.accuracy[place]))


def accuracy_over_coverage(confidence: NDArray[np.floating], right: NDArray[np.bool_], points: int = 200) -> Selective:
    """The risk-coverage curve (Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", 2017).

    Args:
        confidence: Of each page, shape (n,); those at 0 are never answered.
        right: Whether the prediction is right, shape (n,).
        points: Of the curve at most; pages of one confidence are answered together.

    >>> found = accuracy_over_coverage(np.array([0.9, 0.8, 0.8, 0.0]), np.array([True, True, False, False]))
    >>> found.coverage.tolist(), found.accuracy.round(2).tolist()
    ([0.25, 0.75], [1.0, 0.67])
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order]
    ends = np.flatnonzero((sure > np.append(sure[1:], -1)) & (sure > 0))  # the last of each confidence
    if len(ends) > points:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, points).round().astype(int))]
    hits = np.cumsum(right[order])[ends]
    return Selective(sure[ends].astype(np.float64), (ends + 1) / len(sure), hits / (ends + 1))


def _checked_probabilities(probabilities: ArrayLike, labels: Indices) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or len(p) != len(labels) or not len(labels):
        raise DataError(f"Expected a row of probabilities for each of {len(labels)} labels, got {p.shape}.")
    if not ((p >= 0).all() and (p.max(axis=1) > 0).all()):
        raise DataError("Expected probabilities of at least 0, and one above 0 for each page; got others, or NaN.")
    return p, class_indices(p.shape[1], labels)[0]
