"""Searches that climb: cheap trials first, then dear ones that take over the best of them."""

from datetime import timedelta
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.run.asker import Asker
from docclf.sweeper.screen.forecast import Cost, Plan, seconds_left
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.climb import Climb
from docclf.sweeper.strategy.views import ComparableView

SPACE = parse_space(
    {"tune": "choice(head, last, all)", "size": "choice(1, 2, 3, 4)", "name": "choice(a, b)"},
    [],
    [
        {"when": {"tune": "head"}, "params": {"c": "interval(0, 1)"}},
        {"when": {"tune": ["last", "all"]}, "params": {"lr": "interval(0, 1)", "decay": "interval(0, 1)"}},
    ],
)
DEFAULTS = {"tune": "head", "size": 2, "name": "a", "c": 0.5, "lr": 0.1, "decay": 0.2}


def climb(**changes: Any) -> Climb:
    given = {"total": 20, "defaults": DEFAULTS, "directions": (StudyDirection.MAXIMIZE,), **changes}
    return Climb("tune", ("head", "last"), 0.5, ("size",), SPACE, **given)


def done(rung: str, value: float = 0.0, size: int = 1, **attributes: Any) -> FrozenTrial:
    return create_trial(
        value=value,
        params={"tune": rung, "size": size},
        distributions={key: SPACE.distributions[key] for key in ("tune", "size")},
        user_attrs={"rung": rung, **attributes},
    )


# What is next, by the trials of the study


def test_half_of_the_trials_are_on_the_first_rung_the_baseline_among_them() -> None:
    heads = [done("head", role="baseline"), *[done("head")] * 8]
    assert climb().due(heads) == 0
    assert climb().due([*heads, done("head")]) == 1


def test_what_runs_counts_and_what_was_interrupted_does_not() -> None:
    heads = [done("head")] * 9
    running = create_trial(state=TrialState.RUNNING, user_attrs={"rung": "head"})
    interrupted = create_trial(state=TrialState.FAIL, user_attrs={"rung": "head", "interrupted": "process"})
    assert climb().due([*heads, running]) == 1
    assert climb().due([*heads, interrupted]) == 0


@pytest.mark.parametrize(("total", "expected"), [(1, [1]), (2, [1, 1]), (3, [2, 1]), (8, [4, 4]), (20, [10, 10])])
def test_no_total_leaves_a_rung_empty(total: int, expected: list[int]) -> None:
    assert [n for _, n in climb(total=total).coming({}, "", total)] == expected


def test_of_three_rungs_each_gets_its_fraction_of_what_is_left() -> None:
    three = Climb("tune", ("head", "last", "all"), 0.5, (), SPACE, total=20)
    assert three.coming({}, "", 20) == [("head", 10), ("last", 5), ("all", 5)]
    assert three.coming({"head": 4}, "head", 16) == [("head", 6), ("last", 5), ("all", 5)]


def test_a_rung_that_was_left_is_not_gone_back_to_when_the_total_is_raised() -> None:
    trials = [*[done("head")] * 2, done("last", carried_from=0)]
    assert climb(total=40).due(trials) == 1
    assert climb(total=40).due([*trials[:2], done("last", enqueued="tune=last")]) == 0, "an entry may be anywhere"


def test_a_slow_rung_ends_with_its_fraction_of_the_time() -> None:
    assert climb().due([done("head")], spent=0.49) == 0
    assert climb().due([done("head")], spent=0.51) == 1


def test_a_rung_that_brings_nothing_better_is_left_and_not_the_search() -> None:
    heads = [done("head", 1.0), *[done("head", 0.5)] * 3]
    assert climb(patience=3).due(heads) == 1
    assert climb(patience=4).due(heads) == 0


def test_a_search_without_a_total_goes_on_by_time_and_patience_alone() -> None:
    heads = [done("head", value) for value in range(200)]
    assert climb(total=float("inf")).due(heads, spent=0.4) == 0
    assert climb(total=float("inf")).due(heads, spent=0.6) == 1


def test_the_first_trial_of_a_rung_has_the_best_size_below_and_the_config_s_values_for_the_rest() -> None:
    heads = [done("head", value, size) for value, size in ((0.1, 1), (0.9, 3), (0.5, 4), *[(0.0, 2)] * 7)]
    draws, attributes = climb().place(numbered(heads), {})
    assert draws == {"tune": "last", "size": 3, "name": "a", "lr": 0.1, "decay": 0.2}
    assert attributes == {"rung": "last", "carried_from": 1}


def test_after_the_config_s_values_come_those_of_the_portfolio_and_then_the_sampler_s() -> None:
    trials, tried = [done("head", 0.9, 3), *[done("head")] * 9], []
    for _ in range(4):
        draws, attributes = climb(portfolio=({"lr": 0.7}, {"lr": 0.9, "decay": 7.0})).place(numbered(trials), {})
        trials = [*trials, done(size=draws["size"], **attributes)]
        tried.append((draws.get("lr"), draws.get("decay"), draws["size"]))
    assert tried == [(0.1, 0.2, 3), (0.7, 0.2, 1), (0.9, None, 3), (None, None, 1)], "7 is outside the space"


def test_half_take_after_the_best_a_quarter_after_the_second_and_the_rest_after_the_third() -> None:
    heads = [done("head", value, size) for value, size in ((0.9, 3), (0.8, 3), (0.7, 4), (0.6, 1), (0.5, 2))]
    trials, sizes = heads * 2, []
    for _ in range(8):
        draws, attributes = climb().place(numbered(trials), {})
        trials = [*trials, done(size=draws["size"], **attributes)]
        sizes.append(draws["size"])
    assert sizes == [3, 4, 3, 1, 3, 4, 3, 1]
    assert draws == {"tune": "last", "size": 1}, "the sampler draws the rest"


