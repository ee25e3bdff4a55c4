"""Which models are averaged, by made-up predictions, and what that is said to be worth."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from docclf.inference.selection import WAYS, Library, _add, estimate
from docclf.metrics.scores import macro_f1

N, N_CLASSES = 120, 3
LABELS = np.arange(N) % N_CLASSES
RNG = np.random.default_rng


def model(right: NDArray[np.bool_], seed: int = 0, labels: NDArray[np.int64] = LABELS) -> NDArray[np.float32]:
    """Sure of the true class on some pages, and unsure on the others, where another one is on top."""
    rng, rows = RNG(seed), np.arange(len(labels))
    wrong = (labels + rng.integers(1, N_CLASSES, len(labels))) % N_CLASSES
    found = np.full((len(labels), N_CLASSES), 0.05)
    found[rows, np.where(right, labels, wrong)] = np.where(right, 0.9, 0.4)
    found[rows[~right], labels[~right]] = 0.3
    return (found / found.sum(axis=1, keepdims=True)).astype(np.float32)


def library(*models: NDArray[np.float32], **more: Any) -> Library:
    """Models that each take a pass of their own at cost 1."""
    n = len(models)
    facts = {"labels": LABELS, "passes": np.eye(n, dtype=bool), "costs": np.ones(n), **more}
    return Library(probabilities=np.stack(models), **facts)


def score(some: Library, weights: NDArray[np.float64]) -> float:
    return macro_f1(some.labels, some.mean(weights).argmax(axis=1), N_CLASSES)


EVEN = np.arange(N) // 3 % 2 == 0
COMPLEMENTS = (model(EVEN, 1), model(~EVEN, 2), model(np.arange(N) < 20, 3))


@pytest.mark.parametrize("way", WAYS)
def test_models_that_know_what_the_others_do_not_are_averaged(way: str) -> None:
    weights = WAYS[way](library(*COMPLEMENTS))
    assert weights.sum() == pytest.approx(1) and weights[0] > 0.2 and weights[1] > 0.2
    assert score(library(*COMPLEMENTS), weights) == 1 and score(library(*COMPLEMENTS), np.eye(3)[0]) < 0.6


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_is_always_right_stays_alone_or_ahead(way: str) -> None:
    weights = WAYS[way](library(*COMPLEMENTS, model(np.ones(N, dtype=bool))))
    assert weights.argmax() == 3 and score(library(*COMPLEMENTS, model(np.ones(N, dtype=bool))), weights) == 1


@pytest.mark.parametrize("way", WAYS)
def test_the_passes_of_an_ensemble_keep_to_the_limit(way: str) -> None:
    weights = WAYS[way](library(*COMPLEMENTS, limit=1.5))
    assert np.count_nonzero(weights) == 1, "a second pass would cost 2"
    shared = np.array([[True, False], [True, False], [False, True]])
    some = library(*COMPLEMENTS, passes=shared, costs=np.array([1.0, 1.0]), limit=1.5)
    weights = WAYS[way](some)
    assert (weights > 0).tolist() == [True, True, False] and some.cost(weights) == 1, "a shared pass counts once"


@pytest.mark.parametrize("way", WAYS)
def test_a_limit_below_every_model_leaves_one(way: str) -> None:
    assert np.count_nonzero(WAYS[way](library(*COMPLEMENTS, limit=0.5))) == 1


def test_a_real_gain_is_told_with_an_interval_above_zero() -> None:
    found = estimate(library(*COMPLEMENTS))
    assert found.score == pytest.approx(1) and found.low <= found.score <= found.high
    assert found.difference.low > 0.2 and found.weights.sum() == pytest.approx(1)


def test_models_that_guess_are_not_told_to_be_better_than_one_though_they_look_so() -> None:
    rng = RNG(5)
    models = rng.dirichlet(np.ones(N_CLASSES), (30, N)).astype(np.float32)
    found = estimate(library(*models))
    chosen = score(library(*models), found.weights)
    assert chosen > found.score + 0.1, "on the pages that chose them, they look better"
    assert found.score == pytest.approx(1 / 3, abs=0.1) and found.difference.low < 0


def test_pages_of_one_group_are_never_apart() -> None:
    """Models that guess, on 12 pages that stand in the data 10 times each: a copy of a page tells its class."""
    group = np.arange(N) // 10
    labels = group % N_CLASSES
    guesses = RNG(7).dirichlet(np.full(N_CLASSES, 0.3), (40, 12)).astype(np.float32)[:, group]
    apart, together = (estimate(library(*guesses, labels=labels, groups=groups)).score for groups in (None, group))
    assert apart > 0.6, "copies of the scored pages chose"
    assert together < 0.5


def test_of_many_models_the_best_are_looked_at_and_all_have_a_weight() -> None:
    noise = RNG(1).dirichlet(np.ones(N_CLASSES), (60, N)).astype(np.float32)
    found = estimate(library(*noise, *COMPLEMENTS))
    assert found.weights.shape == (63,) and (found.weights[60:62] > 0.2).all()


@pytest.mark.slow
def test_the_same_predictions_give_the_same_ensemble() -> None:
    first, second = (estimate(library(*COMPLEMENTS)) for _ in range(2))
    assert np.array_equal(first.weights, second.weights) and first.difference == second.difference


@pytest.mark.parametrize("limit", [np.inf, 3.5, 0.5])
def test_what_is_added_is_best_on_all_pages_those_that_nobody_disputes_too(limit: float) -> None:
    models = [model(RNG(seed).random(N) < 0.8, seed) for seed in range(6)]
    for one in models:
        one[:40] = models[0][:40]
    some = library(*models, limit=limit)
    allowed = list(range(6))
    total, counts, tried = np.zeros((N, N_CLASSES), np.float32), np.zeros(6, np.int64), []
    for step in range(1, 16):
        allowed = [i for i in allowed if np.count_nonzero(counts + np.eye(6)[i]) <= max(limit, 1)]
        means = [(total + models[i]) / step for i in allowed]
        true = [np.log(np.maximum(mean[np.arange(N), LABELS], 1e-6)).mean() for mean in means]
        of = [round(macro_f1(LABELS, mean.argmax(axis=1), N_CLASSES), 9) for mean in means]
        best = max(range(len(means)), key=lambda i: (of[i], true[i]))
        total, counts = total + models[allowed[best]], counts + np.eye(6, dtype=np.int64)[allowed[best]]
        tried.append((of[best], true[best], counts))
    expected, found = max(tried, key=lambda one: one[:2])[2], _add(some)
    assert (found / found.sum()).tolist() == (expected / expected.sum()).tolist()
