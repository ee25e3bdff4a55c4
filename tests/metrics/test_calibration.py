"""Calibration errors agree with the formula, and temperatures with how far a model is off."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from docclf.errors import ConfigError, DataError
from docclf.metrics.calibration import (
    accuracy_over_coverage,
    calibration_error,
    fit_temperature,
    reliability,
    with_temperature,
)

Indices = NDArray[np.int64]
Shares = NDArray[np.float64]


def softmax(logits: Shares) -> Shares:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def drawn_pages(k: float, n: int = 20_000, n_classes: int = 5) -> tuple[Shares, Indices]:
    """Labels drawn from softmax(z), and the probabilities softmax(k z) of a model that is k times too sure."""
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(n, n_classes))
    labels = (softmax(logits).cumsum(axis=1) < random.random((n, 1))).sum(axis=1).clip(max=n_classes - 1)
    return softmax(k * logits), labels


def naive_calibration_error(shares: Shares, labels: Indices, bins: int) -> float:
    """Guo et al. 2017, equations 1 to 3, page by page."""
    error = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, row in enumerate(shares) if (m - 1) / bins < max(row) <= m / bins]
        if inside:
            accuracy = sum(int(np.argmax(shares[i])) == labels[i] for i in inside) / len(inside)
            confidence = sum(max(shares[i]) for i in inside) / len(inside)
            error += len(inside) / len(shares) * abs(accuracy - confidence)
    return error


@pytest.mark.parametrize("bins", [1, 2, 10, 15])
@pytest.mark.parametrize("k", [0.3, 1, 4])
def test_the_calibration_error_is_that_of_the_formula(k: float, bins: int) -> None:
    shares, labels = drawn_pages(k, n=300)
    assert calibration_error(shares, labels, bins) == pytest.approx(naive_calibration_error(shares, labels, bins))
    assert calibration_error(shares.astype(np.float32), labels, bins) == pytest.approx(
        naive_calibration_error(shares, labels, bins), abs=1e-6
    )


def test_a_confidence_on_the_edge_belongs_to_the_lower_bin_and_1_to_the_last() -> None:
    shares = np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75], [0.4, 0.6]])
    found = reliability(shares, np.array([0, 0, 1, 0]), bins=4)
    assert found.count.tolist() == [0, 1, 2, 1]
    assert found.confidence == pytest.approx([np.nan, 0.5, 0.675, 1], nan_ok=True)
    assert found.accuracy == pytest.approx([np.nan, 1, 0.5, 1], nan_ok=True)


def test_calibration_errors_go_from_0_to_1() -> None:
    certain = np.tile([1.0, 0.0], (4, 1))
    assert calibration_error(certain, np.zeros(4, dtype=int)) == 0
    assert calibration_error(certain, np.ones(4, dtype=int)) == 1
    shares, labels = drawn_pages(1)
    assert calibration_error(shares, labels) < 0.015


@pytest.mark.parametrize("k", [0.3, 1, 3, 8])
def test_the_temperature_is_how_much_too_sure_a_model_is(k: float) -> None:
    shares, labels = drawn_pages(k)
    temperature = fit_temperature(shares, labels)
    assert temperature == pytest.approx(k, rel=0.03)
    losses = [log_loss(labels, with_temperature(shares, T)) for T in np.geomspace(k / 1.1, k * 1.1, 31)]
    assert log_loss(labels, with_temperature(shares, temperature)) <= min(losses) + 1e-9
    assert calibration_error(with_temperature(shares, temperature), labels) < 0.015


def test_the_temperature_depends_neither_on_the_order_nor_on_the_scale_of_what_it_is_fitted_to() -> None:
    shares, labels = drawn_pages(3, n=500)
    temperature = fit_temperature(shares, labels)
    pages, classes = np.random.default_rng(0).permutation(500), np.array([3, 0, 4, 1, 2])
    assert fit_temperature(shares[pages], labels[pages]) == pytest.approx(temperature, rel=1e-4)
    assert fit_temperature(shares[:, classes], np.argsort(classes)[labels]) == pytest.approx(temperature, rel=1e-4)
    assert fit_temperature(with_temperature(shares, 2), labels) == pytest.approx(temperature / 2, rel=1e-4)
    assert fit_temperature(0.1 * shares, labels) == pytest.approx(temperature, rel=1e-4), "logits but for a constant"
    assert fit_temperature(with_temperature(shares, temperature), labels) == pytest.approx(1, rel=1e-4)


def test_a_temperature_leaves_the_order_of_classes_and_sums_of_1() -> None:
    shares, _ = drawn_pages(2, n=100)
    for temperature in (0.05, 0.5, 1, 20):
        scaled = with_temperature(shares, temperature)
        assert scaled.sum(axis=1) == pytest.approx(np.ones(100))
        assert (scaled.argmax(axis=1) == shares.argmax(axis=1)).all()
    assert with_temperature(shares, 1) == pytest.approx(shares)
    assert with_temperature(shares, 2.5) == pytest.approx(softmax(np.log(shares) / 2.5))
    assert with_temperature([[0.0, 0.5, 0.5]], 3).tolist() == [[0, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("shares", "labels", "expected"),
    [
        ([[0.9, 0.1], [0.1, 0.9]], [0, 1], 2),  # all right, so sure by 3 in 4, as odds of 9 to 1 are when halved
        ([[0.9, 0.1], [0.2, 0.8]], [1, 0], 20),  # all wrong
        ([[1, 0], [0, 1]], [0, 1], np.log(2e6) / np.log(3)),  # the same from odds of 2,000,000 to 1
        (np.tile([0.51, 0.49], (5000, 1)), [0] * 5000, 0.05),
        ([[1, 0], [0, 1]], [1, 0], 20),
        ([[1.0], [1.0]], [0, 0], 1),  # one class: nothing to choose
        ([[0.5, 0.5], [0.5, 0.5]], [0, 1], 1),  # nor where the model knows nothing
        ([[1e-300, 1.0, 0.0]], [1], 20),  # one page says little
    ],
)
def test_few_pages_and_extremes(shares: list[list[float]], labels: list[int], expected: float) -> None:
    assert fit_temperature(shares, np.array(labels)) == pytest.approx(expected)


def test_zeros_count_as_small_and_not_as_impossible() -> None:
    shares, labels = drawn_pages(3, n=2000)
    rounded = shares.round(6)  # as oof.csv has them
    assert (rounded[np.arange(2000), labels] == 0).any(), "else this tests nothing"
    assert fit_temperature(rounded, labels) == pytest.approx(fit_temperature(shares, labels), rel=0.15)
    # 9 of 10 certain predictions are right: the temperature makes them sure by 9 in 10.
    certain, mostly = np.tile([1.0, 0.0], (10, 1)), np.array([0] * 9 + [1])
    assert 2 < fit_temperature(certain, mostly) < 20


@pytest.mark.parametrize(
    ("shares", "labels", "message"),
    [
        ([[0.5, 0.5]], [0, 1], r"for each of 2 labels, got \(1, 2\)"),
        ([0.5, 0.5], [0, 1], r"for each of 2 labels, got \(2,\)"),
        (np.zeros((0, 2)), [], "for each of 0 labels"),
        ([[0.5, 0.5]], [2], "class indices from 0 to 1, got 2 to 2"),
        ([[0.5, np.nan]], [0], "or NaN"),
        ([[1.5, -0.5]], [0], "at least 0"),
        ([[0.0, 0.0]], [0], "one above 0"),
    ],
)
def test_what_are_no_probabilities_is_refused(shares: list[list[float]], labels: list[int], message: str) -> None:
    for function in (fit_temperature, calibration_error, reliability):
        with pytest.raises(DataError, match=message):
            function(shares, np.array(labels, dtype=np.int64))  # type: ignore[operator]


def test_a_temperature_of_0_is_refused() -> None:
    with pytest.raises(DataError, match="Expected a temperature above 0, got 0"):
        with_temperature([[0.5, 0.5]], 0)


# Accuracy over coverage


def test_as_many_pages_as_may_be_are_answered_at_an_accuracy() -> None:
    confidence = np.array([0.99, 0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, True, False, True, True, False])
    curve = accuracy_over_coverage(confidence, right)
    assert curve.at(0.8) == (0.6, 5 / 6, 0.8)
    assert curve.at(0.9) == (0.9, 2 / 6, 1.0)
    assert curve.at(0.1).coverage == 1


def test_pages_of_one_confidence_are_answered_together_and_those_at_0_never() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.5, 0.0, 0.0])
    curve = accuracy_over_coverage(confidence, np.array([True, False, True, True, True, True]))
    assert curve.coverage.tolist() == [0.5, 4 / 6] and curve.accuracy.tolist() == [2 / 3, 3 / 4]


def test_the_curve_of_many_pages_has_few_points_and_its_ends() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.2, 1, 50_000)
    curve = accuracy_over_coverage(confidence, random.random(50_000) < confidence)
    assert len(curve.coverage) == 200 and curve.coverage[-1] == 1
    assert (np.diff(curve.coverage) > 0).all() and (np.diff(curve.confidence) < 0).all()
    assert curve.at(0.8).coverage == pytest.approx(0.5, abs=0.02), "of a calibrated model, the mean of what is above"


def test_an_accuracy_that_was_never_reached_is_refused_with_the_best_one() -> None:
    curve = accuracy_over_coverage(np.array([0.9, 0.8]), np.array([False, True]))
    message = r"got 0\.9; it had at most 0\.5000, on 100\.0% of them\. Ask for less, as with abstain=0\.5,"
    with pytest.raises(ConfigError, match=message):
        curve.at(0.9)
    with pytest.raises(ConfigError, match=r"it had no page\. Predict every page with abstain=null,"):
        accuracy_over_coverage(np.zeros(2), np.array([True, True])).at(0.5)
