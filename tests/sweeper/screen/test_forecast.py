"""How long the rest of a search will take: by hand, and against searches that were run."""

import time
from typing import Any

import pytest

from docclf.sweeper.config import FinalistsConfig, Settings
from docclf.sweeper.screen.forecast import Cost, Plan, make_plan, seconds_left

# Searches of 20 trials of 3 folds and 3 epochs on 2 cores that nothing else used: seconds of each trial and how many
# values it reported, then the seconds of its finalists. Pruned trials made 3 of 9 reports, now and then 6.
PRUNED = {
    "finalists": (
        "25.2:9 5.5:3 3.9:3 3.9:3 3.6:3 4.4:3 3.5:3 6.4:3 6.2:3 4.3:3 5.0:3 3.9:3 11.7:9 12.3:9 11.3:9 5.2:3 4.2:3 "
        "3.9:3 3.4:3 13.1:9",
        "16.3 15.3 4.3 7.2",
    ),
    "slow": (
        "74.8:9 35.8:3 10.2:3 14.3:3 10.3:3 21.9:3 13.4:3 36.6:3 36.6:3 10.4:3 23.5:3 17.0:3 48.6:9 43.8:9 47.5:9 "
        "15.6:3 16.2:3 16.4:3 17.1:3 68.0:9",
        "70.5 70.9 16.5 42.5",
    ),
    "seed 0": (
        "20.6:9 5.5:3 17.8:9 3.4:3 3.9:3 3.3:3 3.0:3 3.1:3 4.0:3 5.0:3 18.8:9 18.9:9 4.2:3 20.6:9 7.0:3 7.1:3 19.5:9 "
        "6.7:3 7.4:3 6.6:3",
        "",
    ),
    "seed 1": (
        "17.4:9 6.4:3 3.6:3 6.1:3 2.9:3 3.1:3 4.0:3 2.8:3 3.8:3 4.0:3 14.5:9 12.0:9 3.8:3 11.4:9 7.8:6 4.5:3 3.8:3 "
        "3.4:3 12.1:9 4.5:3",
        "",
    ),
    "seed 2": (
        "16.6:9 4.0:3 3.7:3 5.9:3 3.8:3 4.0:3 7.5:3 14.1:9 3.2:3 5.4:3 5.1:3 13.8:9 11.4:9 12.6:9 13.5:9 3.1:3 17.2:9 "
        "6.1:3 6.1:3 4.8:3",
        "",
    ),
    "peers": (
        "17.1:9 5.8:3 9.6:9 3.2:3 2.9:3 3.8:3 8.9:9 5.3:3 5.4:3 4.2:3 3.5:3 3.4:3 3.3:3 9.1:9 3.2:3 2.8:3 9.8:9 9.7:9 "
        "3.1:3 9.0:9",
        "",
    ),
}
WHOLE = {
    "seed 42": (
        "21.3:9 21.4:9 15.1:9 15.4:9 16.2:9 19.8:9 16.8:9 24.9:9 22.6:9 14.2:9 17.8:9 17.3:9 16.3:9 17.1:9 20.2:9 "
        "19.2:9 15.8:9 15.6:9 19.5:9 17.4:9",
        "",
    ),
    "seed 1": (
        "15.5:9 16.5:9 8.6:9 15.4:9 8.5:9 8.5:9 13.0:9 10.0:9 13.6:9 12.7:9 10.7:9 9.8:9 8.9:9 12.3:9 9.2:9 8.7:9 "
        "8.6:9 10.5:9 9.8:9 9.2:9",
        "",
    ),
}
MEDIAN = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 1}


def settings(pruner: dict[str, Any], top_k: int = 0, race: bool = True, baseline: bool = True) -> Settings:
    return Settings(pruner=pruner, baseline=baseline, finalists=FinalistsConfig(top_k=top_k, race=race))


def said(costs: str, finalists: str, pruner: dict[str, Any], n: int) -> float:
    """What is said after `n` trials, by what was left."""
    trials = [(float(seconds), int(steps)) for seconds, _, steps in (text.partition(":") for text in costs.split())]
    again = [float(seconds) for seconds in finalists.split()]
    plan = make_plan(settings(pruner, top_k=max(len(again) - 1, 0)), len(trials), 1)
    left = seconds_left(plan, [Cost(seconds, steps, steps == 9) for seconds, steps in trials[:n]], [])
    assert left is not None
    return left / (sum(seconds for seconds, _ in trials[n:]) + sum(again))


@pytest.mark.parametrize("name", PRUNED)
def test_it_is_right_within_a_quarter_after_a_third_of_a_search_that_prunes(name: str) -> None:
    assert said(*PRUNED[name], MEDIAN, n=7) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("n", [7, 10, 13, 16])
@pytest.mark.parametrize("name", WHOLE)
def test_it_is_right_within_a_quarter_where_every_trial_runs_whole(name: str, n: int) -> None:
    assert said(*WHOLE[name], {"_target_": "optuna.pruners.NopPruner"}, n=n) == pytest.approx(1.0, abs=0.25)


# By hand: a step costs 5 seconds, a whole trial has 2.
DONE = [Cost(99.0, 2, True), Cost(10.0, 2, True)]


