"""A study that is opened, new or to go on, with all that it is searched with."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from docclf.errors import ConfigError
from docclf.files import replacing
from docclf.safety.untrusted import reading, require_whole
from docclf.sweeper.config import Settings
from docclf.sweeper.run.limits import Clock
from docclf.sweeper.run.opening.request import Request, named_function, read_request
from docclf.sweeper.run.opening.settings import label
from docclf.sweeper.space.checks import values_of
from docclf.sweeper.space.grammar import extremes, to_text
from docclf.sweeper.storage.places import study_name, study_storage, sweep_dir
from docclf.sweeper.strategy.climb import Climb
from docclf.sweeper.strategy.ladder import Ladder, read_ladder
from docclf.sweeper.strategy.memory import most_known, remembered
from docclf.sweeper.strategy.pruners import check_pruner
from docclf.sweeper.strategy.samplers import Grid, make_sampler
from docclf.sweeper.study.attributes import ENQUEUED, RUNG
from docclf.sweeper.study.continuation import Before, require_known_folders, require_same_search
from docclf.sweeper.study.starting_points import fitting_trials
from docclf.sweeper.study.trials import best_trial

_CONFIG = "multirun.yaml"


@dataclass
class SearchContext:
    """A study and what it is searched with."""

    settings: Settings  # of the sweep
    study: optuna.Study  # where results are told
    known: list[FrozenTrial]  # trials of another study that the sampler shall know
    request: Request  # what is searched for, and how
    config: DictConfig  # the composed config of the sweep, `hydra` included
    directory: Path  # the sweep's folder
    labels: list[str]  # what lines on the screen call the objectives
    total: float  # finished trials in all; infinite for no limit
    clock: Clock  # counts the time budget
    listed: Any  # what settings may call, see `docclf.sweeper.run.opening.request.named_function`
    hook: Callable[[DictConfig, optuna.Trial], None] | None = None  # draws more, given the config and the trial
    # called when a trial is the best so far, given the study, the sweep's folder and the config
    on_best: Callable[[optuna.Study, Path, DictConfig], None] | None = None
    ladder: Ladder | None = None  # says which trials pause and go on; None where none pauses


def open_study(
    settings: Settings,
    config: DictConfig,
    hydra_context: HydraContext,
    arguments: Sequence[str],
    started: float,
    preload: Callable[[], None] = lambda: None,
) -> SearchContext:
    """Read and check everything, then create the study or open it to continue.

    Args:
        config: The composed config of the sweep, `hydra` included.
        arguments: Overrides of the command line.
        started: When the run began, in seconds since 1970.
        preload: Called before the preflight, unless the last trial has been begun before.

    Raises:
        InputError: See `docclf.sweeper.plugin.DocclfSweeper.sweep`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    listed = hydra_context.execution_whitelist
    hook = named_function(settings.custom_search_space, "custom_search_space", listed)
    preflight = named_function(settings.preflight, "preflight", listed)
    on_best = named_function(settings.on_best, "on_best", listed)
    request = read_request(settings, config, hydra_context.config_loader, arguments, listed)
    directory = sweep_dir(config.hydra)
    require_whole(directory)
    directory.mkdir(parents=True, exist_ok=True)  # what the preflight logs goes there
    if math.isinf(settings.n_trials) or not (directory / f"{settings.n_trials - 1:.0f}").exists():
        preload()
    facts = dict(preflight(*request.configs)) if preflight else {}
    before = Before(**facts.pop("before", {}))
    check_pruner(request.pruner, settings.pruner, len(request.directions), facts.get("steps") or 0)
    study, request, n_before = _open(settings, config, request, directory, facts, before)
    known, entries = _lessons(settings, request, study, directory, n_before)
    climb = request.climb
    return SearchContext(
        settings=settings,
        study=study,
        known=known,
        request=replace(request, entries=entries, source=None),
        config=config,
        directory=directory,
        labels=label(request.objectives, settings.labels),
        total=_total(settings.n_trials, study, climb, entries, has_baseline=request.first is not None),
        clock=Clock(study, started, settings.timeout),
        listed=listed,
        hook=hook,
        on_best=on_best,
        ladder=read_ladder(settings, facts.get("steps"), request.directions, climb.rungs[-1] if climb else None),
    )


