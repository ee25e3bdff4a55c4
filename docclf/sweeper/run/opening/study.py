"""A study that is opened, new or to go on, with all that it is searched with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.types import HydraContext
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from docclf.errors import ConfigError
from docclf.safety.allow import require_allowed
from docclf.safety.untrusted import reading, require_whole
from docclf.sweeper.run.clock import Clock
from docclf.sweeper.space.checks import baseline, check_finalists, check_keys, check_values, values_of
from docclf.sweeper.space.duration import read_timeout
from docclf.sweeper.space.grammar import to_text
from docclf.sweeper.space.parameters import Space
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.storage.places import study_name, study_storage, sweep_dir
from docclf.sweeper.strategy.climb import Climb, read_climb
from docclf.sweeper.strategy.ladder import Ladder, read_ladder
from docclf.sweeper.strategy.memory import remembered
from docclf.sweeper.strategy.pruners import check_pruner, make_pruner
from docclf.sweeper.strategy.samplers import Grid, make_sampler
from docclf.sweeper.study.attributes import RUNG
from docclf.sweeper.study.continuing import Before, has_content, require_known_folders, require_same_search
from docclf.sweeper.study.known import enqueue, fitting_trials, read_entries, read_study
from docclf.sweeper.study.outcome import read_bound
from docclf.sweeper.study.trials import best_trial

_CONFIG = "multirun.yaml"
_RANGES = {
    "stop_when_stagnant": (1, math.inf),
    "helpers": (0, math.inf),
    "retries": (0, math.inf),
    "max_failure_rate": (0, 1),
}


@dataclass
class Opened:
    """A study and what it is searched with.

    Attributes:
        study: Where results are told.
        known: Trials of another study that the sampler shall know.
        space: What is drawn.
        config: The composed config of the sweep, `hydra` included.
        directory: The sweep's folder.
        objectives: A name for each objective.
        labels: What lines on the screen call them.
        total: Finished trials in all; infinite for no limit.
        clock: Counts the time budget.
        n_before: Trials of the study when it was opened.
        baseline: Draws of trial 0; None to let the sampler choose.
        entries: Text to draws of what is tried next.
        hook: Draws more, given the config and the trial.
        on_best: Called when a trial is the best so far, given the study, the sweep's folder and the config.
        load_members: Imports what says which trials are re-evaluated too, which takes long; None where nothing does.
        climb: Says which rung a trial is on; None without rungs.
    """

    study: optuna.Study
    known: list[FrozenTrial]
    space: Space
    config: DictConfig
    directory: Path
    objectives: list[str]
    labels: list[str]
    total: float
    n_before: int
    clock: Clock
    baseline: dict[str, Any] | None = None
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    hook: Callable[[DictConfig, optuna.Trial], None] | None = None
    on_best: Callable[[optuna.Study, Path, DictConfig], None] | None = None
    load_members: Callable[[], Callable[[optuna.Study, Path, DictConfig], Sequence[int]] | None] = lambda: None
    climb: Climb | None = None
    ladder: Ladder | None = None

    def queue_entries(self) -> None:
        """Queue the entries that the study does not know yet."""
        enqueue(self.study, self.entries)


def open_study(
    settings: Mapping[str, Any],
    config: DictConfig,
    hydra_context: HydraContext,
    arguments: Sequence[str],
    started: float,
    on_new: Callable[[], None] = lambda: None,
) -> Opened:
    """Read and check everything, then create the study or open it to continue.

    Args:
        settings: The keys of `docclf.sweeper.config.SweeperConfig`.
        config: The composed config of the sweep, `hydra` included.
        hydra_context: Composes the jobs.
        arguments: Overrides of the command line.
        started: When the run began, in seconds since 1970.
        on_new: Called before the preflight of a search that has not been here before.

    Raises:
        InputError: See `docclf.sweeper.plugin.DocclfSweeper.sweep`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    hook, check, preflight, on_best, members = _functions(settings, hydra_context.execution_whitelist)
    asked = _read(settings, config, hydra_context.config_loader, arguments, check)
    directory = sweep_dir(config.hydra)
    require_whole(directory)
    directory.mkdir(parents=True, exist_ok=True)  # what the preflight logs goes there
    if not (directory / _CONFIG).exists():
        on_new()
    facts = dict(preflight(*asked.configs)) if preflight else {}
    before = Before(**facts.pop("before", {}))
    check_pruner(asked.pruner, _plain(settings["pruner"]), len(asked.directions), facts.get("steps"))
    study, space, n_before = _open(settings, config, asked, directory, facts, before)
    known, entries = _lessons(settings, asked, study, space, directory, n_before)
    return Opened(
        study=study,
        known=known,
        space=space,
        config=config,
        directory=directory,
        objectives=asked.objectives,
        labels=label(asked.objectives, settings["labels"]),
        total=_total(settings["n_trials"], study, asked.climb, (asked.first is not None) + len(entries)),
        n_before=n_before,
        clock=Clock(study, started, settings["timeout"]),
        baseline=asked.first,
        entries=entries,
        hook=hook,
        on_best=on_best,
        load_members=members,
        climb=asked.climb,
        ladder=read_ladder(settings, facts.get("steps"), asked.directions),
    )


