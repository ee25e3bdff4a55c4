"""A few trials in memory with the sampler and the pruner of a search: Optuna checks some of their options at work."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna

from docclf.errors import ConfigError, DocclfError, error_text
from docclf.sweeper.config import Settings
from docclf.sweeper.space.parameters import Space
from docclf.sweeper.strategy.pruners import make_pruner
from docclf.sweeper.strategy.samplers import make_sampler

# Trials, and the reports of each.
_N = 5
# Options that say after how much there is something to do, with what they are at most here.
_AT_MOST = {"n_startup_trials": 1, "population_size": 3, "n_warmup_steps": 0, "n_startup_steps": 1, "patience": 1}
_WAYS_OUT = {"sampler": "tpe", "pruner": "none"}
# It imports torch, which takes longer than a search of few trials, whose parameters it never draws.
_NOT_ASKED = "optuna.samplers.GPSampler"
_RANDOM = {"_target_": "optuna.samplers.RandomSampler"}
_NO_PRUNER = {"_target_": "optuna.pruners.NopPruner"}


def rehearse(settings: Settings, space: Space, directions: Sequence[Any]) -> None:
    """Refuse a sampler or a pruner that fails at work, naming the option.

    Args:
        directions: minimize or maximize, for each objective.

    Raises:
        ConfigError: One does.
    """

    def work(sampler: Mapping[str, Any], pruner: Mapping[str, Any]) -> None:
        made = make_sampler(sampler, space, 0)
        study = optuna.create_study(directions=directions, sampler=made, pruner=make_pruner(pruner))
        worse = 1.0 if directions[0] == "minimize" else -1.0
        for number in range(_N):
            trial = study.ask()
            space.suggest(trial)
            for step in range(_N if len(directions) == 1 else 0):
                trial.report(worse * (number + step), step)
                trial.should_prune()
            study.tell(trial, [worse * number for _ in directions])

    if settings.sampler["_target_"] != _NOT_ASKED:
        _require_works("sampler", settings.sampler, lambda option: work(option, _NO_PRUNER))
    if len(directions) == 1:
        _require_works("pruner", settings.pruner, lambda option: work(_RANDOM, option))


def _require_works(group: str, option: Mapping[str, Any], work: Callable[[Mapping[str, Any]], None]) -> None:
    for key, value in option.items():
        if key.startswith("n_") and isinstance(value, int) and value < 0:
            raise ConfigError(f"Expected `hydra.sweeper.{group}.{key}` to be at least 0, got {value}. Leave it out.")
    soon = {k: min(value, _AT_MOST.get(k, value)) if type(value) is int else value for k, value in option.items()}
    if (error := _failure(work, soon)) is None:
        return
    if isinstance(error, DocclfError):
        raise error
    reason = error_text(error).rstrip(".")
    for key, value in option.items():
        if key in ("_target_", *_AT_MOST) or value is None:
            continue
        without = {k: v for k, v in soon.items() if k != key}
        if None in (_failure(work, without), _failure(work, {**without, key: None})):
            raise ConfigError(
                f"Expected a value of `hydra.sweeper.{group}.{key}` that Optuna can work with, got {value}: "
                f"{reason}. Leave it out."
            ) from error
    raise ConfigError(
        f"Expected a {group} that works with this search space, got {str(option['_target_']).rpartition('.')[2]}: "
        f"{reason}. Say hydra/sweeper/{group}={_WAYS_OUT[group]}."
    ) from error


def _failure(work: Callable[[Mapping[str, Any]], None], option: Mapping[str, Any]) -> Exception | None:
    """What an option raises at work; warnings come when the search itself does it."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            work(option)
    except Exception as error:
        return error
    finally:
        optuna.logging.set_verbosity(verbosity)
    return None
