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

from docclf.sweeper import machine
from docclf.sweeper.launchers import death
from docclf.sweeper.machine import n_cores, n_workers, visible_gpus, worker_environment
from docclf.sweeper.workers import _held_signals

BASELINE = {"x": 0.5, "n": 1, "colour": "green"}


@pytest.fixture(scope="module")
def shared(new_toy: Any) -> Any:
    """A search by two workers, of which the second trial takes until the last but one has begun."""
    toy = new_toy()
    toy.result = toy.run(
        "n_trials=8", "hydra.sweeper.n_jobs=2", "seconds=0.1", "hydra.sweeper.baseline=true",
        "await_at=[[1, multirun/toy/6/app.log]]",
    )  # fmt: skip
    return toy


def counted(toy: Any) -> list[Any]:
    return [trial for trial in toy.trials if not trial.user_attrs.get("interrupted")]


def test_workers_share_the_total_and_no_trial_runs_twice(shared: Any) -> None:
    assert shared.states() == 8 * ["COMPLETE"]
    assert shared.folders() == list(range(8))
    for trial in shared.trials:
        text = (shared.folder / str(trial.number) / "app.log").read_text()
        assert re.findall("begin x=(.*)", text) == [str(trial.params["x"])]
        assert len(trial.intermediate_values) == 3
    assert [t.user_attrs.get("role") for t in shared.trials] == ["baseline"] + 7 * [None]


def test_workers_run_at_the_same_time_and_none_waits_for_the_other(shared: Any) -> None:
    waiting = shared.trials[1]
    meanwhile = {t.number for t in shared.trials if t.datetime_start < waiting.datetime_complete}
    assert meanwhile >= set(range(7)), "the other worker ran them, one after another"


def test_every_line_on_the_screen_says_which_trial_it_is_of(shared: Any) -> None:
    lines = [line for line in shared.result.output.splitlines() if "begin x=" in line]
    xs = [re.search(r"  (\d+): begin x=(\S+)$", line).groups() for line in lines]  # type: ignore[union-attr]
    assert sorted(xs) == sorted((str(t.number), str(t.params["x"])) for t in shared.trials)


def test_workers_import_what_they_need_while_the_data_are_checked(toy: Any) -> None:
    """The preflight waits for the imports, of a module that is there and of one that is not."""
    toy.run(
        "n_trials=2", "hydra.sweeper.n_jobs=2", "limit=2", "seconds=0.3", "hydra.sweeper.preload=[absent,heavy]",
        "hydra.sweeper.preflight=hooks.await_imports",
    )  # fmt: skip
    imported = {path.name.partition("-")[2] for path in toy.cwd.glob("imported-*")}
    assert {str(trial.user_attrs["process"]) for trial in toy.trials} == imported


def test_no_more_processes_start_than_there_are_trials_and_none_for_a_search_that_was_here(toy: Any) -> None:
    command = ("n_trials=2", "hydra.sweeper.n_jobs=4", "seconds=0", "hydra.sweeper.preload=[heavy]")
    toy.run(*command, "limit=2", "hydra.sweeper.preflight=hooks.await_imports")
    toy.run(*command, "limit=2", "hydra.sweeper.preflight=hooks.await_imports")
    assert len(list(toy.cwd.glob("imported-*"))) == 2


def test_sigterm_while_workers_import_ends_all_of_them_tidily(toy: Any) -> None:
    process = toy.start(
        "hydra.sweeper.n_jobs=2", "limit=3", "hydra.sweeper.preload=[heavy]",
        "hydra.sweeper.preflight=hooks.await_imports",
    )  # fmt: skip
    wait_until(lambda: len(list(toy.cwd.glob("imported-*"))) == 2)
    everyone = [process.pid, *descendants(process.pid)]
    process.terminate()
    output = process.communicate(timeout=60)[0]
    assert (process.returncode, output) == (143, "")
    wait_until(lambda: not any(map(runs, everyone)))
    assert shared_memory(everyone) == []


def test_a_signal_waits_until_a_process_that_starts_is_known() -> None:
    with pytest.raises(KeyboardInterrupt), _held_signals():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # Python would have raised it here
        raised_before_the_end = False
    assert not raised_before_the_end
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_data_that_are_refused_wait_for_no_import_and_leave_nothing_running(toy: Any) -> None:
    (toy.cwd / "slow").touch()
    process = toy.start(
        "hydra.sweeper.n_jobs=2", "limit=2", "hydra.sweeper.preload=[heavy]", "hydra.sweeper.preflight=hooks.refuse"
    )
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and output.strip() == "Expected other data."
    started = [int(path.name.partition("-")[2]) for path in toy.cwd.glob("imported-*")]
    assert len(started) == 2
    wait_until(lambda: not any(map(runs, started)))
    assert shared_memory([process.pid, *started]) == []