@dataclass(frozen=True)
class _Asked:
    """What the settings ask for, before there is a study; `configs` are what the preflight looks at."""

    compose: Callable[[Sequence[str]], DictConfig]
    space: Space
    first: dict[str, Any] | None
    configs: list[DictConfig]
    objectives: list[str]
    directions: list[Any]
    climb: Climb | None
    entries: dict[str, dict[str, Any]]
    source: optuna.Study | None
    pruner: optuna.pruners.BasePruner


def _functions(settings: Mapping[str, Any], listed: Any) -> list[Any]:
    """What the settings name: hook, check, preflight, on_best, and what loads the one that chooses members."""
    if members := settings["finalists"]["members"]:
        require_allowed(members, listed, "hydra.sweeper.finalists.members")
    named = ("custom_search_space", "check", "preflight", "on_best")
    found = [_function(settings, key, listed) for key in named]
    return [*found, partial(_function, settings["finalists"], "members", listed)]


def _read(
    settings: Mapping[str, Any],
    config: DictConfig,
    loader: ConfigLoader,
    arguments: Sequence[str],
    check: Callable[[Any], object] | None,
) -> _Asked:
    cwd = Path(config.hydra.runtime.cwd)

    def compose(overrides: Sequence[str]) -> DictConfig:
        return loader.load_sweep_config(config, list(overrides))

    space = parse_space(_plain(settings["params"]), arguments, _plain(settings["conditional"]) or (), loader)
    check_keys(space.keys, config)
    space = _with_constants(space, compose)
    first = baseline(space, compose(space.fixed)) if settings["baseline"] else None
    check_values(space, compose, check)
    final = check_finalists(settings["finalists"], space, compose)
    if check is not None and final is not None:
        check(final)
    objectives, directions = read_objectives(settings["metric"], settings["direction"])
    climb = read_climb(settings, space, compose(space.fixed), directions)
    complete = [climb.on_a_rung] if climb is not None else []
    entries = read_entries(_plain(settings["enqueue"]) or [], space, config, cwd, *complete)
    with reading("a study", settings["warm_start_from"]):
        source = read_study(settings["warm_start_from"], cwd) if settings["warm_start_from"] else None
    pruner = make_pruner(settings["pruner"])
    configs = [compose(space.overrides(first or {})), *([final] if final is not None else [])]
    return _Asked(compose, space, first, configs, objectives, directions, climb, entries, source, pruner)


def _open(
    settings: Mapping[str, Any],
    config: DictConfig,
    asked: _Asked,
    directory: Path,
    facts: Mapping[str, Any],
    before: Before,
) -> tuple[optuna.Study, Space, int]:
    """The study, new or to be continued, its space, and how many trials it has; the config is kept in its folder."""
    space = asked.space
    if config.hydra.sweeper.storage is None and not has_content(directory / "study.db"):
        require_known_folders(None, directory, config)  # before there is a file that the lost one would be put beside
    with reading("a study", directory):
        study = optuna.create_study(
            study_name=study_name(config.hydra),
            storage=study_storage(config.hydra),
            directions=asked.directions,
            load_if_exists=True,
            pruner=asked.pruner,
        )
        facts = {**facts, **(before.facts if before.fits(study, facts) else {})}
        aims = dict(zip(asked.objectives, asked.directions, strict=True))
        require_same_search(study, space, facts, aims, settings, config, asked.compose, before.names)
        if before.fits(study, facts):
            space = replace(space, fixed=(*space.fixed, *before.overrides))
        n_before = require_known_folders(study, directory, config)
        study.sampler = make_sampler(settings["sampler"], space, n_before)
    OmegaConf.save(config, directory / _CONFIG)
    return study, space, n_before