def _open(
    settings: Settings,
    config: DictConfig,
    request: Request,
    directory: Path,
    facts: Mapping[str, Any],
    before: Before,
) -> tuple[optuna.Study, Request, int]:
    """The study, new or to go on, the request as it is for it, and how many trials it has; keeps the config."""
    space = request.space
    file = directory / "study.db"
    if config.hydra.sweeper.storage is None and not (file.is_file() and file.stat().st_size):
        require_known_folders(None, directory, config)  # before there is a file that the lost one would be put beside
    with reading("a study", directory):
        study = optuna.create_study(
            study_name=study_name(config.hydra),
            storage=study_storage(config.hydra),
            directions=request.directions,
            load_if_exists=True,
            pruner=request.pruner,
        )
        facts = {**facts, **(before.facts if before.fits(study, facts) else {})}
        aims = dict(zip(request.objectives, request.directions, strict=True))
        require_same_search(study, space, facts, aims, settings, config, request.compose, before.names)
        if before.fits(study, facts):
            space = replace(space, fixed=(*space.fixed, *before.overrides))
        n_before = require_known_folders(study, directory, config)
        study.sampler = make_sampler(settings.sampler, space, n_before)
    with replacing(directory / _CONFIG) as partial:  # another process may read it
        OmegaConf.save(config, partial)
    return study, replace(request, space=space), n_before


def _lessons(
    settings: Settings, request: Request, study: optuna.Study, directory: Path, n_before: int
) -> tuple[list[FrozenTrial], dict[str, dict[str, Any]]]:
    """Trials of another study for the sampler, and what is tried first, winners of earlier searches among it."""
    source, climb, space, entries = settings.warm_start_from, request.climb, request.space, request.entries
    with reading("a study", source):
        known = fitting_trials(request.source, space, study.directions) if request.source is not None else []
    if climb is not None:
        for trial in known:
            trial.set_user_attr(RUNG, to_text(trial.params[climb.key]))
    if known and settings.warm_start == "best":
        best = best_trial(known, study.directions[0])
        known, entries = [], entries | ({f"best of {source}": best.params} if best else {})
    if isinstance(study.sampler, Grid):  # which draws nothing for an entry, and tries the winners that fit anyway
        lowest = {name: extremes(distribution)[0] for name, distribution in space.distributions.items()}
        rest = lowest | space.fitting(values_of(space.keys, request.configs[0]))
        entries = {text: {**rest, **params} for text, params in entries.items()}
    elif n_before == 0:
        entries = entries | remembered(
            settings.memory,
            directory,
            space,
            request.configs[0],
            same=settings.memory_of or (),
            most=most_known(settings.n_trials) - (len(climb.portfolio) if climb is not None else 0),
            **({"complete": climb.on_a_rung} if climb is not None else {}),
        )
    return known, entries


def _total(
    n_trials: float, study: optuna.Study, climb: Climb | None, entries: Collection[str], *, has_baseline: bool
) -> float:
    """Finished trials in all: no more than a grid has points, beside those that are given."""
    if not isinstance(study.sampler, Grid):
        return n_trials
    if climb is not None:
        raise ConfigError(
            "Expected a search without rungs for a grid, which visits every point in its own order. Say "
            "hydra.sweeper.climb=null, or choose another sampler, for example hydra/sweeper/sampler=tpe."
        )
    queued = {trial.user_attrs[ENQUEUED] for trial in study.get_trials(deepcopy=False) if ENQUEUED in trial.user_attrs}
    return min(n_trials, study.sampler.size + has_baseline + len(queued.union(entries)))
