"""How well two sets of pages are told apart, in numbers."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from docclf.models.frozen.two_sample import _areas, compare_samples


def features(n: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, 300)) + shift).astype(np.float32)


def test_pages_of_one_kind_are_not_told_apart() -> None:
    told = compare_samples(features(200), features(150, seed=1), np.arange(350))
    assert told.auc == pytest.approx(0.5, abs=0.08) and told.low < 0.5 < told.high
    assert told.unlike.shape == (150,) and 0 <= told.unlike.min() <= told.unlike.max() <= 1


def test_other_pages_are_told_apart_the_most_unlike_first() -> None:
    other = features(60, seed=1)
    other[:10] += 1.0
    told = compare_samples(features(200), other, np.arange(260))
    assert set(np.argsort(-told.unlike)[:10]) == set(range(10))
    assert compare_samples(features(200), features(60, 0.5, seed=1), np.arange(260)).low > 0.95


def test_copies_of_a_page_do_not_give_it_away() -> None:
    ten = features(10, seed=1)  # each 20 times on one side: known by heart, they would be told apart
    train, test = np.repeat(ten[:5], 20, axis=0), np.repeat(ten[5:], 20, axis=0)
    apart = compare_samples(train, test, np.arange(200))
    together = compare_samples(train, test, np.repeat(np.arange(10), 20))
    assert apart.auc == 1.0 and together.auc < 0.8


def test_areas_are_those_of_scikit_learn_ties_and_weights_included() -> None:
    random = np.random.default_rng(0)
    ranks, labels = random.integers(0, 9, 80) / 8, random.integers(0, 2, 80)
    weights = random.integers(0, 4, (3, 80)).astype(float)
    expected = [roc_auc_score(labels, ranks, sample_weight=row) for row in weights]
    assert _areas(ranks, labels, weights) == pytest.approx(expected)
