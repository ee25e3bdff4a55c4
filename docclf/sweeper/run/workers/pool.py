"""Where jobs run, in this process, in worker processes of this machine, or wherever a launcher sends them.

And whom a worker without a trial of its own helps.
"""

from __future__ import annotations

import contextvars
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import optuna
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from docclf.errors import error_text
from docclf.sweeper.hydra_private import BasicLauncher, returned
from docclf.sweeper.run.workers.launchers import death, prepare, stop
from docclf.sweeper.run.workers.machine import worker_environment
from docclf.sweeper.run.workers.process import WorkerProcess, held_signals, let_end
from docclf.sweeper.screen.terminal import Terminal, is_terminal

log = logging.getLogger(__name__)


class Workers:
    """Runs jobs, up to `n` at once. What is free takes the next one: nobody waits for the slowest.

    With Hydra's basic launcher and one worker a job runs in this process; with several, each has a process of its own
    that stays for the next job, on its share of GPUs and cores. Other launchers get one job at a time from each of as
    many threads.
    """

    def __init__(self, launcher: Launcher, n: int) -> None:
        self.launcher, self.n = launcher, n
        self._is_basic = isinstance(launcher, BasicLauncher)
        self._processes: dict[int, WorkerProcess] = {}  # by slot
        self.screen = Terminal(sys.stdout) if is_terminal(sys.stdout) else None
        """Where the search is shown, and what processes write comes out; None for whatever output there is."""
        self._slots: dict[Future[JobReturn], int] = {}
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
        """Start a job, or with `helps` a helper of one that runs already; there must be a free worker."""
        future: Future[JobReturn]
        slot = min(set(range(self.n)) - set(self._slots.values()))
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
        for future in done:
            slot = self._slots.pop(future)
            if isinstance(future.exception(), BrokenProcessPool):
                self._discard(slot)
        return done

    def _launch(self, overrides: Sequence[str], number: int, future: Future[JobReturn]) -> None:
        try:
            (job,) = self.launcher.launch([list(overrides)], initial_job_idx=number)
        except BaseException as error:  # a thread would lose it, and the search wait for ever
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
        if slot in self._processes and not self._processes[slot].is_alive:
            self._discard(slot)
        with held_signals():
            try:
                return (self._processes.get(slot) or self._start(slot)).submit(*job)
            except BrokenProcessPool:  # which loky has found out
                self._discard(slot)
                return self._start(slot).submit(*job)

    def _start(self, slot: int, modules: Sequence[str] = ()) -> WorkerProcess:
        process = WorkerProcess(self.launcher, worker_environment(slot, self.n, os.environ))
        self._processes[slot] = process
        with held_signals(), self.screen.inherited() if self.screen is not None else nullcontext():
            process.start(modules)
        return process

    def _discard(self, slot: int) -> None:
        if process := self._processes.pop(slot, None):
            process.kill()

    def close(self) -> None:
        """End all processes, and the jobs that run in them or elsewhere."""
        busy = set(self._slots.values())
        let_end([process for slot, process in self._processes.items() if slot not in busy and process.has_worked])
        for slot in list(self._processes):
            self._discard(slot)
        if not self._is_basic and self._slots:
            stop(self.launcher)
        self._slots.clear()
        if self.screen is not None:
            self.screen.close()
            self.screen = None


@dataclass(frozen=True)
class Job:
    """A job that runs, or is about to."""

    trial: optuna.Trial  # its trial
    overrides: tuple[str, ...]  # of its config
    helps: bool = False  # whether another job has the trial, and this one helps it


class Helpers:
    """Chooses whom to help.

    Args:
        most: Helpers of a trial at the same time.
        noun: What a trial is called.
    """

    def __init__(self, most: int, noun: str) -> None:
        self.most, self.noun = most, noun
        self.running: Counter[int] = Counter()  # number of a trial to how many help it now
        self._is_all_taken: set[int] = set()  # numbers of trials of which all is done, or under way

    def next(self, jobs: Sequence[Job]) -> Job | None:
        """One more helper for the trial that has the fewest, of several the latest; None where none needs any.

        Args:
            jobs: Those that run; what is returned is the next of them.
        """
        helped = {job.trial.number: job for job in jobs if not job.helps}
        open_ones = [n for n in helped if n not in self._is_all_taken and self.running[n] < self.most]
        if not open_ones:
            return None
        number = min(open_ones, key=lambda n: (self.running[n], -n))
        self.running[number] += 1
        return replace(helped[number], helps=True)

    def end(self, number: int, future: Future[JobReturn]) -> None:
        """Send no more to a trial whose helper has found nothing more to do, or has failed, which harms nobody."""
        self.running[number] -= 1
        self._is_all_taken.add(number)
        error = future.exception()
        if error is None and future.result().status == JobStatus.FAILED:
            error = returned(future.result())
        if error is not None:
            cause = death(error) or error_text(error)
            log.warning(f"{self.noun} {number} goes on without its helper: {cause}")
