"""Trials pause after a budget, and the best of them go on."""

import math
from dataclasses import replace
from datetime import datetime
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.errors import ConfigError
from docclf.sweeper.config import Settings
from docclf.sweeper.strategy.ladder import Ladder, read_ladder
from docclf.sweeper.study.attributes import BUDGET, DUPLICATE_OF, NOT_COMPARABLE, RETRY_OF, RUNG
from docclf.sweeper.study.outcome import find_twin

LADDER = Ladder((1, 3, 9), 3, StudyDirection.MAXIMIZE)
SETTINGS = Settings(ladder=3)


def paused(number: int, score: float, budget: int = 1, of: int | None = None) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.PRUNED,
        params={"x": 0.1 * number},
        distributions={"x": FloatDistribution(0, 9)},
        intermediate_values=dict.fromkeys(range(budget), score),
        user_attrs={BUDGET: budget, **({} if of is None else {RETRY_OF: of})},
    )
    trial.number = number
    return trial


def test_the_best_of_three_goes_on_and_only_once() -> None:
    trials = [paused(0, 0.3), paused(1, 0.5)]
    assert LADDER.promoted(trials) is None
    trials.append(paused(2, 0.4))
    assert LADDER.promoted(trials) == (trials[1], 3)
    trials.append(paused(3, 0.6, budget=3, of=1))
    assert LADDER.promoted(trials) is None, "one of one that paused at the second budget"
    trials += [paused(4, 0.1), paused(5, 0.2), paused(6, 0.9)]
    assert LADDER.promoted(trials) == (trials[6], 3)


@pytest.mark.parametrize("end", ["paused", "complete", "failed early"])
def test_what_has_gone_on_in_a_merged_study_does_not_go_on_again(end: str) -> None:
    """There no trial says of which one it went on."""
    trials = [paused(0, 0.3), paused(1, 0.5), paused(2, 0.4), paused(3, 0.6, budget=3)]
    trials[3].params = trials[1].params
    if end == "complete":
        trials[3].state, trials[3].user_attrs = TrialState.COMPLETE, {}
    elif end == "failed early":
        trials[3].state, trials[3].intermediate_values = TrialState.FAIL, {}
    assert LADDER.promoted(trials) is None
    trials[3].user_attrs[NOT_COMPARABLE] = True
    assert LADDER.promoted(trials) == (trials[1], 3), "of other data, it says nothing of this one"
    trials[1].user_attrs[NOT_COMPARABLE] = True
    assert LADDER.promoted([*trials, paused(4, 0.1)]) == (trials[2], 3), "a score of other data is none to go on by"


def test_a_duplicate_of_one_that_paused_does_not_go_on_and_knows_the_furthest_of_it() -> None:
    trials = [paused(0, 0.3), paused(1, 0.5), paused(2, 0.4), paused(3, 0.6, budget=3, of=1)]
    trials[3].params = trials[1].params
    for number in 4, 5:
        trials.append(paused(number, 0.5))
        trials[-1].set_user_attr(DUPLICATE_OF, 1)
    assert LADDER.promoted(trials) is None
    trial = optuna.create_study().ask()
    trials = [paused(0, 0.3), paused(1, 0.5), paused(2, 0.6, budget=3), paused(3, 0.6, budget=3)]
    for one in trials:
        one.params, one.distributions = {}, {}
    found = find_twin(trial, trials)
    assert found is not None and found.number == 2


def test_the_highest_budget_goes_first() -> None:
    trials = [*(paused(i, 0.1 * i) for i in range(9)), *(paused(9 + i, 0.5 + 0.1 * i, 3, of=8 - i) for i in range(3))]
    assert LADDER.promoted(trials) == (trials[11], 9)


def test_with_the_last_trials_the_best_goes_on_to_the_end() -> None:
    trials = [paused(0, 0.3), paused(1, 0.5)]
    assert LADDER.promoted(trials, n_left=3) is None
    assert LADDER.promoted(trials, n_left=2) == (trials[1], 3)
    trials.append(paused(2, 0.5, budget=3, of=1))
    assert LADDER.promoted(trials, n_left=1) == (trials[2], 9)


def test_with_the_last_seconds_the_best_goes_on_to_the_end() -> None:
    trials = [paused(0, 0.3), paused(1, 0.5)]
    for trial in trials:
        trial.datetime_start, trial.datetime_complete = datetime(2024, 1, 1), datetime(2024, 1, 1, second=10)
    assert LADDER.promoted(trials, seconds_left=8 * 10 * 1.4) is None
    assert LADDER.promoted(trials, seconds_left=8 * 10) == (trials[1], 3), "8 reports of 10 s are left of it"
    trials.append(paused(2, 0.5, budget=3, of=1))
    assert LADDER.promoted(trials, seconds_left=8 * 10) is None, "6 reports are left of it"
    assert LADDER.promoted(trials, seconds_left=6 * 10) == (trials[2], 9)


def test_the_last_trials_are_kept_for_one_that_goes_on_and_still_runs() -> None:
    trials = [paused(0, 0.3), paused(1, 0.5), paused(2, 0.5, budget=3, of=1)]
    assert not LADDER.is_waiting(trials, n_left=1)
    trials[2].state = TrialState.RUNNING
    assert LADDER.is_waiting(trials, n_left=1) and not LADDER.is_waiting(trials, n_left=2)
    trials[2].user_attrs[BUDGET] = 9
    assert not LADDER.is_waiting(trials, n_left=1), "it comes to its end"


def test_what_goes_on_is_queued_once_with_its_parameters() -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trials([paused(i, 0.1 * i) for i in range(3)])
    for _ in range(2):
        LADDER.prepare(study, study.get_trials(), math.inf)
    (queued,) = (trial for trial in study.get_trials() if trial.state == TrialState.WAITING)
    assert queued.user_attrs == {RETRY_OF: 2, BUDGET: 3} and queued.system_attrs["fixed_params"] == {"x": 0.2}


def test_the_baseline_does_not_pause() -> None:
    assert LADDER.budget(paused(0, 0.1)) is None and LADDER.budget(paused(1, 0.1)) == 1


def test_of_a_search_that_climbs_the_last_rung_alone_pauses() -> None:
    ladder, trial = replace(LADDER, rung="all"), paused(1, 0.1)
    for rung, budget in ("head", None), ("all", 1):
        trial.set_user_attr(RUNG, rung)
        assert ladder.budget(trial) == budget


@pytest.mark.parametrize(("steps", "budgets"), [(9, (1, 3, 9)), (10, (2, 4, 10)), (3, (1, 3)), (50, (2, 6, 17, 50))])
def test_budgets_rise_to_a_whole_trial(steps: int, budgets: tuple[int, ...]) -> None:
    ladder = read_ladder(SETTINGS, steps, ["minimize"])
    assert ladder is not None and ladder.budgets == budgets


@pytest.mark.parametrize(
    ("settings", "steps", "directions"),
    [
        ({}, 9, ["minimize", "maximize"]),
        ({}, 2, ["minimize"]),
        ({}, None, ["minimize"]),
    ],
)
def test_what_cannot_be_climbed_is_told(settings: dict[str, Any], steps: int | None, directions: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"Expected .*hydra\.sweeper\.ladder"):
        read_ladder(replace(SETTINGS, **settings), steps, directions)
    assert read_ladder(replace(SETTINGS, ladder=None), steps, directions) is None