@pytest.mark.slow
def test_a_slow_trial_keeps_nobody_waiting(toy: Any) -> None:
    """One trial of 3 s beside many short ones: with a barrier they would come in pairs."""
    toy.run("n_trials=12", "hydra.sweeper.n_jobs=2", "slow_at=[1]", "seconds=0.3")
    slow = toy.trials[1]
    meanwhile = [t for t in toy.trials if slow.datetime_start < t.datetime_start < slow.datetime_complete]
    assert len(meanwhile) >= 4


@pytest.mark.slow
def test_a_worker_that_grows_is_not_replaced(toy: Any) -> None:
    """It may have mapped another page cache, or trained with larger batches."""
    output = toy.run("n_trials=8", "hydra.sweeper.n_jobs=2", "grow_at=[2, 3]", "seconds=1.5").output
    assert len({trial.user_attrs["process"] for trial in toy.trials}) == 2
    assert "memory leak" not in output


def test_a_killed_worker_is_replaced_and_its_trial_tried_again(toy: Any) -> None:
    output = toy.run(
        "n_trials=6", "hydra.sweeper.n_jobs=2", "hydra.sweeper.baseline=true", "signal_at=[0, 1]", "seconds=0.3"
    ).output
    dead = toy.trials[0]
    assert (dead.state.name, dead.user_attrs["interrupted"]) == ("FAIL", "process")
    assert "SIGKILL(-9)" in dead.user_attrs["cause"]
    (again,) = [trial for trial in toy.trials if trial.user_attrs.get("retry_of") == 0]
    assert (again.params, again.state.name) == (BASELINE, "COMPLETE")
    assert again.user_attrs["role"] == "baseline"
    assert [trial.state.name for trial in counted(toy)] == 6 * ["COMPLETE"]
    assert len(toy.trials) == 7
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_trial_that_kills_its_worker_twice_has_failed_and_the_search_goes_on(toy: Any) -> None:
    toy.run(
        "n_trials=4", "hydra.sweeper.n_jobs=2", "hydra.sweeper.baseline=true", "deadly=green", "colour=green,blue",
        "hydra/sweeper/sampler=random", "hydra.sweeper.max_failure_rate=1",
    )  # fmt: skip
    assert len(counted(toy)) == 4
    for trial in counted(toy):
        assert trial.state.name == ("FAIL" if trial.params["colour"] == "green" else "COMPLETE")
    tries = [t for t in toy.trials if t.params == BASELINE | {"colour": "green"}]
    assert [t.user_attrs.get("interrupted") for t in tries] == ["process", None]


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


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_to_all_ends_search_and_workers_and_leaves_nothing_behind(
    number: signal.Signals, code: int, toy: Any
) -> None:
    process = start_two_long_trials(toy)
    everyone = [process.pid, *descendants(process.pid)]
    for pid in [process.pid] if number == signal.SIGTERM else everyone:  # Ctrl-C reaches all, kill one
        os.kill(pid, number)
    sent = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert time.monotonic() - sent < 20
    assert "Go on with:\n" in output and "Traceback" not in output
    wait_until(lambda: not any(map(runs, everyone)), 5)
    assert shared_memory(everyone) == []
    assert toy.states() == ["FAIL", "FAIL"]
    assert {trial.user_attrs["interrupted"] for trial in toy.trials} == {"signal"}

    toy.run("n_trials=4", "hydra.sweeper.n_jobs=2", "seconds=0.1")
    assert [t.state.name for t in counted(toy)] == 4 * ["COMPLETE"]
    assert [t.params for t in toy.trials[2:4]] == [t.params for t in toy.trials[:2]]


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.3, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0])
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
    assert [t.state.name for t in counted(toy)] == 3 * ["COMPLETE"]
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
    assert len(counted(toy)) == 8
    wait_until(lambda: not any(map(runs, everyone)), 5)
    assert shared_memory(everyone) == []


