"""Searches that signals, kills and chaos end, and that go on afterwards."""

import random
import re
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from processes import wait_until
from slowly import slowly

from docclf.sweeper.study.queue import retry_interrupted

SPACE = {
    "x": FloatDistribution(-1, 1),
    "n": IntDistribution(0, 4),
    "colour": CategoricalDistribution(["blue", "green", "red"]),
}
Outcome = tuple[dict[str, Any], str, float | None, dict[int, float]]


@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), pytest.param("SIGTERM", 143, marks=pytest.mark.slow)])
def test_an_interrupted_search_prints_the_command_that_finishes_it(signal: str, code: int, toy: Any) -> None:
    output = toy.run("n_trials=4", "signal_at=[1, 1]", f"signal={signal}", code=code).output
    assert "Traceback" not in output
    assert toy.states() == ["COMPLETE", "FAIL"], "no trial is left running"
    files, first = toy.files(0, 1), toy.outcomes()[:2]

    command = output.partition("Continue with:\n")[2].splitlines()[0].strip()
    toy.paste(command)
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert (toy.files(0, 1), toy.outcomes()[:2]) == (files, first)
    assert toy.trials[2].params == toy.trials[1].params


@pytest.mark.slow
@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_whose_exception_is_dropped_ends_the_search_after_the_trial(signal: str, code: int, toy: Any) -> None:
    output = toy.run("n_trials=4", "signal_at=[1, 1]", f"signal={signal}", "in_finaliser=true", code=code).output
    assert "Exception ignored in" in output
    assert toy.states() == ["COMPLETE", "COMPLETE"]
    assert "Continue with:\n" in output


@pytest.mark.parametrize(
    "how",
    [
        ("hydra.sweeper.custom_search_space=hooks.lose_ctrl_c",),
        *slowly((("signal_at=[1, 1]", "signal=SIGINT", "in_finaliser=true", "raise_at=[1]"),)),
    ],
    ids=["in the search", "in the job"],
)
def test_ctrl_c_that_becomes_another_error_ends_the_search_all_the_same(how: tuple[str, ...], toy: Any) -> None:
    output = toy.run("n_trials=3", *how, code=130).output
    assert "Continue with:\n" in output and "AttributeError" not in output
    assert toy.states() == ["COMPLETE", "FAIL"]
    assert toy.trials[1].user_attrs["interrupted"] == "signal"


@pytest.mark.parametrize("end", ["break_at=[[0, 1]]", *slowly("hydra.sweeper.constraints={size: 1}")])
def test_what_another_process_has_ended_stays_as_it_was_ended(end: str, toy: Any) -> None:
    """The job comes to be launched again, or to be held to a constraint; the search goes on with the next trial."""
    objective = ("as_mapping=true", "hydra.sweeper.metric=distance")
    held = "await_at=[[0, ended]]"
    process = toy.start("n_trials=2", held, "hydra.sweeper.max_failure_rate=1", *objective, end)
    wait_until(lambda: (toy.folder / "0" / "app.log").exists())
    toy.study.tell(0, state=TrialState.FAIL)
    (toy.cwd / "ended").touch()
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "Traceback" not in output, output
    assert "trial 0 was ended by another process meanwhile; its local result is discarded" in output
    assert toy.states() == ["FAIL", "COMPLETE"]


def test_a_killed_trial_is_marked_and_tried_again_and_the_total_is_exact(toy: Any) -> None:
    command = ("n_trials=4", "hydra.sweeper.baseline=true", "hydra/sweeper/pruner=median")
    toy.run(*command, "signal_at=[0, 1]", code=-9)
    assert toy.states() == ["RUNNING"]
    files = toy.files(0)

    toy.run(*command)
    assert toy.states() == ["FAIL"] + 4 * ["COMPLETE"]
    dead, again = toy.trials[:2]
    assert dead.user_attrs["interrupted"] == "process"
    assert dead.user_attrs["cause"].startswith("interrupted")
    assert again.params == dead.params == {"x": 0.5, "n": 1, "colour": "green"}
    assert (again.user_attrs["role"], again.user_attrs["retry_of"]) == ("baseline", 0)
    assert toy.files(0) == files


def test_what_a_killed_search_had_not_exported_yet_the_next_run_exports_first(toy: Any) -> None:
    command = ("n_trials=2", "hydra.sweeper.on_best=hooks.note_best", "signal=SIGKILL", "signal_at=[1, 0]")
    toy.run(*command, code=-9)
    assert toy.states() == ["COMPLETE"] and not (toy.folder / "best.txt").exists()
    toy.run(*command, code=-9)
    assert toy.states() == ["COMPLETE", "RUNNING"] and (toy.folder / "best.txt").read_text() == "0"


