"""Functions that the toy's configs name by their dotted paths."""

import os
import signal
import time
from pathlib import Path

import optuna
from omegaconf import DictConfig

from docclf.errors import DataError


def draw_radius(config: DictConfig, trial: optuna.Trial) -> None:
    """Draw one key more for one of the colours: a `custom_search_space`."""
    if trial.params["colour"] == "blue":
        trial.suggest_float("radius", 0.0, config.steps)


def lose_ctrl_c(config: DictConfig, trial: optuna.Trial) -> None:
    """Raise another error where Ctrl-C comes, as Hydra and OmegaConf may: a `custom_search_space`."""
    if trial.number == 1:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        except KeyboardInterrupt:
            raise AttributeError("no attribute '_invalidate_flags_cache'") from None


def note_best(study: optuna.Study, directory: Path, config: DictConfig) -> None:
    """Be killed, and the next time write down which trial is the best: an `on_best`."""
    if not (directory / "killed").exists():
        (directory / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (directory / "best.txt").write_text(f"{study.best_trial.number}")


def facts(config: DictConfig) -> dict[str, object]:
    """What must not change while a study goes on: a `preflight`."""
    return {"steps": config.steps, "limit": config.limit}


def other_facts(config: DictConfig) -> dict[str, object]:
    """As where the data have become others, and nothing of the config has: a `preflight`."""
    return {**facts(config), "limit": 2}


def gather(config: DictConfig) -> dict[str, object]:
    """Wait until as many processes as `limit` says are about to create the study: a `preflight`."""
    Path(f"here-{os.getpid()}").touch()
    return _wait_for("here-*", config.limit)


def await_imports(config: DictConfig) -> dict[str, object]:
    """Wait until as many processes as `limit` says have imported `heavy`: a `preflight`."""
    return _wait_for("imported-*", config.limit)


def refuse(config: DictConfig) -> dict[str, object]:
    """Refuse the data while processes are importing: a `preflight`."""
    await_imports(config)
    raise DataError("Expected other data.")


def _wait_for(pattern: str, n: int) -> dict[str, object]:
    deadline = time.time() + 60
    while len(list(Path.cwd().glob(pattern))) < n:
        if time.time() > deadline:
            raise TimeoutError("the others did not come")
        time.sleep(0.001)
    return {}
