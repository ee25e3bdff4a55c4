"""Limits other than the number of trials: wall-clock time, and trials that bring nothing better."""

from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.outcome import Outcome, tell
from docclf.sweeper.samplers import make_sampler
from docclf.sweeper.space import parse_space
from docclf.sweeper.study import counted, last_improvement


def test_a_trial_that_breaks_a_constraint_is_no_improvement() -> None:
    def done(value: float, excess: float) -> FrozenTrial:
        return create_trial(value=value, constraints={"c": excess})

    trials = [done(0.1, 1.0), done(0.9, -1.0), done(0.8, -1.0), done(0.05, 2.0)]
    assert last_improvement(trials, [StudyDirection.MINIMIZE]) == 1


def test_a_task_that_ends_though_its_time_was_over_counts() -> None:
    study = optuna.create_study()
    trial = study.ask()
    trial.set_user_attr("interrupted", "timeout")
    (stored,) = study.get_trials()
    tell(study, stored, Outcome(TrialState.COMPLETE, values=(1.0,)))
    assert [t.value for t in counted(study.get_trials())] == [1.0]


@pytest.mark.filterwarnings("ignore:BruteForceSampler is experimental")
def test_a_brute_force_sampler_ends_its_space_without_an_error() -> None:
    sampler = make_sampler(
        OmegaConf.create({"_target_": "optuna.samplers.BruteForceSampler"}), parse_space({"n": "choice(1, 2)"}, []), 0
    )
    study = optuna.create_study(sampler=sampler)
    for _ in range(2):
        trial = study.ask({"n": CategoricalDistribution([1, 2])})
        tell(study, study.get_trials()[trial.number], Outcome(TrialState.COMPLETE, values=(1.0,)))
    assert sorted(t.params["n"] for t in study.get_trials()) == [1, 2]


@pytest.mark.slow
def test_a_search_out_of_time_stops_and_says_so_and_goes_on_later(toy: Any) -> None:
    output = toy.run("hydra.sweeper.timeout=1.5", "seconds=0.5", "n_trials=100").output
    done = len(toy.trials)
    assert 1 <= done < 10
    assert set(toy.states()) == {"COMPLETE"}, "a task that does not ask for the time comes to its end"
    assert "Stopped by" in output
    assert "timeout=1.5 seconds" in output
    toy.run(f"n_trials={done + 1}")
    assert len(toy.trials) == done + 1


@pytest.mark.slow
def test_a_trial_that_stops_when_time_is_over_does_not_count_and_is_tried_again_however_often(toy: Any) -> None:
    command = (
        "n_trials=2",
        "heeds_time=true",
        "hydra.sweeper.max_failure_rate=0",
        "hydra.sweeper.may_change=[seconds]",
    )
    for number in range(3):
        output = toy.run(*command, "hydra.sweeper.timeout=4", "seconds=8").output
        assert toy.states() == (number + 1) * ["FAIL"]
        assert f"trial {number}/2  out of time" in output
        assert "Stopped by timeout=4 seconds of this run; the same command goes on" in output
        assert "Traceback" not in output
    output = toy.run(*command).output
    assert "0 of 2 trials done" in output
    assert toy.states() == [*3 * ["FAIL"], "COMPLETE", "COMPLETE"]
    first, *others, last = toy.trials
    assert [t.user_attrs.get("interrupted") for t in toy.trials] == [*3 * ["timeout"], None, None]
    assert [t.user_attrs.get("retry_of") for t in toy.trials] == [None, 0, 1, 2, None]
    assert [t.params for t in others] == 3 * [first.params]
    assert last.params != first.params


def test_trials_that_were_asked_for_together_stop_together_and_are_all_tried_again(toy: Any) -> None:
    command = ("n_trials=3", "heeds_time=true", "hydra.sweeper.n_jobs=2", "steps=40")
    toy.run(*command, "hydra.sweeper.timeout=9", "seconds=40")  # both have begun by then, on a slow machine too
    assert [t.user_attrs.get("interrupted") for t in toy.trials] == ["timeout", "timeout"]
    toy.run(*command)
    assert [t.user_attrs.get("retry_of") for t in toy.trials] == [None, None, 0, 1, None]
    assert [t.params for t in toy.trials[:2]] == [t.params for t in toy.trials[2:4]]
    assert toy.states() == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


def test_a_search_without_a_better_score_in_so_many_trials_ends_as_a_success(toy: Any) -> None:
    best = "hydra.sweeper.enqueue=[{x:0.3,n:2,colour:blue}]"
    command = ("n_trials=50", best, "hydra.sweeper.stop_when_stagnant=3", "raise_at=[2]")
    output = toy.run(*command).output
    assert toy.states() == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert toy.trials[0].value == 0
    assert "Stopped by stop_when_stagnant=3: no better score in the last 3 trials" in output
    assert "Stopped by stop_when_stagnant=3" in toy.run(*command).output
    assert len(toy.trials) == 4


@pytest.mark.slow
def test_a_search_of_several_objectives_is_stagnant_when_its_front_is(toy: Any) -> None:
    toy.run(
        "n_trials=50",
        "two_objectives=true",
        "hydra.sweeper.direction=[minimize, minimize]",
        # Each of the first two is better in one objective; nothing is better than both together.
        "hydra.sweeper.enqueue=[{x:0.3,n:2,colour:blue},{x:0.0,n:2,colour:blue}]",
        "x=choice(0.0, 0.3, 0.9)",
        "hydra.sweeper.stop_when_stagnant=3",
    )
    assert len(toy.trials) == 5
    assert [t.number for t in toy.study.best_trials][:2] == [0, 1]
