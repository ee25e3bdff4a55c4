"""Where jobs run: in this process, in worker processes of this machine, or wherever a launcher sends them."""

from __future__ import annotations

import contextvars
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict

log = logging.getLogger(__name__)

# Free memory in bytes that `auto` allows for each worker: torch, timm and Lightning alone take one gigabyte.
_MEMORY = 2 * 1024**3


class WorkerDiedError(Exception):
    """The process of a job ended before the job did."""


class Workers:
    """Runs jobs, up to `n` at once. What is free takes the next one: nobody waits for the slowest.

    With Hydra's basic launcher and one worker a job runs in this process; with several, each has a process of its own
    that stays for the next job, on its share of GPUs and cores. Other launchers get one job at a time from each of as
    many threads.

    Args:
        launcher: Of the sweep.
        n: Number of workers.
    """

    def __init__(self, launcher: Launcher, n: int) -> None:
        self.launcher, self.n = launcher, n
        self._here = n == 1
        self._own = isinstance(launcher, BasicLauncher) and not self._here
        self._processes: list[Executor | None] = [None] * n
        self._slots: dict[Future[JobReturn], int] = {}
        self._threads = None if self._here else ThreadPoolExecutor(n, thread_name_prefix="docclf-worker")

    def submit(self, overrides: Sequence[str], number: int) -> Future[JobReturn]:
        """Start a job; there must be a free worker.

        Args:
            overrides: Of the job.
            number: Its job number.
        """
        if self._threads is None:
            done: Future[JobReturn] = Future()
            try:
                done.set_result(self._launch(overrides, number))
            except Exception as error:
                done.set_exception(error)
            return done
        slot = min(set(range(self.n)) - set(self._slots.values()))
        context = contextvars.copy_context()  # which holds Hydra's whitelist
        run = partial(self._run_in_process, slot) if self._own else self._launch
        future = self._threads.submit(context.run, run, overrides, number)
        self._slots[future] = slot
        return future

    def wait(self, futures: Sequence[Future[JobReturn]], seconds: float) -> set[Future[JobReturn]]:
        """Those of some jobs that have ended, after the first one has or so many seconds have passed."""
        done = wait(futures, seconds, FIRST_COMPLETED).done
        for future in done:
            self._slots.pop(future, None)
        return done

    def _launch(self, overrides: Sequence[str], number: int) -> JobReturn:
        (job,) = self.launcher.launch([list(overrides)], initial_job_idx=number)
        return job

    def _run_in_process(self, slot: int, overrides: Sequence[str], number: int) -> JobReturn:
        process = self._processes[slot] or self._start(slot)
        try:
            job: JobReturn = process.submit(_run, self.launcher, overrides, number, Singleton.get_state()).result()
            return job
        except BrokenProcessPool as error:
            self._processes[slot] = None
            raise WorkerDiedError(f"the worker process of trial {number} ended: {error}".splitlines()[0]) from error

    def _start(self, slot: int) -> Executor:
        from loky import ProcessPoolExecutor

        process: Executor = ProcessPoolExecutor(
            1,
            timeout=None,
            initializer=_begin,
            initargs=(os.getpid(),),
            env=worker_environment(slot, self.n, os.environ),
        )
        self._processes[slot] = process
        return process

    def close(self) -> None:
        """End all processes, and the jobs that run in them."""
        for process in self._processes:
            if process is not None:
                process.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]
        if self._threads is not None:
            self._threads.shutdown(wait=self._own, cancel_futures=True)


def _run(launcher: Launcher, overrides: Sequence[str], number: int, state: Any) -> JobReturn:
    """Run a job in a worker process, as the basic launcher does in its own."""
    setup_globals()
    Singleton.set_state(state)
    assert isinstance(launcher, BasicLauncher)
    context, task = launcher.hydra_context, launcher.task_function
    assert context is not None and task is not None and launcher.config is not None
    config = context.config_loader.load_sweep_config(launcher.config, list(overrides))
    with open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
    HydraConfig.instance().set_config(config)
    plain = logging.getLogRecordFactory()
    logging.setLogRecordFactory(lambda *args, **kwargs: _marked(plain(*args, **kwargs), number))
    try:
        return run_job(
            hydra_context=context,
            task_function=task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    finally:
        logging.setLogRecordFactory(plain)


def _marked(record: logging.LogRecord, number: int) -> logging.LogRecord:
    """A line that says whose it is, where lines of several jobs come in turn."""
    record.msg = f"  {number}: {str(record.msg).lstrip()}"
    return record


def _begin(parent: int) -> None:
    """Leave Ctrl-C to the search, which ends its workers; and end when it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def worker_environment(slot: int, n: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that give a worker its share of GPUs and cores.

    Two PyTorch processes with a thread for every core each take 10 times as long as one of them alone.

    Args:
        slot: Which worker, from 0.
        n: How many there are.
        environment: That of the search; a number of threads that is set there stands.
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

    >>> visible_gpus({"CUDA_VISIBLE_DEVICES": "2,3"}), visible_gpus({"CUDA_VISIBLE_DEVICES": ""})
    (['2', '3'], [])
    """
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_workers(asked: int | str) -> int:
    """Number of workers: as asked, or for `auto` one a GPU, or without any one a core as far as memory goes."""
    if asked != "auto":
        return int(asked)
    if gpus := visible_gpus(os.environ):
        return len(gpus)
    return max(1, min(n_cores(), _free_memory() // _MEMORY))


def _free_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return 2**63
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 2**63)
