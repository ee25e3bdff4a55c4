"""Scores agree with scikit-learn and with naive loops, and intervals hold what they should."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from docclf.errors import DataError
from docclf.metrics import resampling
from docclf.metrics.resampling import (
    NO_INTERVAL,
    Difference,
    chance_of_guessing,
    compare_scores,
    interval,
    interval_text,
)
from docclf.metrics.scores import f1_per_class, macro_f1
from docclf.results.facts import expected_score_text

Indices = NDArray[np.int64]


def guesses(random: np.random.Generator, labels: Indices, accuracy: float, n_classes: int) -> Indices:
    """Right with a chance of `accuracy`, else any class."""
    return np.where(random.random(len(labels)) < accuracy, labels, random.integers(0, n_classes, len(labels)))


# F1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (7, 5), (30, 3), (200, 17)])
def test_f1_is_that_of_scikit_learn_with_classes_absent_from_labels_and_predictions(
    n: int, n_classes: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    labels, predicted = random.integers(0, n_classes, (2, n))
    assert macro_f1(labels, predicted, n_classes) == pytest.approx(f1_score(labels, predicted, average="macro"))
    expected = f1_score(labels, predicted, labels=range(n_classes), average=None, zero_division=np.nan)
    assert f1_per_class(labels, predicted, n_classes) == pytest.approx(expected, nan_ok=True)
    assert f1_per_class(labels, predicted, n_classes + 1).shape == (n_classes + 1,)
    assert macro_f1(labels, predicted, n_classes + 9) == macro_f1(labels, predicted, n_classes)


def test_without_pages_there_is_no_score() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert np.isnan(macro_f1(nothing, nothing, 3)) and np.isnan(f1_per_class(nothing, nothing, 3)).all()
    for function in (compare_scores, chance_of_guessing, interval):
        with pytest.raises(DataError, match="Expected at least one page, got none"):
            function(nothing, nothing, *([nothing] if function is compare_scores else []), 3)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        ([0, 1], [0], r"one class index a page, got the shapes \(2,\), \(1,\)"),
        ([[0, 1]], [[0, 1]], r"one class index a page, got the shapes \(1, 2\)"),
        ([0, 3], [0, 1], "class indices from 0 to 2, got 0 to 3"),
        ([0, 1], [0, -1], "class indices from 0 to 2, got -1 to 0"),
    ],
)
def test_what_is_no_class_of_a_page_is_refused(labels: list[int], predicted: list[int], message: str) -> None:
    for function in (macro_f1, interval, chance_of_guessing):
        with pytest.raises(DataError, match=message):
            function(np.array(labels), np.array(predicted), 3)  # type: ignore[operator]


# The difference of two


def naive_bootstrap(labels: Indices, predictions: list[Indices], draws: int) -> NDArray[np.float64]:
    """Macro-F1 of each set of predictions, draw by draw, shape (draws, sets); some are seen to be scikit-learn's."""
    random = np.random.default_rng(5)
    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    samples = [np.concatenate([random.choice(mine, len(mine)) for mine in rows]) for _ in range(draws)]
    for sample in samples[:20]:
        for classes in (array[sample] for array in predictions):
            assert macro_f1(labels[sample], classes, 6) == pytest.approx(
                f1_score(labels[sample], classes, average="macro")
            )
    return np.array([[macro_f1(labels[s], classes[s], 6) for classes in predictions] for s in samples])


