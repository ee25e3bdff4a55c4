"""What a worker process of a search does: get ready, import what jobs need, run one job after the other."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from omegaconf import open_dict

from docclf import quick_imports
from docclf.safety.faults import fault_of
from docclf.safety.untrusted import escape_logs
from docclf.sweeper.hydra_private import BasicLauncher, returned
from docclf.sweeper.job.trial import HELPS
from docclf.sweeper.study.process import FROM_TERMINAL

# Of a worker process, its one.
_launchers: list[BasicLauncher] = []


def begin(parent: int, path: Path) -> None:
    """Get ready for jobs; leave Ctrl-C and SIGHUP to the search, which ends its workers; and end when it was killed.

    Args:
        parent: Process id of the search.
        path: Holds the launcher of the sweep, once for all jobs, since it takes longer to pickle than some jobs to run,
            and the state of Hydra's singletons.
    """
    for number in FROM_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FROM_TERMINAL)

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


def preload(modules: Sequence[str]) -> None:
    """Import modules by their dotted names; one that can't be imported is left to the jobs."""
    with quick_imports():
        for module in modules:
            with suppress(Exception):
                import_module(module)


def run(overrides: Sequence[str], number: int, helps: bool) -> JobReturn:
    """Run a job in a worker process, as the basic launcher does in its own.

    Args:
        helps: Whether another process has it already, and this one helps.
    """
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
    token = HELPS.set(helps)
    try:
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
    finally:
        HELPS.reset(token)
        logging.setLogRecordFactory(plain)


def _marked(record: logging.LogRecord, number: int) -> logging.LogRecord:
    """A line that says whose it is, where lines of several jobs come in turn."""
    record.msg = f"  {number}: {str(record.msg).lstrip()}"
    return record
