"""Objectives by name, several of them, and constraints."""

from typing import Any

import numpy as np
import pytest
import yaml
from hydra.core.utils import JobReturn, JobStatus
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from docclf.sweeper.study.outcome import violations

MINIMIZE, MAXIMIZE = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE


def results(toy: Any) -> Any:
    return yaml.safe_load((toy.folder / "optimization_results.yaml").read_text())


@pytest.mark.slow
def test_one_objective_of_those_that_the_task_returns_is_searched_by_its_name(toy: Any) -> None:
    command = ("as_mapping=true", "hydra.sweeper.metric=size", "hydra.sweeper.direction=maximize")
    output = toy.run("n_trials=4", *command).output
    assert toy.study.directions == [MAXIMIZE]
    assert [t.value for t in toy.trials] == [abs(t.params["x"]) for t in toy.trials]
    best = max(toy.trials, key=lambda t: t.value)
    assert f"size {best.value:.3f} (best {best.value:.3f}, trial {best.number})" in output
    assert results(toy) == {"name": "optuna", "best_params": best.params, "best_value": best.value}


def test_several_objectives_have_the_order_of_their_names_and_the_directions_of_a_mapping(toy: Any) -> None:
    toy.run(
        "n_trials=6",
        "as_mapping=true",
        "hydra.sweeper.metric=[size, distance]",
        "hydra.sweeper.direction={distance: minimize, size: maximize, other: minimize}",
    )
    assert toy.study.directions == [MAXIMIZE, MINIMIZE]
    assert [t.values[0] for t in toy.trials] == [abs(t.params["x"]) for t in toy.trials]
    front = [
        t
        for t in toy.trials
        if not any(
            o.values[0] >= t.values[0] and o.values[1] <= t.values[1] and o.values != t.values for o in toy.trials
        )
    ]
    assert 0 < len(front) < 6
    found = results(toy)
    assert found["name"] == "optuna"
    key = lambda solution: solution["values"]  # noqa: E731
    expected = [{"params": t.params, "values": t.values} for t in front]
    assert sorted(found["solutions"], key=key) == sorted(expected, key=key)
    assert all(not t.intermediate_values for t in toy.trials), "there is no one value to report"


@pytest.mark.slow
def test_several_objectives_of_a_tuple_have_the_directions_of_a_list(toy: Any) -> None:
    output = toy.run("two_objectives=true", "hydra.sweeper.direction=[minimize, maximize]", "n_trials=3").output
    assert toy.study.directions == [MINIMIZE, MAXIMIZE]
    for trial in toy.trials:
        assert trial.values[1] == abs(trial.params["x"])
        assert f"trial {trial.number}/3  value_0 {trial.values[0]:.3f}, value_1 {trial.values[1]:.3f}" in output


def test_the_best_trial_keeps_to_the_constraints(toy: Any) -> None:
    toy.run(
        "n_trials=6",
        "as_mapping=true",
        "hydra.sweeper.metric=distance",
        "hydra.sweeper.constraints={size: '<= 0.5', count: '>= 1', distance: 2}",
        # The best distance, which breaks one or the other constraint in two of three
        "hydra.sweeper.enqueue=[{x:0.6,n:2,colour:blue},{x:0.3,n:0,colour:blue},{x:0.4,n:3,colour:blue}]",
    )
    for trial in toy.trials:
        assert trial.state == TrialState.COMPLETE
        size, count = abs(trial.params["x"]), trial.params["n"]
        assert trial.constraints == pytest.approx({"size": size - 0.5, "count": 1 - count, "distance": trial.value - 2})
    kept = [t for t in toy.trials if all(excess <= 0 for excess in t.constraints.values())]
    best = min(kept, key=lambda t: t.value)
    assert best.value > min(t.value for t in toy.trials)
    assert results(toy)["best_params"] == best.params


@pytest.mark.slow
def test_what_the_task_does_not_give_fails_its_trial_with_the_name(toy: Any) -> None:
    changing = "hydra.sweeper.may_change=[as_mapping,n_trials]"
    toy.run("n_trials=1", changing, "as_mapping=true", code=1)
    toy.run("n_trials=2", changing, "hydra.sweeper.constraints={weight: 1}", code=1)
    assert [t.user_attrs["cause"] for t in toy.trials] == [
        "Expected the task to return value, got distance, size, count",
        "Expected the task to give the number weight for its constraint, got None",
    ]
    assert toy.states() == ["FAIL", "FAIL"]


@pytest.mark.slow
def test_a_user_attribute_may_be_a_constraint_and_text_is_none(toy: Any) -> None:
    toy.run("n_trials=1", "hydra.sweeper.constraints={colour: 1}", code=1)
    assert "number colour for its constraint, got " in toy.trials[0].user_attrs["cause"]


@pytest.mark.slow
def test_a_failed_trial_of_several_objectives_is_no_solution(toy: Any) -> None:
    toy.run(
        "n_trials=3",
        "as_mapping=true",
        "hydra.sweeper.metric=[size, distance]",
        "nan_at=[0]",
        "hydra.sweeper.direction=[minimize, minimize]",
    )
    assert toy.states() == ["FAIL", "COMPLETE", "COMPLETE"]
    assert toy.trials[0].user_attrs["cause"] == "Expected 2 objective values, got 1"
    assert all(solution["params"] != toy.trials[0].params for solution in results(toy)["solutions"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["direction=[minimize, minimize]", "metric=[a, b]", "pruner"], "Expected no pruner with 2 objectives"),
        (["direction=[minimize, minimize]", "metric=[a, b, c]"], "got 2 directions (minimize, minimize) for a, b, c"),
        (["direction={a: minimize}", "metric=[a, b]"], "Expected objectives out of a, got b"),
        (["direction=[]", "metric=[]"], "a list of names that differ, got []. Say hydra.sweeper.metric=NAME."),
        (["direction=[]"], "got 0 directions () for value"),
        (["metric=null"], "to be a name, or a list of names that differ, got null"),
        (["metric=[a, a]", "direction=[minimize, maximize]"], "a list of names that differ, got ['a', 'a']"),
        (["metric={a: 1}"], "a list of names that differ, got {'a': 1}"),
        (["constraints={size: '<= nan'}"], "bound of the constraint `size` to be a number"),
        (["direction=upwards"], "Expected the direction minimize or maximize, got upwards"),
        (["constraints={size: '< 1'}"], "bound of the constraint `size` to be a number"),
        (["constraints={size: big}"], "bound of the constraint `size` to be a number"),
    ],
)
def test_objectives_that_do_not_go_together_are_refused(overrides: list[str], message: str, toy: Any) -> None:
    given = ["hydra/sweeper/pruner=median" if o == "pruner" else f"hydra.sweeper.{o}" for o in overrides]
    output = toy.run(*given, code=1).output
    assert message in output
    assert "Traceback" not in output
    assert not (toy.folder / "0").exists()


def test_numbers_of_numpy_are_held_to_constraints() -> None:
    job = JobReturn()
    job.return_value, job.status = {"seconds": np.float32(2), "text": "2"}, JobStatus.COMPLETED
    assert violations({"seconds": "<= 1.5"}, create_trial(value=0.0), job) == {"seconds": 0.5}
    with pytest.raises(ValueError, match="the number text for its constraint, got '2'"):
        violations({"text": 1}, create_trial(value=0.0), job)
