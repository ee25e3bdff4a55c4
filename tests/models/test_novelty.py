"""What is unlike all training pages, on features that are made up."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from docclf.models.frozen.novelty import Novelty, fit_novelty

Floats = NDArray[np.float32]


def features(labels: NDArray[np.int64], seed: int, spread: Floats, n: int = 40) -> Floats:
    """Around a place for each class, each class as wide as its spread."""
    centres = np.random.default_rng(9).normal(size=(len(spread), n)) * 3
    noise = np.random.default_rng(seed).normal(size=(len(labels), n)) * spread[labels, None]
    return (centres[labels] + noise).astype(np.float32)


def fitted(labels: NDArray[np.int64], spread: Floats) -> tuple[Novelty, Floats]:
    train = features(labels, 0, spread)
    folds = np.arange(len(labels)) // 2 % 3
    return fit_novelty(train, train, labels, folds, np.full(len(labels), 0.9, np.float32))


def test_a_fixed_part_of_the_training_pages_is_above_0_out_of_fold() -> None:
    labels = np.arange(600) % 4
    _, scores = fitted(labels, np.ones(4, np.float32))
    assert np.mean(scores > 0) == pytest.approx(0.02, abs=0.002)


def test_other_classes_are_told_from_pages_of_the_same_classes() -> None:
    labels = np.arange(600) % 6
    spread = np.array([0.2, 2.0, 1.0, 1.0, 0.5, 0.5], np.float32)
    seen = labels < 4
    train = features(labels, 0, spread)[seen]
    confidence = np.full(len(train), 0.9, np.float32)
    found, _ = fit_novelty(train, train, labels[seen], np.arange(len(train)) // 4 % 3, confidence)
    scores = found(features(labels, 1, spread), np.full(len(labels), 0.9, np.float32))
    assert roc_auc_score(~seen, scores) > 0.95
    assert np.mean(scores[seen] > 0) < 0.06


def test_a_page_is_measured_by_what_is_usual_in_the_class_of_its_neighbour() -> None:
    labels = np.arange(400) % 2
    narrow_and_wide = np.array([0.1, 2.0], np.float32)
    found, _ = fitted(labels, narrow_and_wide)
    strange = features(
        np.zeros(50, np.int64), 5, np.array([0.8, 0.8], np.float32)
    )  # for the narrow class, not the wide
    sure = np.full(50, 0.9, np.float32)
    assert np.mean(found(strange, sure) > 0) > 0.9
    assert np.mean(found(features(np.ones(50, np.int64), 5, narrow_and_wide), sure) > 0) < 0.1


def test_doubt_of_the_classifier_counts_and_features_that_never_change_do_not() -> None:
    labels = np.arange(90) % 3
    train = features(labels, 0, np.ones(3, np.float32))
    train[:, 7] = 4
    confidence = np.random.default_rng(0).uniform(0.5, 1, 90).astype(np.float32)
    found, scores = fit_novelty(
        train, train, labels, labels.argsort() % 3, np.where(np.arange(90) < 80, confidence, np.nan)
    )
    assert np.isnan(scores).sum() == 10 and np.isfinite(scores[:80]).all()
    page = train[:1].copy()
    page[:, 7] = 1000
    assert found(page, np.float32([0.9])) == found(train[:1], np.float32([0.9]))
    assert found(page, np.float32([0.4])) > found(page, np.float32([0.9]))


def test_other_views_of_a_page_are_in_its_fold() -> None:
    labels = np.arange(120) % 3
    train = features(labels, 0, np.ones(3, np.float32))
    folds, confidence = np.arange(120) // 3 % 2, np.full(120, 0.9, np.float32)
    once, _ = fit_novelty(train, train, labels, folds, confidence)
    twice, _ = fit_novelty(np.concatenate([train, train + 1e-3]), train, labels, folds, confidence)
    assert twice.usual[:120] == pytest.approx(once.usual, abs=0.05), "a page's own view is no neighbour"