def test_the_bootstrap_is_that_of_a_loop_that_draws_pages() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2, 3], [25, 12, 40, 2])  # a fifth class is predicted but has no page, a sixth neither
    other = guesses(random, labels, 0.5, 5)
    predicted = np.where(random.random(len(labels)) < 0.6, other, labels)
    nearly = np.where(random.random(len(labels)) < 0.7, other, guesses(random, labels, 0.4, 5))
    naive = naive_bootstrap(labels, [predicted, other, nearly], draws=4000)
    gains = naive[:, 0] - naive[:, 1]
    # In units of the spread; a bound of 4000 draws has a standard error of about 0.05 at 95 % and 0.02 at 50 %.
    for level, tolerance in ((0.95, 0.15), (0.5, 0.07)):
        ends = [(1 - level) / 2, (1 + level) / 2]
        found = compare_scores(labels, predicted, other, 6, draws=20_000, level=level)
        assert [found.low, found.high] == pytest.approx(np.quantile(gains, ends), abs=tolerance * np.std(gains))
    bounds = interval(labels, other, 6, draws=20_000)
    assert list(bounds) == pytest.approx(np.quantile(naive[:, 1], [0.025, 0.975]), abs=0.15 * np.std(naive[:, 1]))
    expected = [f1_score(labels, classes, average="macro") for classes in (predicted, other)]
    assert found.value == pytest.approx(expected[0] - expected[1])
    found = compare_scores(labels, other, nearly, 6, draws=20_000)
    assert 0.1 < (better := (naive[:, 1] > naive[:, 2]).mean()) < 0.9, "else this compares nothing"
    assert found.chance_better == pytest.approx(better, abs=0.03)


def test_intervals_hold_the_true_difference_as_often_as_they_say() -> None:
    random = np.random.default_rng(7)
    n_classes, labels = 4, np.repeat(range(4), 40)
    # Whichever class is wrong, all others are as likely: F1 of every class is then the accuracy.
    held = []
    for seed in range(250):
        luck, mistake = random.random(len(labels)), random.integers(1, n_classes, len(labels))
        wrong = (labels + mistake) % n_classes
        first, second = np.where(luck < 0.8, labels, wrong), np.where(luck < 0.7, labels, wrong)
        found = compare_scores(labels, first, second, n_classes, draws=500, level=0.9, seed=seed)
        held.append(found.low <= 0.1 <= found.high)
    assert 0.84 <= np.mean(held) <= 0.96, "90 % of 250 are 225, give or take 14 for three standard errors"


def test_pages_are_paired() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(range(3), 100)
    predicted = guesses(random, labels, 0.6, 3)
    nearly = predicted.copy()
    nearly[:3] = labels[:3]
    found = compare_scores(labels, nearly, predicted, 3)
    low, high = interval(labels, predicted, 3)
    assert found.high - found.low < 0.3 * (high - low), "what both get wrong is no matter"


def test_equal_predictions_differ_by_nothing_and_neither_is_better() -> None:
    labels = np.repeat(range(3), 10)
    found = compare_scores(labels, labels[::-1], labels[::-1], 3)
    assert found == Difference(0, 0, 0, 0.5, 0.95)
    assert str(found) == "+0.000 (95 % interval +0.000 to +0.000, better in 50 % of resamples)"


def test_where_resamples_cannot_differ_no_point_is_called_an_interval() -> None:
    labels = np.array([0, 0, 1, 1])
    for predicted in (labels, np.zeros(4, dtype=int)):
        assert interval_text(*interval(labels, predicted, 2)) == NO_INTERVAL
    assert str(compare_scores(labels, labels, np.zeros(4, dtype=int), 2)).startswith(f"+0.667 ({NO_INTERVAL}, better")
    assert interval_text(*interval(labels, np.array([0, 1, 1, 1]), 2)).startswith("95 % interval 0.333 to ")
    assert expected_score_text({"macro_f1": 1.0, "low": 1.0, "high": 1.0}).endswith(f"1.000 ({NO_INTERVAL})")


def test_draws_are_the_same_each_time_and_change_with_the_seed() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(range(3), 20)
    other = guesses(random, labels, 0.5, 3)
    first, again, third = (compare_scores(labels, labels, other, 3, seed=seed) for seed in (4, 4, 5))
    assert first == again and first != third


@pytest.mark.parametrize(
    ("draws", "chance", "words"), [(2000, 1, ">99.9 %"), (100, 1, "99.5 %"), (100, 0, "0.5 %"), (2000, 0, "<0.1 %")]
)
def test_a_chance_is_never_certain(draws: int, chance: int, words: str) -> None:
    labels = np.repeat(range(2), 30)
    pair = [labels, 1 - labels] if chance else [1 - labels, labels]
    found = compare_scores(labels, pair[0], pair[1], 2, draws=draws)
    assert 0 < found.chance_better < 1 and f"better in {words} of resamples" in str(found)


