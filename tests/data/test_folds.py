"""Folds are the same for every trial, balanced, and respect groups."""

import numpy as np
import pytest
from numpy.typing import NDArray

from docclf.data.folds import assign_folds
from docclf.errors import ConfigError, DataError

NAMES = ["invoice", "계약서", "letter of intent"]


def fold(labels: NDArray[np.int64], n_folds: int = 3, seed: int = 42, **options: list[str]) -> NDArray[np.int64]:
    return assign_folds(labels, n_folds=n_folds, seed=seed, class_names=NAMES, **options)


def test_folds_are_identical_across_calls_and_change_with_the_seed() -> None:
    labels = np.repeat([0, 1, 2], 20)
    assert np.array_equal(fold(labels), fold(labels))
    assert not np.array_equal(fold(labels), fold(labels, seed=43))


def test_every_fold_has_its_share_of_every_class() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [30, 13, 4]))
    assignment = fold(labels)
    for label, n in enumerate([30, 13, 4]):
        counts = np.bincount(assignment[labels == label], minlength=3)
        assert counts.sum() == n and np.ptp(counts) <= 1


def test_groups_never_straddle_folds_and_classes_stay_about_balanced() -> None:
    groups = [f"document {i // 4}" for i in range(96)]
    labels = np.array([(i // 4) % 3 for i in range(96)])
    assignment = fold(labels, groups=groups)
    by_group = {g: {int(f) for f, h in zip(assignment, groups, strict=True) if g == h} for g in groups}
    assert all(len(folds) == 1 for folds in by_group.values())
    assert set(assignment) == {0, 1, 2}
    assert all(np.bincount(assignment[labels == label], minlength=3).min() >= 4 for label in range(3))
    assert np.array_equal(assignment, fold(labels, groups=groups))


def test_one_fold_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError) as refused:
        fold(np.array([0, 1, 2]), n_folds=1)
    assert str(refused.value) == (
        "Expected `validation.folds` to be at least 2, got 1. Use validation=holdout for a single split."
    )


def test_a_class_with_fewer_pages_than_folds_is_refused_by_name_and_count() -> None:
    with pytest.raises(DataError) as refused:
        fold(np.array([0] * 5 + [1] * 2 + [2] * 3))
    assert str(refused.value).startswith(
        "Expected at least 3 pages of every class for validation.folds=3, got fewer of 계약서 (2)."
    )


def test_a_class_with_fewer_groups_than_folds_is_refused_by_name_and_count() -> None:
    labels = np.repeat([0, 1, 2], 9)
    groups = [f"{label} {i % (2 if label == 1 else 3)}" for i, label in enumerate(labels)]
    with pytest.raises(DataError, match=r"at least 3 groups of every class .* got fewer of 계약서 \(2\)\."):
        fold(labels, groups=groups)


def test_a_group_of_several_classes_counts_for_each_of_them() -> None:
    # Three documents that each begin with a letter and go on with an invoice.
    labels, groups = np.array([2, 0, 2, 0, 2, 0]), ["a", "a", "b", "b", "c", "c"]
    assert sorted(fold(labels, groups=groups).tolist()) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DataError, match=r"got fewer of invoice \(1\)"):
        fold(np.array([2, 0, 2, 2, 2, 2]), groups=groups)


def test_a_class_without_any_page_is_no_reason_to_refuse() -> None:
    assert set(fold(np.array([0, 0, 0, 2, 2, 2]))) == {0, 1, 2}