def _lessons(
    settings: Mapping[str, Any], asked: _Asked, study: optuna.Study, space: Space, directory: Path, n_before: int
) -> tuple[list[FrozenTrial], dict[str, dict[str, Any]]]:
    """Trials of another study for the sampler, and what is tried first, winners of earlier searches among it."""
    source, climb, entries = settings["warm_start_from"], asked.climb, asked.entries
    with reading("a study", source):
        known = fitting_trials(asked.source, space, study.directions) if asked.source is not None else []
    if climb is not None:
        for trial in known:
            trial.set_user_attr(RUNG, to_text(trial.params[climb.key]))
    if known and settings["warm_start"] == "best":
        best = best_trial(known, study.directions[0])
        known, entries = [], entries | ({f"best of {source}": best.params} if best else {})
    if n_before == 0:
        entries = entries | remembered(
            settings["memory"],
            directory,
            space,
            asked.configs[0],
            same=_plain(settings["memory_of"]) or (),
            n_trials=settings["n_trials"],
            **({"complete": climb.on_a_rung} if climb is not None else {}),
        )
    return known, entries


def _total(n_trials: float, study: optuna.Study, climb: Climb | None, n_given: int) -> float:
    """Finished trials in all: no more than a grid has points, beside those that are given."""
    if not isinstance(study.sampler, Grid):
        return n_trials
    if climb is not None:
        raise ConfigError(
            "Expected a search without rungs for a grid, which visits every point in its own order. Say "
            "hydra.sweeper.climb=null, or choose another sampler, for example hydra/sweeper/sampler=tpe."
        )
    return min(n_trials, study.sampler.size + n_given)


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse what no other setting has to do with.

    Args:
        settings: The keys of `docclf.sweeper.config.SweeperConfig`.

    Returns:
        The settings with `timeout` in seconds, and an infinite `n_trials` for null.

    Raises:
        ConfigError: One is out of range.
    """
    n_trials, timeout = settings["n_trials"], read_timeout(settings["timeout"])
    if n_trials is None and timeout is None:
        raise ConfigError(
            "Expected a search that ends, got n_trials=null and timeout=null. "
            "Give a total, such as n_trials=20, or a time, such as timeout=30m, or both."
        )
    if n_trials is not None and n_trials < 1:
        raise ConfigError(f"Expected at least 1 trial, got n_trials={n_trials}. null: as many as there is time for.")
    if settings["n_jobs"] != "auto" and not (isinstance(settings["n_jobs"], int) and settings["n_jobs"] > 0):
        raise ConfigError(f"Expected at least 1 worker, or auto, got n_jobs={settings['n_jobs']}.")
    if (top_k := settings["finalists"]["top_k"]) < 0:
        raise ConfigError(f"Expected `finalists.top_k` to be at least 0, got {top_k}. 0 scores none again.")
    for key, (least, most) in _RANGES.items():
        if (value := settings[key]) is not None and not least <= value <= most:
            upper = "" if math.isinf(most) else f" and at most {most}"
            raise ConfigError(f"Expected `hydra.sweeper.{key}` to be at least {least}{upper}, got {value}.")
    if settings["warm_start"] not in ("best", "all"):
        raise ConfigError(f"Expected `hydra.sweeper.warm_start` to be best or all, got {settings['warm_start']}.")
    for name, bound in (settings["constraints"] or {}).items():
        try:
            read_bound(bound)
        except ValueError:
            message = f'Expected the bound of the constraint `{name}` to be a number, "<= 60" or ">= 0.5", got {bound}.'
            raise ConfigError(message) from None
    return {**settings, "timeout": timeout, "n_trials": math.inf if n_trials is None else n_trials}


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
    metric, direction = _plain(metric), _plain(direction)
    names = [str(name) for name in metric] if isinstance(metric, list) else [str(metric)]
    if isinstance(direction, dict):
        if unknown := [name for name in names if name not in direction]:
            raise ConfigError(f"Expected objectives out of {', '.join(direction)}, got {', '.join(unknown)}.")
        directions = [direction[name] for name in names]
    else:
        directions = list(direction) if isinstance(direction, list) else [direction]
    directions = [getattr(d, "name", d) for d in directions]
    if wrong := [d for d in directions if d not in ("minimize", "maximize")]:
        raise ConfigError(f"Expected the direction minimize or maximize, got {wrong[0]}.")
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


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _with_constants(space: Space, compose: Callable[[Sequence[str]], DictConfig]) -> Space:
    """Give a space the values of the keys that its conditions name but that it does not search."""
    named = {key for parameter in space.parameters for key in parameter.when} - set(space.keys)
    if not named:
        return space
    config = compose(space.fixed)
    check_keys(named, config)
    return replace(space, constants=values_of(named, config))


def _function(settings: Mapping[str, Any], key: str, listed: Any) -> Callable[..., Any] | None:
    """What a setting names by its dotted path, if that may be called, see `docclf.safety.allow.require_allowed`."""
    if not settings[key]:
        return None
    require_allowed(settings[key], listed, f"hydra.sweeper.{key}")
    try:
        return get_method(settings[key])
    except Exception as error:  # of whatever module is imported
        raise ConfigError(f"Expected `hydra.sweeper.{key}` to name a function, got {settings[key]}: {error}") from error
