"""Where jobs run: in this process, in worker processes of this machine, or wherever a launcher sends them."""

from __future__ import annotations

import contextvars
import logging
import os
import pickle
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict

from docclf import quick_imports
from docclf.safety.untrusted import escape_logs
from docclf.sweeper.hydra_private import BasicLauncher, returned
from docclf.sweeper.job.trial import in_worker
from docclf.sweeper.run.faults import fault_of
from docclf.sweeper.run.workers.launchers import prepare, stop
from docclf.sweeper.run.workers.machine import worker_environment
from docclf.sweeper.screen.relay import Relay

# Seconds that a process without a job may take to end.
_END_S = 10.0
# Bytes by which a process may grow before loky, which counts files that are mapped too, ends it: any number.
_MAY_GROW = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}


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
        self._is_basic = isinstance(launcher, BasicLauncher)
        self._processes: list[Executor | None] = [None] * n
        self._relay = Relay()
        self._sent: dict[int, Path] = {}  # what the process of a slot reads at its start
        self._slots: dict[Future[JobReturn], int] = {}
        self._has_worked = [False] * n  # whose process has had a job
        self._is_prepared = False

    def preload(self, modules: Sequence[str], n_jobs: float) -> None:
        """Start the processes, which import what jobs will need while the search is still being prepared.

        Nothing is done where jobs have no processes of their own here: with one worker, or another launcher.

        Args:
            modules: Dotted names; one that can't be imported is left to the jobs.
            n_jobs: How many there will be at most.
        """
        if not modules or not self.has_processes:
            return
        for slot in range(int(min(self.n, n_jobs))):
            self._start(slot, modules)

    @property
    def has_processes(self) -> bool:
        """Whether jobs run in processes of this machine that are the search's own."""
        return self._is_basic and self.n > 1

    def submit(self, overrides: Sequence[str], number: int, helps: bool = False) -> Future[JobReturn]:
        """Start a job; there must be a free worker.

        Args:
            overrides: Of the job.
            number: Its job number.
            helps: Whether it runs already, and this is a helper of it.
        """
        future: Future[JobReturn]
        slot = min(set(range(self.n)) - set(self._slots.values()))
        self._has_worked[slot] = True
        if not self._is_prepared:
            prepare(self.launcher)
            self._is_prepared = True
        if self.has_processes:
            future = self._in_process(slot, overrides, number, helps)
        elif not self._is_basic:
            future = self._in_thread(overrides, number)
        else:
            future = Future()
            self._launch(overrides, number, future)
        self._slots[future] = slot
        return future

    def wait(self, futures: Sequence[Future[JobReturn]], seconds: float) -> set[Future[JobReturn]]:
        """Those of some jobs that have ended, after the first one has or so many seconds have passed."""
        done = wait(futures, seconds, FIRST_COMPLETED).done
        if done:
            self._relay.drain()  # before what the search has to say of them
        for future in done:
            slot = self._slots.pop(future)
            if isinstance(future.exception(), BrokenProcessPool):
                self._discard(slot)
        return done

    def _launch(self, overrides: Sequence[str], number: int, future: Future[JobReturn]) -> None:
        try:
            (job,) = self.launcher.launch([list(overrides)], initial_job_idx=number)
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        else:
            future.set_result(job)

    def _in_thread(self, overrides: Sequence[str], number: int) -> Future[JobReturn]:
        """Launch a job in a thread that does not keep this process from ending."""
        future: Future[JobReturn] = Future()
        context = contextvars.copy_context()  # which holds Hydra's whitelist
        arguments = (self._launch, overrides, number, future)
        threading.Thread(target=context.run, args=arguments, name=f"trial-{number}", daemon=True).start()
        return future

    def _in_process(self, slot: int, *job: Any) -> Future[JobReturn]:
        process: Any = self._processes[slot]
        # It may have ended while it had nothing to do, which loky's thread finds out a moment later.
        if process is not None and not all(child.is_alive() for child in list(process._processes.values())):
            self._discard(slot)
        with _held_signals():
            try:
                return (self._processes[slot] or self._start(slot)).submit(_run, *job)
            except BrokenProcessPool:  # which it has found out
                self._discard(slot)
                return self._start(slot).submit(_run, *job)

    def _start(self, slot: int, modules: Sequence[str] = ()) -> Executor:
        from loky import ProcessPoolExecutor

        self._sent[slot] = _to_file((self.launcher, Singleton.get_state()))
        process: Executor = ProcessPoolExecutor(
            1,
            timeout=None,
            initializer=_begin,
            initargs=(os.getpid(), self._sent[slot]),
            env={**worker_environment(slot, self.n, os.environ), **_MAY_GROW},
        )
        self._processes[slot] = process
        with _held_signals(), self._relay.inherited():
            process.submit(_preload, list(modules))
        return process

    def _discard(self, slot: int) -> None:
        process, self._processes[slot] = self._processes[slot], None
        self._has_worked[slot] = False
        if slot in self._sent:
            self._sent.pop(slot).unlink(missing_ok=True)
        if process is not None:
            with warnings.catch_warnings():  # without pgrep, loky kills the process but not what that has started
                warnings.simplefilter("ignore")
                process.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]

    def close(self) -> None:
        """End all processes, and the jobs that run in them or elsewhere."""
        busy = set(self._slots.values())
        idle = [self._processes[slot] for slot in range(self.n) if slot not in busy and self._has_worked[slot]]
        _let_end([process for process in idle if process is not None])
        for slot in range(self.n):
            self._discard(slot)
        if not self._is_basic and self._slots:
            stop(self.launcher)
        self._slots.clear()
        self._relay.close()


