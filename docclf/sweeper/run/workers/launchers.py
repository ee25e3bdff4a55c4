"""What Hydra's launchers leave open: to begin once for many threads, to stop a job, and to tell that one died."""

from __future__ import annotations

import gc
import re
import signal
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from docclf.sweeper.hydra_private import join_ray

# Raised by submitit and Ray, which are not imported for it, when a job ended without a result.
_DEATHS = ("UncompletedJobError", "RayError")
# Seconds that a job of this machine may take to end.
_END_S = 5.0


def prepare(launcher: Launcher) -> None:
    """Begin what several threads would trip over.

    Args:
        launcher: About to run jobs; of Ray's, this machine joins its cluster or starts one; of joblib's, the processes
            start that all threads share.
    """
    if type(launcher).__name__ == "JoblibLauncher":
        from joblib import Parallel, delayed

        settings = launcher.joblib  # type: ignore[attr-defined]
        Parallel(n_jobs=settings.get("n_jobs"), backend=settings.get("backend"))([delayed(int)()])
    if type(launcher).__name__ != "RayLauncher":
        return
    handler = signal.getsignal(signal.SIGTERM)
    settings = OmegaConf.to_container(launcher.ray_cfg.init, resolve=True)  # type: ignore[attr-defined]
    join_ray(DictConfig(settings))
    signal.signal(signal.SIGTERM, handler)  # Ray sets its own, which ends with another exit code


def stop(launcher: Launcher) -> None:
    """End the jobs of a launcher that still run; Hydra's launchers wait for them alone.

    Args:
        launcher: Of submitit, Ray or joblib. What another one has begun goes on to its end.
    """
    kind = type(launcher).__module__
    if "submitit" in kind and "submitit" in sys.modules:
        _stop_submitit()
    elif "ray" in kind and "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    elif "joblib" in kind and "joblib" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor(kill_workers=True, reuse=False).shutdown()  # of the new one, which has none


def _stop_submitit() -> None:
    """Cancel submitit's jobs. The launcher keeps them to itself, so they are looked for among all objects."""
    from submitit import Job, LocalJob

    jobs: list[Any] = [job for job in gc.get_objects() if issubclass(type(job), Job) and not job.done()]
    for job in jobs:
        job.cancel(check=False)
    deadline = time.monotonic() + _END_S
    while any(isinstance(job, LocalJob) and not job.done() for job in jobs) and time.monotonic() < deadline:
        time.sleep(0.05)


def death(error: BaseException) -> str | None:
    """Why a job ended without a result; None where the launcher failed otherwise.

    Args:
        error: Raised by the launcher, or by a worker process of our own.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, BrokenProcessPool):
        codes = re.search(r"\{(\w+\(-?\d+\))\}", str(error))
        return f"its worker process ended, {codes[1] if codes else lines[0]}; SIGKILL often means that memory ran out"
    if any(cls.__name__ in _DEATHS for cls in type(error).__mro__):
        return " ".join(["its job ended without a result:", *lines[:2]])
    return None
