"""Heads of folds: fitted to the training pages alone, as they are and as augmentation shows them."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from docclf.data.augment.batch import BatchAugment
from docclf.data.module import PageDataModule
from docclf.models.frozen import heads as rooms
from docclf.models.frozen.cache import FeatureCache
from docclf.models.frozen.features import FrozenBackbone, MultiScaleFeatures
from docclf.models.frozen.head import HeadOptions, fit_head, reduce
from docclf.models.frozen.heads import Heads

Open = Callable[..., PageDataModule]
TRAIN, VALIDATION = np.arange(0, 24, 2), np.arange(1, 24, 2)
LIGHT, NOISE = BatchAugment(brightness=0.3), BatchAugment(noise=0.5)


@pytest.fixture
def make(open_pages: Open, weights_file: Path) -> Callable[..., Heads]:
    def made(options: HeadOptions, class_weights: Any = None, **data: Any) -> Heads:
        opened = open_pages(augment=LIGHT, **data)
        backbone = FrozenBackbone("test_resnet", 64, checkpoint_path=str(weights_file))
        return Heads(opened, FeatureCache(backbone, **opened.places), options, class_weights)

    return made


def by_hand(heads: Heads, views: list[Any], validation: Any, weights: Any = None) -> NDArray[np.float32]:
    found = [heads.cache.load(view, heads.options) for view in views]
    features = np.concatenate([one.values[TRAIN] for one in found])
    labels = np.tile(heads.data.labels[TRAIN], len(views))
    reduced = reduce(features, found[0].weights)
    head = fit_head(features, labels, 3, C=heads.options.C, reduced=reduced, class_weights=weights)
    return head.probabilities(heads.cache.load(validation, heads.options).values[VALIDATION])


@pytest.mark.parametrize("n_views", [0, 2])
@pytest.mark.parametrize("validation_augment", [None, NOISE])
def test_a_fold_s_head_is_fitted_to_its_training_pages_and_all_their_views(
    make: Callable[..., Heads], n_views: int, validation_augment: BatchAugment | None
) -> None:
    heads = make(HeadOptions(views=n_views), validation_augment=validation_augment)
    data = heads.data
    views = [data.train_views, *(data.augmented_views(seed) for seed in range(1, n_views + 1))]
    found = heads.fold(TRAIN, VALIDATION)
    assert np.array_equal(found.probabilities, by_hand(heads, views, data.validation_views))
    assert heads.n_features == heads.fit(TRAIN).weight.shape[1]
    without = make(HeadOptions(), validation_augment=validation_augment).fold(TRAIN, VALIDATION)
    assert np.array_equal(found.probabilities, without.probabilities) == (n_views == 0)


def test_classes_may_weigh_more(make: Callable[..., Heads]) -> None:
    weights = np.array([9.0, 1.0, 0.1])
    heads = make(HeadOptions(C=1e-4), weights)
    found = heads.fold(TRAIN, VALIDATION).probabilities
    assert np.array_equal(found, by_hand(heads, [heads.data.train_views], heads.data.train_views, weights))
    assert not np.allclose(found, make(HeadOptions(C=1e-4)).fold(TRAIN, VALIDATION).probabilities, atol=0.01)


def test_square_roots_of_features_keep_their_signs_and_the_aspect_ratio_stays(make: Callable[..., Heads]) -> None:
    heads = make(HeadOptions(sqrt=True))
    plain, roots = (heads.cache.load(heads.data.train_views, HeadOptions(sqrt=sqrt)) for sqrt in (False, True))
    values = plain.values[:, :-1]
    np.testing.assert_allclose(roots.values[:, :-1], np.sign(values) * np.sqrt(np.abs(values)), rtol=1e-6)
    assert np.array_equal(roots.values[:, -1], plain.values[:, -1])
    images, aspects = heads.data.train_views(np.arange(24))
    view = MultiScaleFeatures(heads.cache.net, 64, [64, 32], HeadOptions(sqrt=True))
    with torch.inference_mode():
        np.testing.assert_allclose(view(images, aspects).numpy(), roots.values, atol=1e-4)


def test_features_of_second_order_come_behind_those_of_first_as_they_are(make: Callable[..., Heads]) -> None:
    heads = make(HeadOptions())
    data, cache = heads.data, heads.cache
    options = [HeadOptions(scales=[1.0], sqrt=True, second_order=more) for more in (False, True)]
    first, both = (cache.load(data.train_views, one).values for one in options)
    n = first.shape[1] - 1
    assert np.array_equal(both[:, :n], first[:, :n]) and both.shape[1] > first.shape[1]
    images, aspects = data.train_views(np.arange(24))
    with torch.inference_mode():
        np.testing.assert_allclose(both[:, n:-1], cache.net(images).numpy()[:, n:], atol=1e-4)
        seen = MultiScaleFeatures(cache.net, 64, [64], options[1])(images, aspects).numpy()
    np.testing.assert_allclose(seen, both, atol=1e-4)


@pytest.mark.parametrize("sqrt", [False, True])
def test_a_net_starts_from_a_head_on_the_last_features_of_the_whole_page(
    make: Callable[..., Heads], sqrt: bool
) -> None:
    heads = make(HeadOptions(sqrt=sqrt))
    start = heads.fit_start(TRAIN)
    features = heads.cache.load(heads.data.train_views, HeadOptions())
    expected = fit_head(features.values[TRAIN, : features.n_last], heads.data.labels[TRAIN], 3, C=0.01)
    assert start.weight.shape == (3, features.n_last) and heads.n_features > features.n_last
    tolerance = 5e-3 * np.abs(expected.weight).max()  # roots are squared, and standard deviations are small here
    np.testing.assert_allclose(start.weight, expected.weight, atol=tolerance)


@pytest.mark.parametrize("most_bytes", [0, 2**29])
def test_the_pages_of_a_fold_are_reduced_once_whatever_is_remembered(
    make: Callable[..., Heads], monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    reduced = []
    monkeypatch.setattr(rooms, "_MOST_BYTES", most_bytes)
    monkeypatch.setattr(rooms, "_remembered", OrderedDict())
    monkeypatch.setattr(rooms, "reduce", lambda *given: reduced.append(len(given[0])) or reduce(*given))
    heads, assignment = make(HeadOptions()), np.arange(24) % 3
    found = [fold.probabilities for _, fold in heads.folds(assignment, 3)]
    assert reduced == [16, 16, 16]
    for fold, probabilities in enumerate(found):
        expected = heads.fold(np.flatnonzero(assignment != fold), np.flatnonzero(assignment == fold))
        assert np.array_equal(probabilities, expected.probabilities)


def test_what_is_remembered_of_one_fold_is_not_taken_for_another(
    make: Callable[..., Heads], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "_MOST_BYTES", 250_000)
    heads = make(HeadOptions())
    folds = [np.flatnonzero(np.arange(24) % 12 != fold) for fold in range(12)]
    first = [heads.fit(rows) for rows in folds]
    assert 200_000 < sum(reduced.n_bytes for reduced, _ in rooms._remembered.values()) <= 250_000
    again = [heads.fit(rows) for rows in folds]
    assert all(np.array_equal(a.weight, b.weight) for a, b in zip(first, again, strict=True))
    assert len({head.weight.tobytes() for head in first}) == 12