def _let_end(executors: Sequence[Executor]) -> None:
    """Give processes without a job the time to tidy up, since what a killed one leaves is complained of by Python."""
    children = [child for executor in executors for child in list(executor._processes.values())]  # type: ignore[attr-defined]
    for executor in executors:
        executor.shutdown(wait=False)
    deadline = time.monotonic() + _END_S
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
        if child.is_alive():
            child.terminate()


@contextmanager
def _held_signals() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM while a process starts, which would be lost to whoever is to end it.

    Ctrl-C reaches all processes of a terminal: the new one inherits that it is blocked until it can leave it to the
    search. Here other threads may get it, so blocking is not enough.
    """
    from multiprocessing import resource_tracker as of_python

    from loky.backend import resource_tracker as of_loky

    for tracker in (of_python, of_loky):  # who starts them takes Ctrl-C again
        tracker.ensure_running()
    held: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        held.append(number)

    is_main = threading.current_thread() is threading.main_thread()
    caught = [number for number in (signal.SIGINT, signal.SIGTERM) if is_main and callable(signal.getsignal(number))]
    before = {caught_one: signal.signal(caught_one, hold) for caught_one in caught}
    can_block = hasattr(signal, "pthread_sigmask")  # not on Windows
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_block else set()
    try:
        yield
    finally:
        if can_block:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for caught_one, handler in before.items():
            signal.signal(caught_one, handler)
        if held:
            signal.raise_signal(held[0])


# Of a worker process, its one.
_launchers: list[BasicLauncher] = []


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


def _begin(parent: int, path: Path) -> None:
    """Get ready for jobs; leave Ctrl-C to the search, which ends its workers; and end when it was killed.

    Args:
        parent: Process id of the search.
        path: Holds the launcher of the sweep, once for all jobs, since it takes longer to pickle than some jobs to run,
            and the state of Hydra's singletons.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    setup_globals()
    escape_logs()
    launcher, state = pickle.loads(path.read_bytes())
    path.unlink()
    Singleton.set_state(state)
    _launchers.append(launcher)


def _preload(modules: Sequence[str]) -> None:
    with quick_imports():
        for module in modules:
            with suppress(Exception):
                import_module(module)


def _run(overrides: Sequence[str], number: int, helps: bool) -> JobReturn:
    """Run a job in a worker process, as the basic launcher does in its own."""
    (launcher,) = _launchers
    context, task = launcher.hydra_context, launcher.task_function
    assert context is not None and task is not None and launcher.config is not None
    config = context.config_loader.load_sweep_config(launcher.config, list(overrides))
    with open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
        if helps:  # the other job's are there
            config.hydra.output_subdir = None
            context = replace(context, callbacks=type(context.callbacks)())
    HydraConfig.instance().set_config(config)
    plain = logging.getLogRecordFactory()
    logging.setLogRecordFactory(lambda *args, **kwargs: _marked(plain(*args, **kwargs), number))
    try:
        with in_worker(helps):
            job = run_job(
                hydra_context=context,
                task_function=task,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        if job.status == JobStatus.FAILED and (fault := fault_of(returned(job))) is not None:
            job.return_value = fault  # what an exception came from is lost between processes
        return job
    except SystemExit as error:  # of the task; loky takes for ever to pickle what Hydra hangs on it
        raise SystemExit(error.code) from None
    finally:
        logging.setLogRecordFactory(plain)


def _marked(record: logging.LogRecord, number: int) -> logging.LogRecord:
    """A line that says whose it is, where lines of several jobs come in turn."""
    record.msg = f"  {number}: {str(record.msg).lstrip()}"
    return record
