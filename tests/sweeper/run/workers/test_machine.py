"""What a machine has, and each worker's share of it."""

import os
from pathlib import Path
from typing import Any

import pytest

from docclf import n_cores
from docclf.sweeper.run.workers import machine
from docclf.sweeper.run.workers.machine import n_workers, visible_gpus, worker_environment


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


@pytest.mark.parametrize("exists", [True, False])
def test_a_gpu_that_no_driver_of_nvidia_lists_is_one(exists: bool, monkeypatch: Any, tmp_path: Path) -> None:
    """As with WSL2 or ROCm: without it there would be a worker for each core, all on that GPU."""
    (tmp_path / "libcuda.so.1").touch()
    monkeypatch.setattr(machine, "_LISTED", tmp_path / "none")
    monkeypatch.setattr(machine, "_UNLISTED", [tmp_path / ("libcuda.so.1" if exists else "none")])
    assert visible_gpus({}) == (["0"] if exists else [])


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


@pytest.mark.slow
def test_a_worker_has_its_share_in_its_environment(toy: Any) -> None:
    toy.run("n_trials=2", "hydra.sweeper.n_jobs=2", "note='${oc.env:MKL_NUM_THREADS,none}'")
    expected = os.environ.get("MKL_NUM_THREADS", str(max(1, n_cores() // 2)))
    assert [str(trial.user_attrs["note"]) for trial in toy.trials] == [expected, expected]
