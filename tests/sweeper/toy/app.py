"""A Hydra application with a known best configuration: no page, no torch, 0.2 s a trial.

python tests/sweeper/toy/app.py -m n_trials=5
"""

import errno
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from docclf.errors import InputError
from docclf.sweeper import current_trial
from docclf.sweeper.job.trial import JobTrial

log = logging.getLogger(__name__)
HELD: list[bytes] = []  # memory of a process, as the files are that it maps


def distance(x: float, n: int, colour: str) -> float:
    """How far from `x = 0, n = 2, colour = blue`."""
    return x**2 + 0.1 * (n - 2) ** 2 + {"blue": 0.0, "green": 0.5, "red": 1.0}[colour]


def reported(value: float, step: int) -> float:
    """Of three steps, the last one reports the value."""
    return value + 0.1 * (2 - step)


class OutOfMemoryError(RuntimeError):
    """Named as torch's, which `retry_on` lists."""


class CardFullError(OutOfMemoryError):
    """One derived from it."""


@hydra.main(
    config_path="conf", config_name="config", execution_whitelist=("docclf.*", "optuna.*", "logging.*", "hooks.*")
)
def main(cfg: DictConfig):
    """`distance`, reported in steps that come down to it."""
    trial = current_trial()
    if trial.is_helper:
        return help_trial(cfg)
    log.info(f"begin x={cfg.x}")
    wait_for(dict(cfg.await_at).get(trial.number))
    if trial.number in cfg.refuse_at:
        raise InputError("asked to refuse")
    value = distance(cfg.x - cfg.shape.centre, cfg.n, cfg.colour)
    if cfg.two_objectives:
        return value, abs(cfg.x)
    for step in range(cfg.steps):
        trial.report(reported(value, step), step)
        if trial.number in cfg.repeat_at:
            trial.report(reported(value, step), step)
        if trial.should_prune() or (cfg.heeds_time and trial.out_of_time()):
            return None
        if [trial.number, step] == cfg.signal_at or cfg.colour == cfg.deadly:
            send(getattr(signal, cfg.signal), cfg.in_finaliser)
        time.sleep((cfg.seconds + (3.0 if trial.number in cfg.slow_at else 0.0)) / cfg.steps)
    if trial.number in cfg.grow_at:
        HELD.append(bytes(500_000_000))
    trial.set_user_attr("process", os.getpid())
    trial.set_user_attr("colour", cfg.colour)
    trial.set_user_attr("note", cfg.note)
    trial.set_user_attr("floors", dict(cfg.floors or {}))
    end = misbehave(cfg, trial)
    if end is not None:
        return end
    return {"distance": value, "size": abs(cfg.x), "count": cfg.n} if cfg.as_mapping else value


def help_trial(cfg: DictConfig) -> None:
    """Leave a trace, or fail as the config asks."""
    (Path(HydraConfig.get().runtime.output_dir) / "helped").touch()
    if cfg.helper == "fails":
        raise ArithmeticError("asked to fail")
    if cfg.helper == "dies":
        os.kill(os.getpid(), signal.SIGKILL)


def wait_for(file: str | None) -> None:
    """Wait for a file, if there is one to wait for, and no longer than a minute."""
    deadline = time.monotonic() + 60
    while file is not None and not Path(file).exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def send(number: int, in_finaliser: bool) -> None:
    """Send a signal to this process; Python drops what that raises in a finaliser."""

    class Finalised:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    if in_finaliser:
        Finalised()
    else:
        os.kill(os.getpid(), number)


def misbehave(cfg: DictConfig, trial: JobTrial):
    """End as the config asks of this trial; None where it asks for nothing."""
    number = trial.number
    if trial.attempt < dict(cfg.break_at).get(number, 0):
        raise CardFullError(f"card full, attempt {trial.attempt}")
    if number in cfg.prune_at:
        from optuna import TrialPruned

        raise TrialPruned
    if number in cfg.exit_at:
        sys.exit("asked to exit")
    if (fault := dict(cfg.fault_at).get(number)) is not None:
        fail_by_machine(fault)
    if (odd := dict(cfg.odd_at).get(number)) is not None:
        return ODD[odd]()
    if number in cfg.raise_at:
        raise ArithmeticError(f"asked to fail, number {number}")
    return next((end for name, end in ENDS.items() if number in cfg[name]), None)


def fail_by_machine(fault: int | str):
    """Raise what a disk raises: with its number, or within what a library makes of it."""
    try:
        raise OSError(fault, os.strerror(fault), "page.png") if isinstance(fault, int) else RuntimeError(fault)
    except OSError as error:
        if fault == errno.ESTALE:
            raise ValueError("cannot decode") from error
        raise


class UntoldError(Exception):
    """One that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def raising(error: BaseException):
    def act():
        raise error

    return act


ODD = {
    "interrupt": raising(KeyboardInterrupt()),
    "stop": raising(GeneratorExit()),
    "untold": raising(UntoldError()),
    "surrogate": raising(ValueError("a\udc80")),
    "too large": lambda: 10**400,
    "generator": lambda: (x for x in [1.0]),
}
ENDS = {"nan_at": math.nan, "text_at": "blue", "pair_at": (0.5, 0.5)}

if __name__ == "__main__":
    main()
