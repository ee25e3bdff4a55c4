"""What the settings of a sweep ask for, read and checked before there is a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.utils import get_method
from omegaconf import DictConfig

from docclf.errors import ConfigError, SpaceError
from docclf.safety.allow import require_allowed
from docclf.safety.untrusted import reading
from docclf.sweeper.config import Settings
from docclf.sweeper.run.opening.settings import read_objectives
from docclf.sweeper.space.checks import baseline, check_keys, check_space, check_values, values_of
from docclf.sweeper.space.finalist_overrides import check_finalists
from docclf.sweeper.space.parameters import Space
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.climb import Climb, read_climb
from docclf.sweeper.strategy.pruners import make_pruner
from docclf.sweeper.strategy.rehearsal import rehearse
from docclf.sweeper.study.starting_points import read_entries, read_study


@dataclass(frozen=True)
class Request:
    """What the settings ask for."""

    compose: Callable[[Sequence[str]], DictConfig]  # makes the config of a job from its overrides
    space: Space  # what is drawn
    first: dict[str, Any] | None  # draws of trial 0; None to let the sampler choose
    # what the preflight looks at: that of a trial, and where there will be finalists, of one of these
    configs: list[DictConfig]
    objectives: list[str]  # a name for each objective
    directions: list[Any]  # minimize or maximize, for each objective
    climb: Climb | None  # says which rung a trial is on; None without rungs
    entries: dict[str, dict[str, Any]]  # text to draws of what is tried first
    source: optuna.Study | None  # another study to start from
    pruner: optuna.pruners.BasePruner  # of the study


def named_function(name: str | None, key: str, listed: Any) -> Callable[..., Any] | None:
    """The function that a setting names by its dotted path; None where it names none.

    Args:
        key: Of the setting, below `hydra.sweeper`.
        listed: What may be called, see `docclf.safety.allow.require_allowed`.

    Raises:
        ConfigError: It may not be called, or there is none.
    """
    if not name:
        return None
    require_allowed(name, listed, f"hydra.sweeper.{key}")
    try:
        return get_method(name)
    except Exception as error:  # of whatever module is imported
        raise ConfigError(f"Expected `hydra.sweeper.{key}` to name a function, got {name}: {error}") from error


def read_request(
    settings: Settings,
    config: DictConfig,
    loader: ConfigLoader,
    arguments: Sequence[str],
    listed: Any,
) -> Request:
    """Read and check what needs no study.

    Args:
        config: The composed config of the sweep, `hydra` included.
        arguments: Overrides of the command line.
        listed: What the settings may call, see `named_function`.

    Raises:
        ConfigError: A setting, a file or a function is not as it must be.
        SpaceError: Nor is the space, or a value in it.
    """
    cwd = Path(config.hydra.runtime.cwd)
    if members := settings.finalists.members:  # imported when there are finalists
        require_allowed(members, listed, "hydra.sweeper.finalists.members")
    check = named_function(settings.check, "check", listed)

    def compose(overrides: Sequence[str]) -> DictConfig:
        return loader.load_sweep_config(config, list(overrides))

    space = parse_space(settings.params, arguments, settings.conditional or (), loader)
    space = _with_constants(space, compose)
    check_space(space, compose, config)
    first = baseline(space, compose(space.fixed)) if settings.baseline else None
    check_values(space, compose, check)
    final = check_finalists(settings.finalists, space, compose)
    if check is not None and final is not None:
        check(final)
    objectives, directions = read_objectives(settings.metric, settings.direction)
    climb = read_climb(settings, space, compose(space.fixed), directions)
    complete = [climb.on_a_rung] if climb is not None else []
    entries = read_entries(settings.enqueue or [], space, config, cwd, *complete)
    with reading("a study", settings.warm_start_from):
        source = read_study(settings.warm_start_from, cwd) if settings.warm_start_from else None
    pruner = make_pruner(settings.pruner)
    rehearse(settings, space, directions)
    configs = [compose(space.overrides(first or {})), *([final] if final is not None else [])]
    return Request(compose, space, first, configs, objectives, directions, climb, entries, source, pruner)


def _with_constants(space: Space, compose: Callable[[Sequence[str]], DictConfig]) -> Space:
    """Give a space the values of the keys that its conditions name but that it does not search."""
    named = {key for parameter in space.parameters for key in parameter.when} - set(space.keys)
    if not named:
        return space
    config = compose(space.fixed)
    check_keys(named, config)
    constants = values_of(named, config)
    if without := sorted(named - constants.keys()):
        raise SpaceError(f"Expected a value of `{without[0]}`, which `when` names, got none. Say {without[0]}=VALUE.")
    return replace(space, constants=constants)
