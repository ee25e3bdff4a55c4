"""A process of this machine that runs one job after the other, seen from the search."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from docclf.sweeper.job.worker import begin, preload, run
from docclf.sweeper.study.process import ENDING, FROM_TERMINAL

# Seconds that a process without a job may take to end.
_END_S = 10.0
_CAN_BLOCK = hasattr(signal, "pthread_sigmask")  # not on Windows
# Bytes by which a process may grow before loky, which counts files that are mapped too, ends it: any number.
_MAY_GROW = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}


class WorkerProcess:
    """One process, in an executor of its own, with environment variables beside those of the search."""

    def __init__(self, launcher: Launcher, environment: Mapping[str, str]) -> None:
        self.launcher, self.environment = launcher, environment
        self.has_worked = False  # whether it has had a job
        self._sent: Path | None = None  # what it reads at its start
        self._executor: Any = None
        self._children: list[Any] = []

    def start(self, modules: Sequence[str]) -> None:
        """Start it, which imports `modules`, dotted names, first; `held_signals` must be entered."""
        from loky import ProcessPoolExecutor

        self._sent = _to_file((self.launcher, Singleton.get_state()))
        self._executor = ProcessPoolExecutor(
            1,
            timeout=None,
            initializer=begin,
            initargs=(os.getpid(), self._sent),
            env={**self.environment, **_MAY_GROW},
        )
        before = active_children()
        self._executor.submit(preload, list(modules))
        self._children = [child for child in active_children() if child not in before]

    @property
    def is_alive(self) -> bool:
        """Whether it runs: it may have ended while it had nothing to do, which loky finds out a moment later."""
        return all(child.is_alive() for child in self._children)

    def submit(self, overrides: Sequence[str], number: int, helps: bool) -> Future[JobReturn]:
        """Give it a job, see `docclf.sweeper.job.worker.run`.

        Raises:
            BrokenProcessPool: It has ended.
        """
        future: Future[JobReturn] = self._executor.submit(run, overrides, number, helps)
        self.has_worked = True
        return future

    def kill(self) -> None:
        """End it whatever it does, with all that it has started."""
        if self._sent is not None:
            self._sent.unlink(missing_ok=True)
        if self._executor is not None:
            with warnings.catch_warnings():  # without pgrep, loky kills the process but not what that has started
                warnings.simplefilter("ignore")
                self._executor.shutdown(wait=True, kill_workers=True)


def let_end(processes: Sequence[WorkerProcess]) -> None:
    """Give processes without a job the time to tidy up, since what a killed one leaves is complained of by Python."""
    for process in processes:
        process._executor.shutdown(wait=False)
    deadline = time.monotonic() + _END_S
    for child in (child for process in processes for child in process._children):
        child.join(max(0.0, deadline - time.monotonic()))
        if child.is_alive():
            child.terminate()


def _to_file(value: Any) -> Path:
    """A pickle of a value in a temporary file, which its reader removes.

    What loky itself sends to a process goes through a pipe: a process that dies before it has read more than a pipe
    holds would keep the search waiting for ever.
    """
    from cloudpickle import dumps

    number, name = tempfile.mkstemp(prefix="docclf-worker-")
    with os.fdopen(number, "wb") as file:
        file.write(dumps(value))
    return Path(name)


@contextmanager
def held_signals() -> Iterator[None]:
    """Hold back the signals that end a search while a process starts, which would be lost to whoever is to end it.

    Ctrl-C reaches all processes of a terminal: the new one inherits that it is blocked until it can leave it to the
    search. Here other threads may get it, so blocking is not enough.
    """
    _start_trackers()  # before: who starts them takes Ctrl-C again
    held: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        held.append(number)

    is_main = threading.current_thread() is threading.main_thread()
    caught = [number for number in ENDING if is_main and callable(signal.getsignal(number))]
    before = {caught_one: signal.signal(caught_one, hold) for caught_one in caught}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, FROM_TERMINAL) if _CAN_BLOCK else set()
    try:
        yield
    finally:
        if _CAN_BLOCK:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for caught_one, handler in before.items():
            signal.signal(caught_one, handler)
        if held:
            signal.raise_signal(held[0])


def _start_trackers() -> None:
    """Start what cleans up behind processes; it inherits that SIGHUP is blocked, and outlives a closed terminal."""
    from multiprocessing import resource_tracker as of_python

    from loky.backend import resource_tracker as of_loky

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, FROM_TERMINAL) if _CAN_BLOCK else set()
    try:
        for tracker in (of_python, of_loky):
            tracker.ensure_running()
    finally:
        if _CAN_BLOCK:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