@pytest.mark.parametrize(
    ("plan", "running", "limit", "expected"),
    [
        (Plan(4), [], 1e9, 20.0),
        (Plan(2), [], 1e9, 0.0),
        (Plan(1), [], 1e9, 0.0),
        (Plan(4), [Cost(6.0, 1)], 1e9, 14.0),
        (Plan(4), [Cost(60.0, 1)], 1e9, 12.5),  # it should have ended long ago, and half of its steps are to come
        (Plan(3), [Cost(60.0, 0)], 1e9, 5.0),
        (Plan(3), [Cost(60.0, 2)], 1e9, 1.0),  # it reported its last step: never nothing while it runs
        (Plan(4), [], 12.0, 12.0),
        (Plan(4), [], -3.0, 0.0),
        (Plan(4, n_finalists=3), [], 12.0, 12.0),  # which share the time
        (Plan(4, n_finalists=4, is_race=True), [], 1e9, 50.0),  # two whole, two stopped half-way
        (Plan(4, n_finalists=1, is_race=True), [], 1e9, 30.0),
        (Plan(4, whole=0.0, n_startup=2), [], 1e9, 8.0),  # stopped after 0.4 of it, as far as one knows
        (Plan(4, whole=0.0, n_startup=3), [], 1e9, 14.0),  # no other one is stopped before the third has ended
    ],
)
def test_by_hand_with_one_worker(plan: Plan, running: list[Cost], limit: float, expected: float) -> None:
    assert seconds_left(plan, DONE, running, limit) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("coming", "running", "expected"),
    [
        (2, [], 10.0),
        (3, [], 20.0),
        (0, [Cost(4.0, 0), Cost(7.0, 1)], 6.0),
        (1, [Cost(4.0, 0), Cost(7.0, 1)], 13.0),  # it begins when the second one has ended
        (0, [Cost(1.0, 0), Cost(2.0, 0), Cost(3.0, 0)], 9.0),  # another process helps
        (3, [Cost(1.0, 0), Cost(2.0, 0), Cost(3.0, 0)], 19.0),
    ],
)
def test_by_hand_with_two_workers(coming: int, running: list[Cost], expected: float) -> None:
    done = [Cost(99.0, 2, True), *DONE]  # the first trial of each worker loads what the others find loaded
    plan = Plan(len(done) + len(running) + coming, workers=2)
    assert seconds_left(plan, done, running) == pytest.approx(expected)


def test_nothing_is_said_before_a_trial_has_ended() -> None:
    assert seconds_left(Plan(4), [], [Cost(3.0, 1)]) is None
    assert seconds_left(Plan(4), [Cost(3.0, 0)], []) is None, "one that failed says nothing of the others"


def test_the_first_trial_is_all_there_is_to_go_by_after_it() -> None:
    assert seconds_left(Plan(3), [Cost(20.0, 2, True)], []) == pytest.approx(40.0)


def test_what_was_seen_counts_more_and_more() -> None:
    plan = make_plan(settings(MEDIAN), 1000, 1)
    stopped, whole = Cost(1.0, 1), Cost(4.0, 4, True)
    few = seconds_left(plan, [whole, *[stopped] * 4], [])
    many = seconds_left(plan, [whole, *[stopped] * 400], [])
    assert few is not None and many is not None
    assert few / 995 > 2.0 > 1.1 > many / 599 > 1.0


def test_duplicates_cost_nothing_and_are_expected_to_come_again() -> None:
    done = [Cost(10.0, 1, True), *[Cost(10.0, 1, True), Cost(0.0, 0)] * 100]
    assert seconds_left(Plan(301), done, []) == pytest.approx(100 * 10.0 * 117 / 217, rel=1e-6)


@pytest.mark.parametrize(
    ("pruner", "whole", "n_startup"),
    [
        ({"_target_": "optuna.pruners.NopPruner"}, 1.0, 0),
        ({"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 5}, 0.5, 5),
        ({"_target_": "docclf.sweeper.race.Race"}, 0.0, 2),
        ({"_target_": "somebody.elses.Pruner"}, 0.5, 0),
    ],
)
def test_a_pruner_is_known_by_its_name(pruner: dict[str, Any], whole: float, n_startup: int) -> None:
    assert make_plan(settings(pruner), 9, 2) == Plan(9, 2, whole, n_startup, 0, True)


def test_finalists_are_the_best_and_the_baseline_of_a_search_with_one_objective() -> None:
    assert make_plan(settings(MEDIAN, top_k=3), 20, 1).n_finalists == 4
    assert make_plan(settings(MEDIAN, top_k=3, baseline=False), 20, 1).n_finalists == 3
    assert make_plan(settings(MEDIAN, top_k=3), 20, 1, is_single=False) == Plan(20, 1)


def test_a_long_search_is_forecast_in_milliseconds() -> None:
    done = [Cost(4.0, 3), Cost(9.0, 9, True)] * 2500
    started = time.process_time()
    for _ in range(10):
        seconds_left(Plan(100_000, workers=8), done, [])
    assert (time.process_time() - started) / 10 < 0.02


def test_very_many_trials_are_forecast_as_soon_as_few() -> None:
    done = [Cost(20, 2, True), Cost(10, 2, True)]
    assert seconds_left(Plan(10**9 + 2), done, [], limit=60.0) == 60.0
    assert seconds_left(Plan(200_002), done, []) == pytest.approx(200_000 * 10, rel=0.6)
