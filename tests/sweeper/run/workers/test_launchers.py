"""Hydra's other launchers with several workers: what starts, what dies, what is stopped."""

import signal
from typing import Any

import pytest
from processes import descendants, runs, wait_until

from docclf.sweeper.run.workers.launchers import death

LAUNCHERS = ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_runs_a_trial_in_each_of_its_workers(launcher: str, toy: Any) -> None:
    toy.run(f"hydra/launcher={launcher}", "n_trials=5", "hydra.sweeper.n_jobs=2", "raise_at=[1]", "prune_at=[2]")
    assert toy.states() == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE", "COMPLETE"]
    assert toy.folders() == list(range(5))
    for trial in toy.trials:
        assert toy.config(trial.number).x == trial.params["x"]


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "n_jobs"), [("joblib", 1), ("submitit_local", 2)])
def test_ctrl_c_stops_the_jobs_of_a_launcher(launcher: str, n_jobs: int, toy: Any) -> None:
    process = toy.start(f"hydra/launcher={launcher}", "n_trials=4", f"hydra.sweeper.n_jobs={n_jobs}", "seconds=120")
    log = toy.folder / "0" / "app.log"
    wait_until(lambda: process.poll() is not None or (log.is_file() and "begin" in log.read_text()))
    everyone = [process.pid, *descendants(process.pid)]
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    wait_until(lambda: not any(map(runs, everyone)), 5)
    assert set(toy.states()) == {"FAIL"}


@pytest.mark.slow
def test_a_job_of_submitit_that_is_killed_is_tried_again(toy: Any) -> None:
    toy.run("hydra/launcher=submitit_local", "n_trials=3", "hydra.sweeper.n_jobs=2", "signal_at=[1, 1]")
    assert [t.state.name for t in toy.counted()] == 3 * ["COMPLETE"]
    dead = toy.trials[1]
    assert dead.user_attrs["interrupted"] == "process"
    assert dead.user_attrs["cause"].startswith("its job ended without a result")


@pytest.mark.slow
def test_a_launcher_that_cannot_launch_is_told_and_nothing_is_left_open(toy: Any) -> None:
    output = toy.run("hydra/launcher=submitit_slurm", "n_trials=3", "hydra.sweeper.n_jobs=2", code=1).output
    assert "Could not detect" in output or "sbatch" in output
    assert "RUNNING" not in toy.states()


def test_an_error_of_the_launcher_itself_is_no_death() -> None:
    assert death(RuntimeError("sbatch: command not found")) is None
