"""Which models to average, chosen by their out-of-fold predictions, and what that is worth on other pages.

Two ways to choose. `greedy` adds the model that helps most, again and again, with replacement (Caruana et al.,
"Ensemble Selection from Libraries of Models", ICML 2004). `top` averages the best k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.metrics.resampling import Difference, compare_scores, interval
from docclf.metrics.scores import macro_f1_each

Weights = NDArray[np.float64]

_STEPS = 15  # of the greedy choice
_PARTS = 5  # of the pages, of which one is scored and the others choose
_LEAST = 0.1  # of the largest weight: models that weigh less are left out
# So often that is repeated with few pages, and so many bootstrap resamples of them the greedy weights are means of;
# with more than _FEW pages less often: there choices are less noisy, and take longer.
_REPEATS, _BAGS, _FEW = 5, 8, 1000
_MOST = 40  # candidates, the best ones by themselves


@dataclass(frozen=True)
class Library:
    """Models that may be averaged, and what each predicts for pages that it was not trained on."""

    labels: NDArray[np.int64]  # true class indices, int64 of shape (n,)
    probabilities: NDArray[np.float32]  # of each model, float32 of shape (models, n, n_classes)
    # which forward passes each model needs to predict, bool of shape (models, n_passes): those that several share are
    # made once
    passes: NDArray[np.bool_]
    costs: NDArray[np.float64]  # of each pass, such as its floating-point operations a page, shape (n_passes,)
    limit: float = np.inf  # cost that the passes of an ensemble may have together
    # pages of one group are never apart, integers of shape (n,); None where each is one of its own
    groups: NDArray[np.int64] | None = None

    def on(self, rows: NDArray[np.int64]) -> Library:
        """The same models on some of the pages."""
        return replace(self, labels=self.labels[rows], probabilities=self.probabilities.take(rows, axis=1), groups=None)

    def cost(self, weights: Weights) -> float:
        """Of all passes that the models of some weight need, each counted once."""
        return float(self.costs[self.passes[weights > 0].any(axis=0)].sum())

    def mean(self, weights: Weights) -> NDArray[np.float64]:
        """Mean of the probabilities, shape (n, n_classes)."""
        found: NDArray[np.float64] = np.tensordot(weights, self.probabilities.astype(np.float64), axes=1)
        return found


@dataclass(frozen=True)
class Estimate:
    """What an ensemble is worth: for each page, chosen on pages of other groups."""

    way: str  # key of `WAYS`: how it is chosen
    weights: Weights  # of each model, chosen on all pages, shape (models,); they sum to 1
    # macro-F1 of the ensembles that were chosen without the pages they are scored on, the mean over repeats
    score: float
    low: float  # lower bound of its 95 % interval
    high: float  # upper bound
    difference: Difference  # to the best single model, chosen and scored in the same way


def single(library: Library) -> Weights:
    """The model of the best macro-F1, of equal ones that of the highest likelihood."""
    weights = np.zeros(len(library.probabilities))
    weights[_order(library.probabilities, library.labels)[0]] = 1.0
    return weights


def top(library: Library) -> Weights:
    """The mean of the best k models that are together within the limit, with the k of the best mean."""
    kept: list[int] = []
    used = np.zeros(len(library.costs), dtype=bool)
    for i in _order(library.probabilities, library.labels):
        if not kept or library.costs[used | library.passes[i]].sum() <= library.limit:
            kept.append(i)
            used |= library.passes[i]
    means = np.cumsum(library.probabilities[kept], axis=0) / np.arange(1, len(kept) + 1)[:, None, None]
    k = _order(means, library.labels)[0] + 1
    weights = np.zeros(len(library.probabilities))
    weights[kept[:k]] = 1 / k
    return weights


def greedy(library: Library) -> Weights:
    """Models by how often they are added.

    What is added to all pages says which passes are made. The weights are means over bootstrap resamples of the pages,
    with the models that need no other passes: choices on few pages are noisy.
    """
    counts = _add(library)
    used = library.passes[counts > 0].any(axis=0)
    free = np.flatnonzero(~(library.passes & ~used).any(axis=1))
    within = replace(library, probabilities=library.probabilities[free], passes=library.passes[free])
    rng, n, weights = np.random.default_rng(0), len(library.labels), np.zeros(len(counts))
    for _ in range(_times(_BAGS, n)):
        found = _add(within.on(rng.integers(n, size=n)))
        weights[free] += found / found.sum()
    weights[weights < _LEAST * weights.max()] = 0.0
    fractions: Weights = weights / weights.sum()
    return fractions


def _times(most: int, n_pages: int) -> int:
    """
    >>> _times(8, 500), _times(8, 4000), _times(8, 100_000)
    (8, 2, 1)
    """
    return max(1, most * _FEW // max(n_pages, _FEW))


WAYS: dict[str, Callable[[Library], Weights]] = {"greedy": greedy, "top": top}


def _add(library: Library) -> NDArray[np.int64]:
    """How often each model was added when the mean was best; of equal means the one of the highest likelihood."""
    m, _, n_classes = library.probabilities.shape
    guesses, of_true = _read(library.probabilities, library.labels)
    disputed = np.flatnonzero((guesses != guesses[0]).any(axis=0))  # elsewhere every mean says what all models say
    probabilities, open_ = library.probabilities[:, disputed], np.arange(m)
    total, total_of_true = np.zeros_like(probabilities[0]), np.zeros_like(of_true[0])
    used = np.zeros(len(library.costs), dtype=bool)
    counts, best, best_counts = np.zeros(m, dtype=np.int64), (-np.inf, -np.inf), np.zeros(m, dtype=np.int64)
    for step in range(1, _STEPS + 1):
        costs = (library.passes[open_] | used) @ library.costs
        # One alone may cost more than the limit: then it stays alone. What is too much once is too much ever after.
        is_within = costs <= max(library.limit, float(costs.min())) * (1 + 1e-9)
        if not is_within.all():
            probabilities, of_true, open_ = probabilities[is_within], of_true[is_within], open_[is_within]
        sums, sums_of_true = total + probabilities, total_of_true + of_true
        guesses[: len(sums), disputed] = sums.argmax(axis=2)
        scores, likelihoods = _judge(guesses[: len(sums)], sums_of_true / step, library.labels, n_classes)
        i = np.lexsort((-likelihoods, -scores))[0]
        total, total_of_true, used = sums[i], sums_of_true[i], used | library.passes[open_[i]]
        counts[open_[i]] += 1
        if (found := (round(float(scores[i]), 9), float(likelihoods[i]))) > best:
            best, best_counts = found, counts.copy()
    return best_counts


def estimate(library: Library) -> Estimate:
    """Choose in both ways within the library's limit, and tell what the better one is worth.

    Several times, the pages are cut into five parts, classes alike and groups whole. For each part the ensemble is
    chosen on the four others, all of it: models, weights and their number. That the better of two ways is taken after
    that makes the score a little optimistic.
    """
    n_models, kept = len(library.probabilities), np.sort(_order(library.probabilities, library.labels)[:_MOST])
    library = replace(library, probabilities=library.probabilities[kept], passes=library.passes[kept])
    rng, n = np.random.default_rng(0), len(library.labels)
    repeats = _times(_REPEATS, n)
    predicted = {name: np.zeros((repeats, n), dtype=np.int64) for name in (*WAYS, "single")}
    for repeat in range(repeats):
        part_of = _cut(library, rng)
        for part in np.unique(part_of):
            rows, others = np.flatnonzero(part_of == part), np.flatnonzero(part_of != part)
            choosing, scored = library.on(others), library.on(rows)
            for name, choose in {**WAYS, "single": single}.items():
                predicted[name][repeat, rows] = scored.mean(choose(choosing)).argmax(axis=1)
    n_classes = library.probabilities.shape[2]
    scores = {name: macro_f1_each(library.labels, predicted[name], n_classes).mean() for name in WAYS}
    way = max(scores, key=lambda name: scores[name])
    weights = np.zeros(n_models)
    weights[kept] = WAYS[way](library)
    low, high = interval(library.labels, predicted[way], n_classes, groups=library.groups)
    difference = compare_scores(library.labels, predicted[way], predicted["single"], n_classes, groups=library.groups)
    return Estimate(way, weights, float(scores[way]), low, high, difference)


def _cut(library: Library, rng: np.random.Generator) -> NDArray[np.int64]:
    """The part of each page: groups whole, classes spread evenly."""
    groups = np.arange(len(library.labels)) if library.groups is None else library.groups
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    order = rng.permutation(len(first))
    order = order[np.argsort(library.labels[first][order], kind="stable")]
    parts = np.empty(len(first), dtype=np.int64)
    parts[order] = (np.arange(len(first)) + rng.integers(_PARTS)) % _PARTS
    return parts[group_of]


def _order(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Models from the best to the worst."""
    scores, likelihoods = _judge(*_read(probabilities, labels), labels, probabilities.shape[2])
    return np.lexsort((-likelihoods, -scores))


def _read(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The class that each model gives each page, and its probability of the true one."""
    return probabilities.argmax(axis=2), probabilities[:, np.arange(len(labels)), labels]


def _judge(
    guesses: NDArray[np.int64], of_true: NDArray[Any], labels: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Macro-F1 of each model, and the mean logarithm of the probability of the true class."""
    return macro_f1_each(labels, guesses, n_classes), np.log(np.maximum(of_true, 1e-6)).mean(axis=1)
