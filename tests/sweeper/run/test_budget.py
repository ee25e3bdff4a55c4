"""Limits other than the number of trials: wall-clock time, and trials that bring nothing better."""

import re
import shutil
import time
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.config import FinalistsConfig, Settings
from docclf.sweeper.job.trial import JobTrial
from docclf.sweeper.run.asker import Asker
from docclf.sweeper.run.finalists.entrants import Entrant
from docclf.sweeper.run.limits import Clock, Limits, seconds_spent
from docclf.sweeper.screen.forecast import Plan
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.samplers import make_sampler
from docclf.sweeper.study.finalists import scored
from docclf.sweeper.study.outcome import Outcome, tell
from docclf.sweeper.study.process import this_process
from docclf.sweeper.study.tally import Tally
from docclf.sweeper.study.trials import counted, last_improvement


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
    assert "The time budget ran out (timeout=1.5 s)" in output
    toy.run(f"n_trials={done + 1}")
    assert len(toy.trials) == done + 1


@pytest.mark.slow
def test_the_trial_of_another_process_is_not_waited_for_beyond_the_budget(toy: Any) -> None:
    toy.run("n_trials=1")
    toy.study.ask().set_user_attr("owner", this_process())  # which lives as long as this test
    process = toy.start("n_trials=2", "hydra.sweeper.timeout=0.5")
    try:
        output = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode == 0 and "The time budget ran out (timeout=0.5 s" in output, output
    assert toy.states() == ["COMPLETE", "RUNNING"]


@pytest.mark.slow
def test_a_trial_that_stops_when_time_is_over_does_not_count_and_is_tried_again_however_often(toy: Any) -> None:
    command = (
        "n_trials=2",
        "heeds_time=true",
        "hydra.sweeper.max_failure_rate=0",
        "hydra.sweeper.may_change=[seconds]",
    )
    for number in range(3):
        timeout = 5 * (number + 1)  # of all runs together, the last step of each included
        output = toy.run(*command, f"hydra.sweeper.timeout={timeout}", "seconds=8").output
        assert toy.states() == (number + 1) * ["FAIL"]
        assert re.search(rf"trial {number}(/2)?  out of time", output)
        assert re.search(rf"The time budget ran out \(timeout={timeout} s.*\). Raise it to continue", output)
        assert "Traceback" not in output
    output = toy.run(*command).output
    assert "0 of 2 trials done" in output
    assert toy.states() == [*3 * ["FAIL"], "COMPLETE", "COMPLETE"]
    first, *others, last = toy.trials
    assert [t.user_attrs.get("interrupted") for t in toy.trials] == [*3 * ["timeout"], None, None]
    assert [t.user_attrs.get("retry_of") for t in toy.trials] == [None, 0, 1, 2, None]
    assert [t.params for t in others] == 3 * [first.params]
    assert last.params != first.params


@pytest.mark.slow
def test_trials_that_were_asked_for_together_stop_together_and_are_all_tried_again(toy: Any) -> None:
    command = ("n_trials=3", "heeds_time=true", "hydra.sweeper.n_jobs=2", "steps=40")
    for timeout in (4, 30):  # on a slow machine both have begun by the second one
        toy.run(*command, f"hydra.sweeper.timeout={timeout}", "seconds=40")
        if timeout == 30 or [t.user_attrs.get("interrupted") for t in toy.trials] == ["timeout", "timeout"]:
            break
        shutil.rmtree(toy.folder)
    assert [t.user_attrs.get("interrupted") for t in toy.trials] == ["timeout", "timeout"]
    toy.run(*command)
    assert [t.user_attrs.get("retry_of") for t in toy.trials] == [None, None, 0, 1, None]
    assert [t.params for t in toy.trials[:2]] == [t.params for t in toy.trials[2:4]]
    assert toy.states() == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


@pytest.mark.slow
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


# One budget for the trials and the finalists


def ended(number: int, seconds: float, **attributes: Any) -> FrozenTrial:
    trial = create_trial(value=float(number), user_attrs=attributes)
    trial.number = number
    trial.datetime_start = datetime(2026, 1, 1)
    trial.datetime_complete = trial.datetime_start + timedelta(seconds=seconds)
    return trial


def test_so_much_time_is_kept_as_the_finalists_will_take() -> None:
    tally, plan = Tally([StudyDirection.MINIMIZE]), Plan(20, n_finalists=4)
    assert tally.finalists_seconds(plan) == 0.0, "nothing is known"
    trials = [ended(0, 9.0, role="baseline"), ended(1, 3.0)]
    tally.update(trials)
    assert tally.finalists_seconds(plan) == pytest.approx(3 * 3.0), "the next trial may be a third one"
    tally.update([*trials, *[ended(number, 3.0) for number in range(2, 9)]])
    assert tally.finalists_seconds(plan) == pytest.approx(4 * 3.0)


def test_cheap_finalists_cost_little_however_dear_the_others_were() -> None:
    tally, plan = Tally([StudyDirection.MINIMIZE]), Plan(20, n_finalists=3)
    heads = [ended(number, 1.0, rung="head") for number in range(6)]
    tally.update([*heads, *[ended(number, 30.0, rung="last") for number in range(6, 12)]])
    assert tally.finalists_seconds(plan) == pytest.approx(3.0)


def test_the_best_trial_can_begin_again_however_cheap_the_others_were() -> None:
    tally, plan = Tally([StudyDirection.MAXIMIZE]), Plan(20, n_finalists=3, is_race=True)
    tally.update([ended(0, 50.0, role="baseline"), *(ended(n, 20.0) for n in range(1, 6)), ended(6, 60.0)])
    assert tally.finalists_seconds(plan) == pytest.approx(1.3 * 60.0)
    first = Tally([StudyDirection.MINIMIZE])
    first.update([ended(0, 50.0, role="baseline"), *(ended(n, 20.0) for n in range(1, 6))])
    assert first.finalists_seconds(plan) < 60.0, "trial 0 computed what others find computed"


