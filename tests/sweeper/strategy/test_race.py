"""Whom a race of finalists stops, on fabricated trials."""

from collections.abc import Mapping

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.strategy.race import Race

ON = "validation.seed=43"


def ended(reports: Mapping[int, float], how: str = ON, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    value = sum(reports.values()) / len(reports)
    return create_trial(
        state=state, value=value, intermediate_values=dict(reports), user_attrs={"finalist": f"1 {how}".strip()}
    )


def is_stopped(
    others: list[FrozenTrial],
    reports: Mapping[int, float],
    *,
    direction: str = "maximize",
    how: str = ON,
    role: str = "",
    number: int = 2,
) -> bool:
    study = optuna.create_study(direction=direction, pruner=Race())
    study.add_trials(others)
    study.enqueue_trial({}, user_attrs={"finalist": f"{number} {how}".strip()} | ({"role": role} if role else {}))
    trial = study.ask()
    for step, value in reports.items():
        trial.report(value, step)
    return trial.should_prune()


LEADERS = [ended({0: 0.5, 1: 0.6, 2: 0.7}), ended({0: 0.8, 1: 0.7, 2: 0.9})]


@pytest.mark.parametrize(
    ("reports", "stopped"),
    [
        ({0: 0.79}, True),
        ({0: 0.81}, False),
        ({0: 0.8}, False),  # as good so far
        ({0: 0.9, 1: 0.59}, True),  # 0.745 against 0.75
        ({0: 0.9, 1: 0.61}, False),
        ({0: 0.79, 1: 0.72}, False),  # behind in the first fold and ahead in both
        ({}, False),
    ],
)
def test_who_is_behind_the_leader_over_the_same_folds_stops(reports: dict[int, float], stopped: bool) -> None:
    assert is_stopped(LEADERS, reports) is stopped


@pytest.mark.parametrize(("reports", "stopped"), [({0: 0.51}, True), ({0: 0.49}, False), ({0: 0.5}, False)])
def test_where_less_is_better_the_leader_is_the_lowest(reports: dict[int, float], stopped: bool) -> None:
    assert is_stopped(LEADERS, reports, direction="minimize") is stopped


@pytest.mark.parametrize(
    "others",
    [
        [],
        LEADERS[1:],
        [LEADERS[1], ended({0: 0.9}, state=TrialState.PRUNED)],
        [ended({1: 0.9}), ended({2: 0.9})],  # not over the same folds
        [ended({0: 0.9}, "validation.seed=44"), ended({0: 0.9}, "validation.seed=44"), LEADERS[1]],
    ],
)
def test_before_two_have_finished_on_the_same_folds_nobody_stops(others: list[FrozenTrial]) -> None:
    assert not is_stopped(others, {0: 0.1})


def test_the_baseline_never_stops() -> None:
    assert is_stopped(LEADERS, {0: 0.1}, role="entry")
    assert not is_stopped(LEADERS, {0: 0.1}, role="baseline")


def test_one_that_finished_before_and_lost_its_folder_never_stops() -> None:
    assert not is_stopped(LEADERS, {0: 0.1}, number=1)
    assert is_stopped(LEADERS, {0: 0.1}, number=3)


def test_of_the_leaders_the_one_that_is_best_over_these_folds_counts() -> None:
    others = [ended({0: 0.9, 1: 0.1}), ended({0: 0.5, 1: 0.6})]
    assert is_stopped(others, {0: 0.8}), "by who was best in the first fold"
    assert not is_stopped(others, {0: 0.8, 1: 0.4})


def test_without_overrides_all_are_scored_alike() -> None:
    assert is_stopped([ended({0: 0.9}, ""), ended({0: 0.9}, "")], {0: 0.8}, how="")
