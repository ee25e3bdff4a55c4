"""Heads are scikit-learn's logistic regression on standardised features, however many features there are."""

import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from docclf.models.frozen.head import Fits, fit_head, reduce

Numbers = NDArray[np.float32]


def drawn(n: int, d: int, n_classes: int, seed: int = 0) -> tuple[Numbers, NDArray[np.int64]]:
    """Features of different size and spread, and classes that depend on some of them."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    features = random.normal(size=(n, d)) + random.normal(size=(n_classes, d))[labels] * (np.arange(d) < 4)
    scaled = features * random.uniform(0.1, 10, d) + random.uniform(-5, 5, d)
    return scaled.astype(np.float32), labels


def standardised(features: Numbers, by: Numbers) -> NDArray[np.float64]:
    spread = by.std(axis=0, dtype=np.float64)
    return (features - by.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1)


def expected(train: Numbers, labels: NDArray[np.int64], test: Numbers, **options: Any) -> NDArray[np.float64]:
    model = LogisticRegression(max_iter=10_000, tol=1e-8, **options).fit(standardised(train, train), labels)
    found: NDArray[np.float64] = model.predict_proba(standardised(test, train))
    return found


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize(("n", "d"), [(90, 6), (30, 200), (40, 40)])
@pytest.mark.parametrize("C", [0.001, 0.004, 0.01, 0.07])
def test_a_head_predicts_what_scikit_learn_predicts(n: int, d: int, n_classes: int, C: float) -> None:  # noqa: N803
    features, labels = drawn(n + 50, d, n_classes)
    train, test = features[:n], features[n:]
    head = fit_head(train, labels[:n], n_classes, C=C)
    found = head.probabilities(test)
    assert found.dtype == np.float32 and np.allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found, expected(train, labels[:n], test, C=C), atol=1e-3)
    assert found.std(axis=0).max() > 1e-3, "or there is nothing to compare"


@pytest.mark.parametrize("rank", [1, 7, 59])
def test_pages_that_are_alike_or_few_numbers_behind_all_features_change_nothing(rank: int) -> None:
    random = np.random.default_rng(0)
    features = (random.normal(size=(60, rank)) @ random.normal(size=(rank, 200))).astype(np.float32)
    features[40:] = features[:20]
    labels = np.arange(60) % 3
    reduced = reduce(features[:50])
    n_needed = min(rank, 39)  # of 40 pages that differ, less their mean
    assert n_needed <= reduced.coordinates.shape[1] <= n_needed + 3, "and what rounding adds"
    found = fit_head(features[:50], labels[:50], 3, C=0.01, reduced=reduced).probabilities(features[50:])
    np.testing.assert_allclose(found, expected(features[:50], labels[:50], features[50:], C=0.01), atol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_head_is_the_same_to_the_bit_whatever_was_fitted_before(n_classes: int) -> None:
    features, labels = drawn(60, 200, n_classes)
    reduced, known = reduce(features), Fits()
    fit = partial(fit_head, features, labels, n_classes, reduced=reduced)
    after = [fit(C=C, known=known) for C in (0.5, 0.01, 0.02, 0.1, 0.003, 0.02)]
    alone = fit(C=0.02)
    assert sorted(known) == [-3, -2, -1, 0]
    for head in (after[2], after[5]):
        assert np.array_equal(head.weight, alone.weight) and np.array_equal(head.bias, alone.bias)
    assert not np.array_equal(after[0].weight, alone.weight)


def test_a_power_of_ten_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = drawn(60, 200, 3)
    reduced, known, fitted = reduce(features), Fits(), []
    fit = LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", lambda self, *args: fitted.append(self.C) or fit(self, *args))
    for C in (0.02, 0.05, 0.1, 0.2):  # noqa: N806
        fit_head(features, labels, 3, C=C, reduced=reduced, known=known)
    assert sorted(fitted) == [0.01, 0.02, 0.05, 0.1, 0.2, 1.0]


@pytest.mark.parametrize(("n", "d"), [(90, 6), (30, 200)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_weigh_as_they_do_in_scikit_learn(n: int, d: int, n_classes: int) -> None:
    features, labels = drawn(n, d, n_classes)
    weights = np.array([5.0, 0.5, 1.0])[:n_classes]
    head = fit_head(features, labels, n_classes, C=0.01, class_weights=weights)
    alike = expected(features, labels, features, C=0.01)
    weighed = expected(features, labels, features, C=0.01, class_weight=dict(enumerate(weights)))
    np.testing.assert_allclose(head.probabilities(features), weighed, atol=1e-3)
    assert np.abs(alike - weighed).max() > 0.05, "or the weights make no difference"


@pytest.mark.parametrize(("n", "d"), [(90, 6), (30, 200)])
def test_a_factor_on_a_feature_is_one_on_its_standardised_values(n: int, d: int) -> None:
    features, labels = drawn(n, d, 3)
    weights = np.ones(d, np.float32)
    weights[-1] = 20
    head = fit_head(features, labels, 3, C=0.01, reduced=reduce(features, weights))
    scaled = standardised(features, features) * weights
    found = LogisticRegression(C=0.01, max_iter=10_000, tol=1e-8).fit(scaled, labels).predict_proba(scaled)
    np.testing.assert_allclose(head.probabilities(features), found, atol=1e-3)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (20, 200)])
@pytest.mark.parametrize("present", [[0, 2, 3], [1, 3], [2]])
def test_a_class_without_pages_is_never_predicted(n: int, d: int, present: list[int]) -> None:
    features, labels = drawn(n, d, len(present))
    head = fit_head(features, np.array(present)[labels], 4, C=0.01)
    found = head.probabilities(features)
    assert np.isfinite(found).all() and np.isfinite(head.bias).all()
    assert (found[:, sorted({0, 1, 2, 3} - set(present))] == 0).all()
    if len(present) == 1:
        assert (found[:, present] == 1).all()
    else:
        np.testing.assert_allclose(found[:, present], expected(features, labels, features, C=0.01), atol=1e-3)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (20, 200)])
def test_features_that_are_always_the_same_say_nothing(n: int, d: int) -> None:
    features, labels = drawn(n, d, 3)
    features[:, 2], features[:, 5] = 7.0, 0.0
    head = fit_head(features, labels, 3, C=0.01)
    assert (head.weight[:, [2, 5]] == 0).all() and np.abs(head.weight).max() > 0
    np.testing.assert_allclose(head.probabilities(features), expected(features, labels, features, C=0.01), atol=1e-3)


@pytest.mark.parametrize("d", [6, 200])
def test_where_all_features_are_always_the_same_classes_are_as_likely_as_they_are_often(d: int) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2] * 8)
    head = fit_head(np.full((48, d), 3.0, np.float32), labels, 3, C=0.01)
    found = head.probabilities(np.full((2, d), 3.0, np.float32))
    np.testing.assert_allclose(found, np.tile([1 / 2, 1 / 3, 1 / 6], (2, 1)), atol=1e-3)


def test_pages_are_standardised_in_little_more_than_the_room_they_take() -> None:
    random = np.random.default_rng(0)
    features = random.normal(random.normal(size=600) * 3, random.uniform(1e-3, 5, 600), (3000, 600)).astype(np.float32)
    tracemalloc.start()
    try:
        found = reduce(features)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * features.nbytes
    mean, spread = (one(features, axis=0, dtype=np.float64) for one in (np.mean, np.std))
    assert np.array_equal(found.coordinates, ((features - mean) * (1 / spread)).astype(np.float32)), "to the bit"