def test_cheap_finalists_get_their_time_though_a_trial_sees_late_that_its_own_is_over() -> None:
    tally, plan = Tally([StudyDirection.MINIMIZE]), Plan(20, n_finalists=3)
    dear = [ended(number, 30.0, rung="last") for number in range(6, 9)]
    for trial in dear:
        trial.intermediate_values = {0: 1.0, 1: 1.0, 2: 1.0}
    tally.update([*(ended(number, 1.0, rung="head") for number in range(6)), *dear])
    assert tally.finalists_seconds(plan) == pytest.approx(3.0 + 10.0)


@pytest.mark.parametrize("set_by", [-3600.0, 7200.0], ids=["set back", "set forward"])
def test_a_clock_that_is_set_neither_gives_nor_takes_time(set_by: float, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
    clock = Clock(study, time.time(), timeout=60.0)
    limits = Limits(Settings(timeout=60.0), [StudyDirection.MINIMIZE], clock.deadline)
    before = JobTrial(asked_until(study, limits.stops_at))

    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + set_by)
    clock.tick()
    assert 0 <= seconds_spent(study) < 30 and 0 <= limits.spent < 0.5
    assert not limits.is_over([ended(0, 1.0)])
    assert not before.out_of_time()
    late = JobTrial(asked_until(study, limits.stops_at))
    assert not late.out_of_time() and late.is_wanted()
    assert JobTrial(asked_until(study, limits.stops_at - 60)).out_of_time()


def test_time_in_which_several_runs_were_under_way_counts_once() -> None:
    study = optuna.create_study()
    for name, run in (("a", [0, 10]), ("b", [5, 20]), ("c", [30, 100])):
        study.set_user_attr(f"run {name}", run)
    assert seconds_spent(study, until=40) == 30.0


def asked_until(study: optuna.Study, deadline: float) -> optuna.Trial:
    """A trial of a search that stops then."""
    asker = Asker(study)
    asker.deadline = deadline
    return asker.ask(asker.take())


@pytest.mark.parametrize("top_k", [0, 3])
def test_no_trial_starts_in_the_time_of_the_finalists(top_k: int, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(timeout=100.0, finalists=FinalistsConfig(top_k=top_k))
    limits = Limits(settings, [StudyDirection.MINIMIZE], time.time() + 50)
    assert not limits.is_over([ended(0, 1.0)])
    limits.reserve = 60.0
    with caplog.at_level("INFO"):
        assert limits.is_over([ended(0, 1.0)])
    assert ("is kept for the finalists" in caplog.text) == (top_k > 0)


SHORT = (
    "hydra.sweeper.finalists.top_k=1",
    "hydra.sweeper.baseline=true",
    "hydra.sweeper.finalists.overrides={seconds: 60}",
    "heeds_time=true",
    "steps=100",
    "n_trials=2",
)


def finalists(toy: Any) -> list[FrozenTrial]:
    """Those that were to be re-evaluated, if it came to that."""
    is_there = "toy-finalists" in optuna.get_all_study_names(toy.storage)
    return optuna.load_study(study_name="toy-finalists", storage=toy.storage).get_trials() if is_there else []


@pytest.mark.slow
def test_finalists_without_time_are_stopped_the_best_trial_wins_and_later_they_are_scored(toy: Any) -> None:
    for timeout in (5, 40):  # on a slow machine the first finalist has begun by the second one
        output = toy.run(*SHORT, f"hydra.sweeper.timeout={timeout}").output
        states = [(t.state.name, t.user_attrs.get("interrupted")) for t in finalists(toy)]
        if timeout == 40 or ("FAIL", "timeout") in states:
            break
        shutil.rmtree(toy.folder)
    assert states[:2] == [("FAIL", "timeout"), ("WAITING", None)], "the first was stopped, the second did not start"
    assert "No finalist finished, so the best trial wins by its search score" in output
    assert scored(toy.study) == []
    (toy.folder / "optimization_results.yaml").stat()
    toy.run(*SHORT[:2], "hydra.sweeper.finalists.overrides={seconds: 0}", *SHORT[3:])
    assert len(scored(toy.study)) == 2


def test_a_search_without_a_total_ends_with_its_time(toy: Any) -> None:
    output = toy.run("hydra.sweeper.n_trials=null", "hydra.sweeper.timeout=0.02m").output
    assert len(toy.trials) >= 1
    assert "trial 0  x=" in output and "The time budget ran out (timeout=1.2 s" in output


def test_what_a_task_tells_of_its_trials_counts_more_than_what_they_took() -> None:
    tally, plan = Tally([StudyDirection.MINIMIZE]), Plan(20, n_finalists=3)
    trials = [ended(0, 17.0, role="baseline", seconds_again=4.0), ended(1, 16.0, seconds_again=5.0)]
    tally.update(trials)
    assert tally.finalists_seconds(plan) == pytest.approx(3 * 4.5)
    assert [Entrant.of(trial, trials).attributes["expected_seconds"] for trial in trials] == [4.0, 5.0]


def test_the_first_trial_says_little_of_those_to_come() -> None:
    tally = Tally([StudyDirection.MINIMIZE])
    tally.update([ended(0, 9.0, role="baseline")])
    assert tally.finalists_seconds(Plan(20, n_finalists=4)) == pytest.approx(9.0)
