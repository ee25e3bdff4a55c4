"""Several workers on one study: no barrier, no trial lost or doubled, and nothing left running."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from processes import descendants, runs, shared_memory, wait_until, workers

BASELINE = {"x": 0.5, "n": 1, "colour": "green"}


@pytest.fixture(scope="module")
def shared(new_toy: Any) -> Any:
    """A search by two workers, of which the second trial takes until the last but one has begun."""
    toy = new_toy()
    toy.result = toy.run(
        "n_trials=5", "hydra.sweeper.n_jobs=2", "seconds=0.1", "hydra.sweeper.baseline=true",
        "await_at=[[1, multirun/toy/3/app.log]]",
    )  # fmt: skip
    return toy


def test_workers_share_the_total_and_no_trial_runs_twice(shared: Any) -> None:
    assert shared.states() == 5 * ["COMPLETE"]
    assert shared.folders() == list(range(5))
    for trial in shared.trials:
        text = (shared.folder / str(trial.number) / "app.log").read_text()
        assert re.findall("begin x=(.*)", text) == [str(trial.params["x"])]
        assert len(trial.intermediate_values) == 3
    assert [t.user_attrs.get("role") for t in shared.trials] == ["baseline"] + 4 * [None]


def test_workers_run_at_the_same_time_and_none_waits_for_the_other(shared: Any) -> None:
    waiting = shared.trials[1]
    meanwhile = {t.number for t in shared.trials if t.datetime_start < waiting.datetime_complete}
    assert meanwhile >= set(range(4)), "the other worker ran them, one after another"


def test_every_line_on_the_screen_says_which_trial_it_is_of(shared: Any) -> None:
    lines = [line for line in shared.result.output.splitlines() if "begin x=" in line]
    xs = [re.search(r"  (\d+): begin x=(\S+)$", line).groups() for line in lines]  # type: ignore[union-attr]
    assert sorted(xs) == sorted((str(t.number), str(t.params["x"])) for t in shared.trials)


@pytest.mark.slow
def test_a_worker_that_grows_is_not_replaced(toy: Any) -> None:
    """It may have mapped another page cache, or trained with larger batches."""
    output = toy.run("n_trials=8", "hydra.sweeper.n_jobs=2", "grow_at=[2, 3]", "seconds=1.5").output
    assert len({trial.user_attrs["process"] for trial in toy.trials}) == 2
    assert "memory leak" not in output


def test_a_killed_worker_is_replaced_and_its_trial_tried_again(toy: Any) -> None:
    output = toy.run(
        "n_trials=4", "hydra.sweeper.n_jobs=2", "hydra.sweeper.baseline=true", "signal_at=[0, 1]", "seconds=0.1"
    ).output
    dead = toy.trials[0]
    assert (dead.state.name, dead.user_attrs["interrupted"]) == ("FAIL", "process")
    assert "SIGKILL(-9)" in dead.user_attrs["cause"]
    (again,) = [trial for trial in toy.trials if trial.user_attrs.get("retry_of") == 0]
    assert (again.params, again.state.name) == (BASELINE, "COMPLETE")
    assert again.user_attrs["role"] == "baseline"
    assert [trial.state.name for trial in toy.counted()] == 4 * ["COMPLETE"]
    assert len(toy.trials) == 5
    assert "trial 3/4  " in output and "trial 4  " in output and "trial 4/4" not in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_trial_that_kills_its_worker_twice_has_failed_and_the_search_goes_on(toy: Any) -> None:
    toy.run(
        "n_trials=4", "hydra.sweeper.n_jobs=2", "hydra.sweeper.baseline=true", "deadly=green", "colour=green,blue",
        "hydra/sweeper/sampler=random", "hydra.sweeper.max_failure_rate=1",
    )  # fmt: skip
    assert len(toy.counted()) == 4
    for trial in toy.counted():
        assert trial.state.name == ("FAIL" if trial.params["colour"] == "green" else "COMPLETE")
    tries = [t for t in toy.trials if t.params == BASELINE | {"colour": "green"}]
    assert [t.user_attrs.get("interrupted") for t in tries] == ["process", None]


@pytest.mark.slow
def test_what_runs_while_others_end_the_search_by_their_failures_is_no_killer(toy: Any) -> None:
    failing = "raise_at=[1,2,3,4,5]"
    output = toy.run("n_trials=9", "hydra.sweeper.n_jobs=2", failing, "await_at=[[0, never]]", code=1).output
    assert "5 of 5 trials failed, more than max_failure_rate" in output
    assert toy.trials[0].user_attrs["interrupted"] == "search"


@pytest.mark.slow
def test_a_search_whose_every_trial_kills_its_worker_ends_and_says_why(toy: Any) -> None:
    output = toy.run("n_trials=30", "hydra.sweeper.n_jobs=2", "deadly=green", "colour=green", code=1).output
    assert re.search(r"\d of \d trials failed, more than max_failure_rate", output)
    assert "SIGKILL" in output and "Traceback" not in output
    assert len(toy.trials) < 20


@pytest.mark.slow
def test_a_worker_that_dies_while_it_has_nothing_to_do_is_replaced_when_it_is_needed(toy: Any) -> None:
    process = toy.start("n_trials=2", "hydra.sweeper.n_jobs=2", "seconds=0.1", "slow_at=[1]")
    wait_until(lambda: (toy.folder / "1" / "app.log").exists())
    wait_until(lambda: "COMPLETE" in toy.states())
    (idle,) = [pid for pid in workers(process.pid) if not _holds(pid, "/1/app.log")]
    os.kill(idle, signal.SIGKILL)
    wait_until(lambda: not runs(idle))
    (busy,) = [pid for pid in workers(process.pid) if pid != idle]
    os.kill(busy, signal.SIGKILL)  # its trial goes to the first free worker, which is the one that is dead
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE"]
    assert toy.trials[2].user_attrs["retry_of"] == 1


def _holds(pid: int, file: str) -> bool:
    """Whether a process has a file of such a name open."""
    return any(file in str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_all_ends_search_and_workers_and_leaves_nothing_behind(
    number: signal.Signals, code: int, toy: Any
) -> None:
    process = start_two_long_trials(toy)
    everyone = [process.pid, *descendants(process.pid)]
    for pid in [process.pid] if number == signal.SIGTERM else everyone:  # a terminal reaches all, kill one
        os.kill(pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "Continue with:\n" in output and "Traceback" not in output
    wait_until(lambda: not any(map(runs, everyone)), 5)
    assert shared_memory(everyone) == []
    assert toy.states() == ["FAIL", "FAIL"]
    assert {trial.user_attrs["interrupted"] for trial in toy.trials} == {"signal"}

    toy.run("n_trials=4", "hydra.sweeper.n_jobs=2", "seconds=0.1")
    assert [t.state.name for t in toy.counted()] == 4 * ["COMPLETE"]
    assert [t.params for t in toy.trials[2:4]] == [t.params for t in toy.trials[:2]]


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.3, 1.5, 2.5, 4.0])
def test_ctrl_c_at_any_moment_leaves_nothing_behind(after: float, toy: Any) -> None:
    process = toy.start("n_trials=50", "hydra.sweeper.n_jobs=2", "seconds=0.3")
    time.sleep(after)
    everyone = [process.pid, *descendants(process.pid)]
    for pid in everyone:
        os.kill(pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0, output
    wait_until(lambda: not any(map(runs, everyone)), 5)
    assert shared_memory(everyone) == []
    if "Study toy" in output:
        assert process.returncode == 130
        # Python prints what is raised in a finaliser, and drops it.
        assert "Traceback" not in output or "Exception ignored in" in output
        assert "RUNNING" not in toy.states()


@pytest.mark.slow
def test_workers_end_within_seconds_when_the_search_is_killed(toy: Any) -> None:
    process = start_two_long_trials(toy)
    everyone = [process.pid, *descendants(process.pid)]
    assert len(workers(process.pid)) == 2
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(runs, everyone)), 5)
    assert shared_memory(everyone) == []
    toy.run("n_trials=3", "hydra.sweeper.n_jobs=2", "seconds=0.1")
    assert [t.state.name for t in toy.counted()] == 3 * ["COMPLETE"]
    assert len(toy.trials) == 5


@pytest.mark.slow
def test_a_search_that_comes_to_its_end_leaves_nothing_behind(toy: Any) -> None:
    process = toy.start("n_trials=8", "hydra.sweeper.n_jobs=2", "seconds=0.3", "signal_at=[2, 0]")
    wait_until(lambda: len(workers(process.pid)) == 2)
    everyone = {process.pid, *descendants(process.pid)}
    while process.poll() is None:
        everyone |= set(descendants(process.pid))
        time.sleep(0.05)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert len(toy.counted()) == 8
    wait_until(lambda: not any(map(runs, everyone)), 5)
    assert shared_memory(everyone) == []


def start_two_long_trials(toy: Any) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = toy.start("n_trials=4", "hydra.sweeper.n_jobs=2", "seconds=120")
    logs = [toy.folder / str(number) / "app.log" for number in (0, 1)]
    wait_until(lambda: process.poll() is not None or all(p.is_file() and "begin" in p.read_text() for p in logs))
    assert process.poll() is None, process.communicate()[0]
    return process
