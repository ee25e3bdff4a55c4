"""The settings of a sweep that have nothing to do with its space: numbers in their ranges, objectives, labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from docclf.errors import ConfigError, unknown_key
from docclf.safety.untrusted import is_folder_name
from docclf.sweeper.config import ClimbConfig, FinalistsConfig, Settings
from docclf.sweeper.space.duration import read_timeout
from docclf.sweeper.study.outcome import read_bound

_RANGES = {
    "stop_when_stagnant": (1, math.inf),
    "helpers": (0, math.inf),
    "ladder": (2, math.inf),
    "retries": (0, math.inf),
    "max_failure_rate": (0, 1),
}
# What must be a mapping or null, which their types don't say; and how one is written.
_MAPPINGS = {
    "constraints": "'{train_seconds: 60}'",
    "finalists.overrides": "'{seed: 43}'",
    "finalists.references": "'{nearest: {model.tune: head}}'",
}


def check_settings(given: Mapping[str, Any]) -> Settings:
    """The settings of a sweep, each checked by itself.

    Args:
        given: The keys of `docclf.sweeper.config.SweeperConfig`, as Hydra gives them.

    Raises:
        ConfigError: One is out of range, or no mapping where there must be one.
    """
    values = {key: to_plain(value) for key, value in given.items()}
    _require_known(values, Settings)
    _require_mappings(values)
    n_trials, timeout = values.pop("n_trials"), read_timeout(values.pop("timeout"))
    if n_trials is None and timeout is None:
        raise ConfigError(
            "Expected a search that ends, got n_trials=null and timeout=null. "
            "Give a total, such as n_trials=20, or a time, such as timeout=30m, or both."
        )
    if n_trials is not None and n_trials < 1:
        raise ConfigError(f"Expected at least 1 trial, got n_trials={n_trials}. null: as many as there is time for.")
    for key, kind in (("finalists", FinalistsConfig), ("climb", ClimbConfig)):
        _require_known(values[key] or {}, kind, f".{key}")
    climb = None if not values["climb"] else ClimbConfig(**values.pop("climb"))
    total = math.inf if n_trials is None else n_trials
    values |= {"finalists": FinalistsConfig(**values["finalists"]), "climb": climb}
    settings = Settings(**values, n_trials=total, timeout=timeout)
    _require_ranges(settings)
    for name, bound in (settings.constraints or {}).items():
        try:
            read_bound(bound)
        except ValueError:
            message = f'Expected the bound of the constraint `{name}` to be a number, "<= 60" or ">= 0.5", got {bound}.'
            raise ConfigError(message) from None
    return settings


def _require_ranges(settings: Settings) -> None:
    if settings.n_jobs != "auto" and (type(settings.n_jobs) is not int or settings.n_jobs < 1):
        raise ConfigError(f"Expected at least 1 worker, or auto, got n_jobs={settings.n_jobs}.")
    if (top_k := settings.finalists.top_k) < 0:
        raise ConfigError(f"Expected `finalists.top_k` to be at least 0, got {top_k}. 0 re-evaluates none.")
    for key, (least, most) in _RANGES.items():
        if (value := getattr(settings, key)) is not None and not least <= value <= most:
            upper = "" if math.isinf(most) else f" and at most {most}"
            raise ConfigError(f"Expected `hydra.sweeper.{key}` to be at least {least}{upper}, got {value}.")
    if settings.warm_start not in ("best", "all"):
        raise ConfigError(f"Expected `hydra.sweeper.warm_start` to be best or all, got {settings.warm_start}.")
    _require_folder_name(settings.study_name)


def _require_folder_name(name: str | None) -> None:
    """See that a search whose folder is called by its study has a folder of its own."""
    if not HydraConfig.initialized() or (name is not None and is_folder_name(name)):
        return
    sweep = HydraConfig.get().sweep
    if "study_name" in str(OmegaConf.to_container(sweep, resolve=False)) and str(name) in sweep.dir:
        raise ConfigError(
            f"Expected `hydra.sweeper.study_name` to be the name of a folder, without / and other than . and .., "
            f"got {'null' if name is None else repr(name)}. Say hydra.sweeper.study_name=NAME"
        )


def _require_known(given: Iterable[str], kind: type[Any], below: str = "") -> None:
    known = [field.name for field in fields(kind) if field.name not in ("_target_", "defaults")]
    for key in given:
        if key not in known:
            raise unknown_key("settings", f"hydra.sweeper{below}", key, known)


def _require_mappings(values: Mapping[str, Any]) -> None:
    for key, example in _MAPPINGS.items():
        outer, _, inner = key.partition(".")
        value = values[outer][inner] if inner else values[outer]
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(
                f"Expected `hydra.sweeper.{key}` to map names to values, as in {example}, or to be null, got "
                f"{'nothing' if value == '' else value}."
            )


def read_objectives(metric: Any, direction: Any) -> tuple[list[str], list[Any]]:
    """Names and directions of the objectives.

    Args:
        metric: A name or a list of names.
        direction: minimize or maximize, a list of these, or a mapping of names to these.

    Raises:
        ConfigError: They do not belong together.

    >>> read_objectives("score", "maximize"), read_objectives(["a", "b"], {"a": "maximize", "b": "minimize", "c": "x"})
    ((['score'], ['maximize']), (['a', 'b'], ['maximize', 'minimize']))
    """
    metric, direction = to_plain(metric), to_plain(direction)
    names = metric if isinstance(metric, list) else [metric]
    if not names or any(not isinstance(name, str) or not name or names.count(name) > 1 for name in names):
        raise ConfigError(
            f"Expected `hydra.sweeper.metric` to be a name, or a list of names that differ, got "
            f"{'null' if metric is None else metric}. Say hydra.sweeper.metric=NAME."
        )
    if isinstance(direction, dict):
        if unknown := [name for name in names if name not in direction]:
            raise ConfigError(f"Expected objectives out of {', '.join(direction)}, got {', '.join(unknown)}.")
        directions = [direction[name] for name in names]
    else:
        directions = list(direction) if isinstance(direction, list) else [direction]
    directions = [getattr(d, "name", d) for d in directions]
    if wrong := [d for d in directions if d not in ("minimize", "maximize")]:
        raise ConfigError(
            f"Expected the direction minimize or maximize, got {wrong[0]}. Say hydra.sweeper.direction=maximize."
        )
    if len(names) == 1 < len(directions):
        names = [f"{names[0]}_{i}" for i in range(len(directions))]
    if len(names) != len(directions):
        raise ConfigError(
            f"Expected one direction an objective, got {len(directions)} directions ({', '.join(directions)}) "
            f"for {', '.join(names)}."
        )
    return names, directions


def label(objectives: Sequence[str], labels: Mapping[str, str] | None) -> list[str]:
    """
    >>> label(["macro_f1", "seconds"], {"macro_f1": "macro-F1"})
    ['macro-F1', 'seconds']
    """
    return [(labels or {}).get(name, name) for name in objectives]


def to_plain(value: Any) -> Any:
    """A part of a config without OmegaConf's classes, resolved; anything else as it is."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