def start_two_long_trials(toy: Any) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = toy.start("n_trials=4", "hydra.sweeper.n_jobs=2", "seconds=120")
    logs = [toy.folder / str(number) / "app.log" for number in (0, 1)]
    wait_until(lambda: process.poll() is not None or all(p.is_file() and "begin" in p.read_text() for p in logs))
    assert process.poll() is None, process.communicate()[0]
    return process


# Launchers

LAUNCHERS = ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_runs_a_trial_in_each_of_its_workers(launcher: str, toy: Any) -> None:
    toy.run(f"hydra/launcher={launcher}", "n_trials=5", "hydra.sweeper.n_jobs=2", "raise_at=[1]", "prune_at=[2]")
    assert toy.states() == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE", "COMPLETE"]
    assert toy.folders() == list(range(5))
    for trial in toy.trials:
        assert toy.config(trial.number).x == trial.params["x"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
@pytest.mark.parametrize("n_jobs", [1, 2])
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
    assert [t.state.name for t in counted(toy)] == 3 * ["COMPLETE"]
    dead = toy.trials[1]
    assert dead.user_attrs["interrupted"] == "process"
    assert dead.user_attrs["cause"].startswith("its job ended without a result")


@pytest.mark.slow
def test_a_launcher_that_cannot_launch_is_told_and_nothing_is_left_open(toy: Any) -> None:
    output = toy.run("hydra/launcher=submitit_slurm", "n_trials=3", "hydra.sweeper.n_jobs=2", code=1).output
    assert "Could not detect" in output or "sbatch" in output
    assert "RUNNING" not in toy.states()


# Shares of the machine


@pytest.mark.parametrize(
    ("environment", "gpus"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, ["0", "1", "2", "3"]),
        ({"CUDA_VISIBLE_DEVICES": "6, 4"}, ["6", "4"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8f2a,MIG-1b3c"}, ["GPU-8f2a", "MIG-1b3c"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, ["0"]),
    ],
)
def test_the_gpus_of_a_process_are_those_that_cuda_would_show_it(environment: dict[str, str], gpus: list[str]) -> None:
    assert visible_gpus(environment) == gpus


@pytest.mark.parametrize(
    ("n", "gpus", "expected"),
    [
        (4, "0,1,2,3", ["0", "1", "2", "3"]),
        (2, "5,7", ["5", "7"]),
        (2, "0,1,2,3", ["0", "1"]),
        (4, "5,7", ["5", "7", "5", "7"]),
        (2, "GPU-a", ["GPU-a", "GPU-a"]),
        (2, "", [None, None]),
    ],
)
def test_each_worker_sees_one_gpu_and_they_are_dealt_out_in_turn(n: int, gpus: str, expected: list[str | None]) -> None:
    given = [worker_environment(slot, n, {"CUDA_VISIBLE_DEVICES": gpus}) for slot in range(n)]
    assert [environment.get("CUDA_VISIBLE_DEVICES") for environment in given] == expected


def test_threads_are_shared_out_but_for_a_number_that_is_set() -> None:
    one, many = worker_environment(0, 1, {}), worker_environment(0, 10_000, {})
    assert one["OMP_NUM_THREADS"] == one["MKL_NUM_THREADS"] == str(n_cores())
    assert many["OMP_NUM_THREADS"] == "1", "never none"
    assert worker_environment(0, 2, {"OMP_NUM_THREADS": "3"}).keys() == {"MKL_NUM_THREADS"} | (
        {"CUDA_VISIBLE_DEVICES"} if visible_gpus({}) else set()
    )


def test_auto_is_one_a_gpu_or_one_a_core_as_far_as_memory_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert n_workers(3) == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    assert n_workers("auto") == 5
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(machine, "n_cores", lambda: 64)
    for gigabytes, expected in ((1, 1), (9, 4), (1000, 64)):
        monkeypatch.setattr(machine, "_free_memory", lambda gigabytes=gigabytes: gigabytes * 1024**3)
        assert n_workers("auto") == expected


def test_a_worker_has_its_share_in_its_environment(toy: Any) -> None:
    toy.run("n_trials=2", "hydra.sweeper.n_jobs=2", "note='${oc.env:MKL_NUM_THREADS,none}'")
    expected = os.environ.get("MKL_NUM_THREADS", str(max(1, n_cores() // 2)))
    assert [str(trial.user_attrs["note"]) for trial in toy.trials] == [expected, expected]


def test_an_error_of_the_launcher_itself_is_no_death() -> None:
    assert death(RuntimeError("sbatch: command not found")) is None