def test_who_breaks_a_constraint_hands_nothing_on_and_without_anyone_the_config_does() -> None:
    def breaking(size: int) -> FrozenTrial:
        trial = done("head", 0.9, size)
        return create_trial(
            value=0.9,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs,
            constraints={"seconds": 1.0},
        )

    trials = [*[breaking(3)] * 9, done("head", 0.1, 4)]
    assert climb().place(numbered(trials), {})[0]["size"] == 4
    draws, attributes = climb().place(numbered([breaking(3)] * 10), {})
    assert draws["size"] == 2 and attributes["carried_from"] is None


def test_a_default_outside_the_space_is_left_to_the_sampler() -> None:
    draws, _ = climb(defaults={**DEFAULTS, "lr": 7.0}).place(numbered([done("head")] * 10), {})
    assert "lr" not in draws and draws["decay"] == 0.2


def test_what_the_baseline_was_is_not_tried_twice() -> None:
    first, _ = climb().place(numbered([done("head")] * 10), {})
    baseline = create_trial(
        value=0.0,
        params=first,
        distributions={key: SPACE.distributions[key] for key in first},
        user_attrs={"rung": "last", "role": "baseline"},
    )
    draws, _ = climb().place(numbered([baseline, *[done("head")] * 10]), {})
    assert draws == {"tune": "last", "size": 1}


def test_an_entry_keeps_its_rung_and_one_without_gets_that_of_its_keys() -> None:
    assert climb().place([], {"tune": "all", "lr": 0.3}) == ({"tune": "all", "lr": 0.3}, {"rung": "all"})
    assert climb().place([], {"size": 4}) == ({"tune": "head", "size": 4}, {"rung": "head"})
    assert climb().on_a_rung({"lr": 0.3, "size": 1})["tune"] == "last"
    assert climb().on_a_rung({"c": 0.3})["tune"] == "head"
    assert climb().on_a_rung({"tune": "all", "c": 0.3})["tune"] == "all"


# What samplers and pruners see


def test_the_sampler_sees_the_trials_of_the_rung_alone_those_of_another_study_too() -> None:
    class Seeing(optuna.samplers.RandomSampler):
        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            seen.append([t.user_attrs["rung"] for t in study.get_trials() if t.state == TrialState.COMPLETE])
            return super().sample_independent(study, trial, name, distribution)

    seen: list[list[str]] = []
    study = optuna.create_study(sampler=Seeing(), direction="maximize")
    study.add_trials([done("head"), done("last")])
    asker = Asker(study, known=[done("last"), done("head")], climb=climb(total=4))
    for _ in range(3):
        asker.ask(asker.take()).suggest_categorical("name", ["a", "b"])
    assert seen == [["head", "head"], ["last", "last"]], "the first trial of a rung has the config's values"
    assert len(study.get_trials()) == 5, "the study itself shows all"


def test_hyperband_s_brackets_are_of_one_rung() -> None:
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    study = optuna.create_study(pruner=pruner)
    study.add_trials([done("head"), done("last")] * 20)
    study._storage = ComparableView(study._storage, "last")  # type: ignore[assignment]
    view = optuna.pruners._filter_study(study, study.get_trials()[0])
    assert {t.params["tune"] for t in view.get_trials()} == {"last"}


# Forecasts


def test_what_a_trial_costs_says_nothing_of_another_rung() -> None:
    plan = Plan(20, climb=climb())
    heads = [Cost(1.0, 1, True, "head")] * 10
    assert seconds_left(plan, heads, []) is None
    assert seconds_left(plan, [*heads, Cost(30.0, 9, True, "last")], []) == pytest.approx(9 * 30.0)
    dear_baseline = [Cost(30.0, 9, True, "last"), Cost(1.0, 1, True, "head")]
    assert seconds_left(plan, dear_baseline, []) == pytest.approx(9 * 1.0 + 9 * 30.0)


def test_a_running_trial_is_measured_by_its_own_rung() -> None:
    costs = [*[Cost(1.0, 1, True, "head")] * 10, *[Cost(30.0, 9, True, "last")] * 9]
    assert seconds_left(Plan(20, climb=climb()), costs, [Cost(12.0, 3, rung="last")]) == pytest.approx(18.0)


def test_finalists_cost_what_their_rung_does() -> None:
    costs = [Cost(1.0, 1, True, "head"), Cost(30.0, 9, True, "last")]
    plan = Plan(2, n_finalists=2, climb=climb(total=2))
    assert seconds_left(plan, costs, [], finalists=["head", "head"]) == pytest.approx(2.0)
    assert seconds_left(plan, costs, [], finalists=["head", "last"]) == pytest.approx(31.0)


def numbered(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    copies = []
    for number, trial in enumerate(trials):
        copy = create_trial(
            state=trial.state,
            values=trial.values,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs,
            constraints=trial.constraints,
        )
        copy.number = number
        copies.append(copy)
    return copies


def test_a_rung_that_nobody_knows_is_not_begun_when_little_time_is_left() -> None:
    heads = [done("head")] * 4
    for trial in heads:
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=20)
    assert climb().due(heads, spent=0.6, left=39.0) == 0
    assert climb().due(heads, spent=0.6, left=41.0) == 1
    assert climb().due([*heads, done("last", carried_from=0)], spent=0.6, left=39.0) == 1, "what it takes is known"
