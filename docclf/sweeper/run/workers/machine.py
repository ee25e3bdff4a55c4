"""What this machine has, and each worker's share of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from docclf import n_cores

# Free memory in bytes that `auto` allows for each worker: torch, timm and Lightning alone take one gigabyte.
_MEMORY = 2 * 1024**3

# Where NVIDIA's driver lists its GPUs, and what says that there is one where it does not: on WSL2, or with AMD's.
_LISTED = Path("/proc/driver/nvidia/gpus")
_UNLISTED = (Path("/usr/lib/wsl/lib/libcuda.so.1"), Path("/dev/kfd"))


def worker_environment(slot: int, n: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that give a worker its share of GPUs and cores.

    Two PyTorch processes with a thread for every core each take 10 times as long as one of them alone.

    Args:
        slot: Which worker, from 0.
        n: How many there are.
        environment: That of the search; a number of threads that is set there stands.

    >>> worker_environment(2, 3, {"CUDA_VISIBLE_DEVICES": "4,7", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    {'CUDA_VISIBLE_DEVICES': '4'}
    """
    given = {}
    if gpus := visible_gpus(environment):
        given["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    threads = str(max(1, n_cores() // n))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        if name not in environment:
            given[name] = threads
    return given


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that a process may use, by number or name. Loads no library of theirs.

    As CUDA reads it, a list ends at the first -1.

    >>> visible_gpus({"CUDA_VISIBLE_DEVICES": "2,3"}), visible_gpus({"CUDA_VISIBLE_DEVICES": "0,-1,1"})
    (['2', '3'], ['0'])
    >>> visible_gpus({"CUDA_VISIBLE_DEVICES": ""})
    []
    """
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        listed = [str(number) for number, _ in enumerate(_LISTED.glob("*"))]
        return listed or ["0"] * any(place.exists() for place in _UNLISTED)
    names = [name.strip() for name in chosen.split(",")]
    return [name for name in names[: names.index("-1") if "-1" in names else None] if name]


def n_workers(n_jobs: int | str) -> int:
    """Number of workers: as asked, or for `auto` one a GPU, or without any one a core as far as memory goes."""
    if n_jobs != "auto":
        return int(n_jobs)
    if gpus := visible_gpus(os.environ):
        return len(gpus)
    return max(1, min(n_cores(), _free_memory() // _MEMORY))


def _free_memory() -> int:
    """Bytes; as good as endless where it is not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return 2**63
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 2**63)
