"""What results were made with, and the headers of files that say so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from statistics import stdev
from typing import TYPE_CHECKING, Any

from docclf.results.facts import FLOORS, KEPT, TUNE, WEIGHTS
from docclf.results.floors import Floor, floors_text, read_floors
from docclf.safety.permission import VARIABLE, allowed
from docclf.safety.untrusted import one_line

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

_PACKAGES = ("docclf", "hydra-core", "optuna", "torch", "timm", "pytorch-lightning")


def versions() -> str:
    """Of the packages that numbers depend on, and the names of other code that was allowed."""
    more = [f"{VARIABLE}={','.join(allowed())}"] if allowed() else []
    return ", ".join([*(f"{name} {version(name)}" for name in _PACKAGES), *more])


def git_commit() -> str:
    """Of the checkout that the command runs in."""
    if shutil.which("git") is None:
        return "unknown"
    command = ["git", "-c", "core.fsmonitor=false", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    return done.stdout.strip() or "none: not in a git checkout"


def training_facts(facts: Mapping[str, Any]) -> dict[str, str | float]:
    """What was trained and from what, and the floors, flat: for tables, loggers and headers.

    Args:
        facts: Content of `result.yaml`, or user attributes of a trial.

    >>> training_facts({"tune": "all", "kept": "average", "floors": {"pixels": 0.4}, "weights": "random", "folds": []})
    {'tune': 'all', 'kept': 'average', 'weights': 'random', 'floor_pixels': 0.4}
    >>> training_facts({"weights": {"name": "resnet18", "source": "timm hub: timm/resnet18"}})
    {'weights': 'timm hub: timm/resnet18'}
    """
    weights = facts.get(WEIGHTS)
    source = weights.get("source") if isinstance(weights, Mapping) else weights
    words = {TUNE: facts.get(TUNE), KEPT: facts.get(KEPT), WEIGHTS: source}
    floors = {f"floor_{name}": floor["mean"] for name, floor in read_floors(facts.get(FLOORS)).items()}
    return {**{key: one_line(str(word)) for key, word in words.items() if word}, **floors}


def training_lines(facts: Mapping[str, Any], floors: Mapping[str, Floor]) -> dict[str, str]:
    """Lines of a header about a training, by what they are about; those about which nothing is known are left out.

    Args:
        facts: Content of `result.yaml`, or user attributes of a trial.
        floors: On the folds of its score.

    >>> training_lines({"tune": "all", "kept": "net", "weights": "random"}, {"pixels": {"mean": 0.41}})
    {'trained': 'tune=all, kept=net', 'weights': 'random', 'floors': 'pixels 0.410'}
    >>> training_lines({}, {})
    {}
    """
    known = training_facts(facts)
    trained = ", ".join(f"{key}={known[key]}" for key in (TUNE, KEPT) if key in known)
    lines = {"trained": trained, "weights": str(known.get(WEIGHTS, "")), "floors": floors_text(floors)}
    return {key: text for key, text in lines.items() if text}


def header_of(
    study: optuna.Study, trial: FrozenTrial, source: Mapping[str, str], more: Mapping[str, str], train: str
) -> str:
    """Comment lines that say where a result comes from.

    Args:
        source: Which trial of which study that is, by what each line is about.
        more: What else there is to say, likewise.
        train: The command that trains it; empty where there is none.
    """
    score = ", ".join(f"{value:.4f}" for value in trial.values)
    facts = {
        **source,
        "score": f"{score}{_spread(trial.user_attrs.get('folds', []))}, on the folds that it was chosen by",
        **more,
        "data": study.user_attrs.get("facts", ""),
        "versions": versions(),
        "commit": git_commit(),
        "written": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}",
    }
    lines = {key: one_line(str(value)) for key, value in facts.items()}
    lines |= {"train": " ".join(train.splitlines())} if train else {}  # in which each blank may be one of a path
    return "".join(f"# {key}: {text}\n" for key, text in lines.items())


def _spread(folds: list[float]) -> str:
    """
    >>> _spread([0.5, 0.7])
    ', spread over folds 0.1414 (0.5000, 0.7000)'
    """
    if len(folds) < 2:
        return ""
    return f", spread over folds {stdev(folds):.4f} ({', '.join(f'{score:.4f}' for score in folds)})"