@pytest.mark.slow
def test_parameters_that_kill_twice_are_given_up_but_for_the_baseline(toy: Any) -> None:
    toy.run("n_trials=3", "signal_at=[1, 0]", code=-9)
    toy.run("n_trials=3", "signal_at=[2, 0]", code=-9)
    toy.run("n_trials=3")
    assert toy.states() == ["COMPLETE", "FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    killer = toy.trials[1].params
    assert toy.trials[2].params == killer
    assert killer not in [trial.params for trial in toy.trials[3:]]


@pytest.mark.slow
def test_parameters_that_came_further_each_time_are_no_killers(toy: Any) -> None:
    toy.run("n_trials=3", "signal_at=[1, 0]", code=-9)
    toy.run("n_trials=3", "signal_at=[2, 1]", code=-9)
    toy.run("n_trials=3")
    assert toy.states() == ["COMPLETE", "FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    assert [trial.params for trial in toy.trials[2:4]] == 2 * [toy.trials[1].params]


@pytest.mark.parametrize(
    ("ends", "again"),
    [
        ([("process", 3), ("process", 8)], True),
        ([("process", 3), ("process", 3)], False),
        ([("process", 3), ("process", 0)], False),
        ([("process", 0), ("process", 0)], False),
        ([("process", 1), ("process", 3), ("process", 3)], False),
        ([("process", 3), ("process", 5), ("process", 4)], False),
        ([("process", 3), ("signal", 8), ("process", 0)], True),
        ([("process", 1), (None, 3), ("process", 0)], True),
    ],
    ids=str,
)
def test_what_died_is_tried_again_unless_it_has_died_there_before(
    ends: list[tuple[str | None, int]], again: bool
) -> None:
    """How each trial with the same parameters ended, after how many reports; None paused, and another one went on."""
    study = optuna.create_study()
    for number, (why, n_reports) in enumerate(ends):
        study.enqueue_trial({"x": 0.5}, user_attrs={"retry_of": number - 1} if number else {})
        trial = study.ask({"x": FloatDistribution(0, 1)})
        for step in range(n_reports):
            trial.report(0.5, step)
        trial.set_user_attr("interrupted", why)
        study.tell(trial, state=TrialState.FAIL if why else TrialState.PRUNED)
    retry_interrupted(study)
    assert len(study.trials) == len(ends) + again


@pytest.mark.slow
@pytest.mark.parametrize("state", ["popped", "marked"])
def test_a_trial_that_died_between_two_writes_loses_nothing(state: str, toy: Any) -> None:
    toy.run("n_trials=1")
    params = {"x": 0.25, "n": 2, "colour": "blue"}
    study = toy.study
    if state == "popped":  # taken from the queue, no parameter written yet
        study.enqueue_trial(params, user_attrs={"role": "baseline"})
        study.ask()
    else:  # failed as interrupted, not queued again yet
        trial = study.ask(SPACE)
        params = trial.params
        trial.set_user_attr("interrupted", True)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    toy.run("n_trials=3")
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    (again,) = [trial for trial in toy.trials if trial.user_attrs.get("retry_of") == 1]
    assert again.params == params, "the next one, or the one after: asked for a second ago, it could be alive"


# Of searches that are killed: never done before they are, with a baseline
ENDLESS = ("n_trials=1000", "seconds=0.05", "hydra.sweeper.baseline=true")


def kill_at_random(toy: Any, rng: random.Random, latest: float) -> None:
    process = toy.start(*ENDLESS)
    time.sleep(rng.uniform(0.3, latest))
    process.kill()
    process.communicate()
    assert process.returncode == -9


def finish(toy: Any) -> None:
    """Go on for three more trials: then there is exactly the total, none left open or run twice, no folder shared."""
    total = 3
    if (toy.folder / "study.db").exists():
        trials = toy.trials if optuna.get_all_study_names(toy.storage) else []
        total += sum(trial.state.is_finished() and not trial.user_attrs.get("interrupted") for trial in trials)
    toy.run(*ENDLESS, f"n_trials={total}")
    finished = [trial for trial in toy.trials if not trial.user_attrs.get("interrupted")]
    assert len(finished) == total
    assert {trial.state.name for trial in finished} == {"COMPLETE"}
    assert {trial.state.name for trial in toy.trials} <= {"COMPLETE", "FAIL"}
    for trial in finished:
        text = (toy.folder / str(trial.number) / "app.log").read_text()
        assert re.findall("begin x=(.*)", text) == [str(trial.params["x"])]
    baselines = [trial.params for trial in finished if trial.user_attrs.get("role") == "baseline"]
    assert baselines == [{"x": 0.5, "n": 1, "colour": "green"}]


@pytest.mark.slow
def test_a_search_killed_at_random_moments_ends_with_its_total_and_loses_no_trial(toy: Any) -> None:
    rng = random.Random(7)
    kept: dict[int, Outcome] = {}
    files: dict[Path, tuple[int, bytes]] = {}
    for latest in (1.0, 3.0, 2.0, 3.0, 3.0):
        kill_at_random(toy, rng, latest)
        if (toy.folder / "study.db").exists() and optuna.get_all_study_names(toy.storage):
            now = dict(enumerate(toy.outcomes()))
            assert kept.items() <= now.items()
            assert files.items() <= toy.files(*now).items()
            kept = {number: outcome for number, outcome in now.items() if outcome[1] == "COMPLETE"}
            files = toy.files(*kept)
    finish(toy)
    assert kept.items() <= dict(enumerate(toy.outcomes())).items()
    assert files.items() <= toy.files(*range(len(toy.trials))).items()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_fresh_searches_killed_at_random_moments_end_with_their_total(seed: int, toy: Any) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        kill_at_random(toy, rng, 2.5)
    finish(toy)
