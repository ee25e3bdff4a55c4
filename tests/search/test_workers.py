"""Searches on pages with several workers: processes of this machine, and what Hydra's launchers offer."""

import os
import re
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from processes import descendants, runs, shared_memory, wait_until, workers

pytestmark = pytest.mark.slow


def counted(search: Any) -> list[Any]:
    return [trial for trial in search.trials if not trial.user_attrs.get("interrupted")]


def memory(pid: int) -> float:
    """Resident memory of a process in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


@pytest.fixture(scope="module")
def shared(make_search: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """A search by two workers, and what it printed."""
    search = make_search(tmp_path_factory.mktemp("two workers"))
    return search, search.run("search.workers=2", "finalists.top_k=1")


def test_two_workers_leave_what_one_leaves(shared: tuple[Any, str]) -> None:
    search, _ = shared
    assert len(search.trials) == 4
    assert set(search.states) <= {"COMPLETE", "PRUNED"}
    assert [int(row["number"]) for row in search.table] == list(range(4))
    for trial in search.trials:
        result = search.read(f"{trial.number}/result.yaml")
        assert result["state"] == trial.state.name
    assert (search.folder / "best" / "config.yaml").is_file()
    assert (search.folder / "finalists").is_dir()


def test_one_log_holds_the_lines_of_all_workers_each_with_its_trial(shared: tuple[Any, str]) -> None:
    search, output = shared
    log = (search.folder / "train.log").read_text(encoding="utf-8")
    for text in (log, output):
        for trial in search.trials:
            assert f"trial {trial.number}/4" in text
            if trial.state.name == "COMPLETE":
                assert re.search(rf"\b{trial.number}: fold 1/2", text), f"no line of trial {trial.number}"
    assert "Traceback" not in log


def test_a_worker_without_a_trial_trains_folds_of_another_s_to_the_same_scores(
    search: Any, make_search: Any, tmp_path: Path
) -> None:
    long = ("search.n_trials=1", "validation.folds=4", "validation.epochs=6", "finalists.top_k=1", "logger=csv")
    output = search.run(*long, "search.workers=2")
    assert len(re.findall(r"fold \d/4  macro-F1 .* by another worker", output)) >= 2, "of the baseline and its finalist"
    assert "goes on without its helper" not in output and "Traceback" not in output
    alone = make_search(tmp_path / "alone")
    alone.run(*long)
    assert search.trials[0].value == alone.trials[0].value
    assert search.trials[0].intermediate_values == alone.trials[0].intermediate_values
    names = ["oof.csv", "folds.csv", *(f"fold_{fold}/metrics.csv" for fold in range(4)), ".hydra/config.yaml"]
    for folder, name in ((folder, name) for folder in ("0", "finalists/0") for name in names):
        found, expected = ((s.folder / folder / name).read_text() for s in (search, alone))
        assert found.replace("n_workers: 2", "").replace("workers: 2", "workers: 1") == expected, name
    weights = "finalists/0/model/fold_{}.safetensors"
    for fold in range(4):
        found, expected = ((s.folder / weights.format(fold)).read_bytes() for s in (search, alone))
        assert found == expected
    assert not list(search.folder.glob("**/resume"))


def test_a_trial_depends_on_its_parameters_and_not_on_its_worker(shared: tuple[Any, str], search: Any) -> None:
    done, _ = shared
    baseline = done.trials[0]
    search.run("search.n_trials=1")
    assert search.trials[0].params == baseline.params
    assert search.trials[0].value == pytest.approx(baseline.value, abs=1e-6)


def test_a_worker_killed_in_its_training_is_replaced_and_its_trial_resumed(search: Any) -> None:
    process = search.start("search.workers=2", "search.n_trials=2", "validation.epochs=8", "hydra/sweeper/pruner=none")
    wait_until(lambda: process.poll() is not None or "fold 1" in search.log(0), 120)
    victims = [pid for pid in workers(process.pid) if holds(pid, search.folder / "0" / "train.log")]
    assert len(victims) == 1, process.communicate()[0] if process.poll() is not None else victims
    os.kill(victims[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert search.states.count("COMPLETE") == 2 and len(search.trials) == 3
    dead = search.trials[0]
    assert dead.user_attrs["interrupted"] == "process" and "SIGKILL" in dead.user_attrs["cause"]
    (again,) = [trial for trial in search.trials if trial.user_attrs.get("retry_of") == 0]
    assert again.params == dead.params
    assert "resumes from" in search.log(again.number)
    assert not runs(victims[0])


def holds(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    return any(str(fd.readlink()) == str(path) for fd in Path(f"/proc/{pid}/fd").iterdir())


def test_ctrl_c_leaves_no_process_and_no_shared_memory(search: Any) -> None:
    process = search.start("search.workers=2", "search.n_trials=20", "validation.epochs=30")
    helped = search.folder / "0" / "resume" / "fold_1_epoch.safetensors"  # by the other worker
    wait_until(lambda: process.poll() is not None or helped.is_file(), 120)
    everyone = [process.pid, *descendants(process.pid)]
    for pid in everyone:
        os.kill(pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Continue with:" in output and "Traceback" not in output
    wait_until(lambda: not any(map(runs, everyone)), 10)
    assert shared_memory(everyone) == []
    assert "RUNNING" not in search.states


def test_a_worker_does_not_grow_from_trial_to_trial(search: Any) -> None:
    process = search.start(
        "search.workers=2", "search.n_trials=80", "search.timeout=null", "hydra/sweeper/sampler=random",
        "data.batch_size=16", "validation.folds=2",
    )  # fmt: skip
    sizes: dict[int, list[float]] = {}
    seen = -1
    while process.poll() is None:
        done = len(list(search.folder.glob("[0-9]*/result.yaml")))
        if done > seen:
            seen = done
            for pid in workers(process.pid):
                if runs(pid):
                    sizes.setdefault(pid, []).append(memory(pid))
        time.sleep(0.2)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert len(sizes) == 2, "a worker was replaced"
    for grown in sizes.values():
        warm = max(grown[len(grown) // 4 : len(grown) // 3])  # after some 10 trials of its own
        assert grown[-1] - warm < 40, grown  # in some 25 trials more


# Hydra's launchers


@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_a_launcher_runs_trials_that_are_pruned_and_fail_and_go_on_as_here(launcher: str, search: Any) -> None:
    options = [f"hydra/launcher={launcher}", "search.workers=2", "validation.epochs=3", "validation.folds=2"]
    if launcher == "ray":
        options += ["+hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.init.include_dashboard=false"]
    output = search.run(*options, "search.n_trials=6", "hydra.sweeper.pruner.n_startup_trials=2")
    assert len(search.trials) == 6
    assert set(search.states) == {"COMPLETE", "PRUNED"}
    for trial in search.trials:
        assert search.read(f"{trial.number}/result.yaml")["state"] == trial.state.name
        assert trial.intermediate_values
    assert "Traceback" not in output
    before = search.written(*range(6))
    search.run(*options, "search.n_trials=7")
    assert len(search.trials) == 7
    assert search.written(*range(6)) == before
    spans = sorted((t.datetime_start, t.datetime_complete) for t in search.trials[:6])
    assert sum(b[0] < a[1] for a, b in pairwise(spans)) >= 3, "two at a time, without a barrier"