@pytest.mark.parametrize(
    ("chance", "words"),
    [(0.99949, ">99.9 %"), (0.9985, "99.9 %"), (0.992, "99.2 %"), (0.989, "99 %"), (0.5, "50 %"), (0.009, "0.9 %")],
)
def test_a_chance_is_rounded_to_what_it_says(chance: float, words: str) -> None:
    assert f"better in {words} of resamples" in str(Difference(-0.0001, -0.1, 0.25, chance, 0.9))
    assert str(Difference(-0.0001, -0.1, 0.25, chance, 0.9)).startswith("+0.000 (90 % interval -0.100 to +0.250,")


def test_10_000_pages_of_17_classes_take_well_under_a_second() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 17, 10_000)
    predicted, other = guesses(random, labels, 0.8, 17), guesses(random, labels, 0.8, 17)
    seconds = []
    for _ in range(3):  # the machine may be busy
        started = time.process_time()
        compare_scores(labels, predicted, other, 17)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 1


# Guessing


def test_the_chance_of_guessing_is_the_share_of_labellings_that_score_as_high() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    # One of 10 labellings agrees with all; 2 * 3 of them differ in one page of each class.
    assert chance_of_guessing(labels, labels, 2, draws=20_000) == pytest.approx(0.1, abs=0.01)
    nearly = np.array([0, 1, 0, 1, 1])
    assert chance_of_guessing(labels, nearly, 2, draws=20_000) == pytest.approx(0.7, abs=0.015)


def test_no_chance_of_guessing_is_below_one_in_the_number_of_draws() -> None:
    labels = np.repeat(range(3), 20)
    assert chance_of_guessing(labels, labels, 3, draws=99) == 0.01


def test_the_chance_of_guessing_is_that_of_a_loop_that_asks_scikit_learn() -> None:
    random = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [20, 8, 3])
    predicted = guesses(random, labels, 0.25, 5)
    observed = f1_score(labels, predicted, average="macro")
    shuffled = [f1_score(random.permutation(labels), predicted, average="macro") for _ in range(800)]
    expected = np.mean(np.array(shuffled) >= observed - 1e-12)
    assert 0.02 < expected < 0.5, "else this compares nothing"
    assert chance_of_guessing(labels, predicted, 6, draws=20_000) == pytest.approx(expected, abs=0.05)


def test_predictions_that_know_nothing_are_seldom_called_better_than_guessing() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(range(3), 12)
    found = [chance_of_guessing(labels, random.integers(0, 3, 36), 3, draws=200, seed=seed) for seed in range(300)]
    for level in (0.05, 0.25, 0.5):
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 300))


def test_labels_shuffled_in_parts_are_the_same_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    labels = np.repeat(range(3), 10)
    predicted = guesses(random, labels, 0.2, 3)
    at_once = chance_of_guessing(labels, predicted, 3)
    monkeypatch.setattr(resampling, "_AT_ONCE", 70)
    assert chance_of_guessing(labels, predicted, 3) == at_once > 0.01


def test_pages_of_one_group_count_as_little_as_one_of_them() -> None:
    """Three copies of each page say nothing new: the interval is that of the pages alone."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    predicted, other = (np.where(rng.random(300) < part, labels, rng.integers(0, 5, 300)) for part in (0.9, 0.8))
    copies = [np.repeat(array, 3) for array in (labels, predicted, other)]
    groups = np.repeat(np.arange(300), 3)
    single, thrice = interval(labels, predicted, 5), interval(*copies[:2], 5, groups=groups)
    assert thrice == pytest.approx(single, abs=0.004)
    wrong = interval(*copies[:2], 5)
    assert wrong[1] - wrong[0] < 0.7 * (single[1] - single[0])
    difference, together = compare_scores(labels, predicted, other, 5), compare_scores(*copies, 5, groups=groups)
    assert (together.low, together.high) == pytest.approx((difference.low, difference.high), abs=0.01)
    assert together.value == pytest.approx(difference.value)


def test_groups_of_one_page_change_nothing() -> None:
    labels, predicted = np.repeat([0, 1], 50), np.tile([0, 0, 0, 1], 25)
    assert interval(labels, predicted, 2, groups=np.arange(100)) == interval(labels, predicted, 2)
