"""Flags and settings of Hydra that are looked at before it acts on them, since it would end in a traceback."""

import logging
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationValidationError, OmegaConfBaseException

from docclf.cli.composing import parsed
from docclf.errors import ConfigError
from docclf.safety.allow import require_allowed
from docclf.safety.targets import whitelist
from docclf.sweeper.hydra_private import read_arguments
from docclf.sweeper.job.current import is_ours

_HYDRAS = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
# Of which Hydra takes one.
_ACTIONS = ("run", "multirun", "shell_completion", "info", "cfg")


def fill_in_home(text: str) -> str:
    """An override whose value is a path below `~`, which shells fill in at the beginning of a word alone.

    >>> fill_in_home("data.root=~/pages").startswith("data.root='/"), fill_in_home("~seed"), fill_in_home("x=a~/b")
    (True, '~seed', 'x=a~/b')
    >>> fill_in_home("data.root=~/a,~/b").count("'"), fill_in_home("data.root=~/a,~/b").count("data.root")
    (4, 1)
    """
    key, equals, value = text.partition("=")
    path = value.strip("'\"")
    if not equals or not (path == "~" or path.startswith("~/")):
        return text
    if path == value and ",~" in value:  # several folders of a sweep
        return ",".join(fill_in_home(f"{key}={one}") for one in value.split(",")).replace(f",{key}=", ",")
    quoted = str(Path(path).expanduser()).replace("'", "\\'")
    return f"{key}='{quoted}'"


def require_usable(config: DictConfig) -> None:
    """See that Hydra can set a run up as its settings say; it would end in a traceback.

    Raises:
        ConfigError: It cannot.
    """
    hydra = config.hydra
    if not (isinstance(hydra.verbose, bool | str) or OmegaConf.is_list(hydra.verbose)):
        raise ConfigError(
            f"Expected true, false or loggers in `hydra.verbose`, got {hydra.verbose}. Say hydra.verbose=true"
        )
    is_known = not OmegaConf.is_missing(hydra.job, "name") and not OmegaConf.is_interpolation(hydra.job, "name")
    if is_known and len(Path(hydra.job.name).parts) != 1:
        raise ConfigError(
            f"Expected the name of a file in `hydra.job.name`, got {hydra.job.name}. Say hydra.job.name=train"
        )
    names = logging.getLevelNamesMapping()
    for key in ("hydra_logging", "job_logging"):
        settings: Any = {} if OmegaConf.is_missing(hydra, key) else hydra[key]
        root = settings.get("root", "none")  # null leaves logging as it is
        is_usable = OmegaConf.is_dict(root) and root.get("level", "INFO") in {*names, *names.values()}
        if root is not None and not is_usable:
            raise ConfigError(
                f"Expected `hydra.{key}` to have a `root` with a level of {', '.join(names)}, got "
                f"{root}. Say hydra/{key}=default"
            )


def settle_flags() -> Any:
    """Read the command line, in which -m is left out where a search is only shown.

    Raises:
        ConfigError: Flags that do not go together, at which Hydra would end in a traceback, or act otherwise.
        OverrideParseException: Hydra will say so too.
    """
    given = read_arguments(sys.argv[1:])
    if given.help:
        return given
    if given.multirun and (given.cfg or given.info):
        _show_search(given)
        given = read_arguments(sys.argv[1:])
    if given.cfg == "hydra" and given.resolve:  # which names keys of the job
        raise ConfigError("Expected --cfg all or --cfg job with --resolve, got --cfg hydra. Say --cfg all --resolve")
    if given.hydra_help and (own := [text for text in given.overrides if not text.lstrip("+~").startswith("hydra")]):
        raise ConfigError(f"Expected --hydra-help alone, got {own[0]} besides. For help with that say --help")
    actions = [f"--{name.replace('_', '-')}" for name in _ACTIONS if getattr(given, name)]
    if len(actions) > 1:
        raise ConfigError(f"Expected one of {' and '.join(actions)}, got both. Leave out {actions[0]}")
    return given


def require_own_first(arguments: Namespace) -> None:
    """See that the command has docclf's own configs first, and names one by name.

    Raises:
        ConfigError: It has not.
    """
    if arguments.experimental_rerun is not None:
        raise ConfigError(
            "Expected a config for a run, got --experimental-rerun, which takes Hydra's own settings from there too. "
            "Say --config-dir RUN/.hydra --config-name config"
        )
    if arguments.config_path is not None:
        raise ConfigError(
            "Expected docclf's own configs and others behind them, got --config-path, which leaves out the former. "
            f"Say --config-dir {arguments.config_path} --config-name NAME"
        )
    name = Path(arguments.config_name or "")
    if name.is_absolute() or ".." in name.parts:
        raise ConfigError(
            f"Expected the name of a config, got --config-name {name}, a path. "
            f"Say --config-dir {name.parent} --config-name {name.stem}"
        )


def _show_search(given: Any) -> None:
    """Have what is searched on the command line shown where that of a config is: Hydra takes no sweep without -m."""
    from docclf.sweeper.space.grammar import encode  # with Optuna, for which other commands need not wait

    sys.argv[1:] = [text for text in sys.argv[1:] if text not in ("-m", "--multirun")]
    shown = {}
    for override in parsed(given.overrides):
        if not override.is_sweep_override():
            continue
        text, key = str(override.input_line), override.get_key_element()
        if key.lstrip("+").startswith(("hydra", "hparams_search")):
            is_listed = isinstance(override.value(), ChoiceSweep)
            option = next(override.sweep_string_iterator()) if is_listed else "NAME"
            raise ConfigError(f"Expected one option of `{key}` to show, got several: {text}. Say {key}={option}")
        shown[text] = f"++hydra.sweeper.params={{{key}:{encode(text.partition('=')[2])}}}"
    sys.argv[1:] = [shown.get(text, text) for text in sys.argv[1:]]


def stay_here(overrides: Sequence[str]) -> None:
    """Leave out `hydra.job.chdir`, which would make all paths of the config those of each run's folder."""
    sys.stderr.write("hydra.job.chdir=true is left out: paths are those of the folder where the command is called\n")
    at = sys.argv.index(overrides[-1], 1) + 1 if overrides else len(sys.argv)
    sys.argv.insert(at, "hydra.job.chdir=false")


def require_plugins(config: DictConfig) -> None:
    """See that Hydra has the plugins and may call the callbacks that are named; it would end in a traceback.

    Raises:
        ConfigError: It has not, or may not.
    """
    for key, kind in (("sweeper", Sweeper), ("launcher", Launcher)):
        node = config.hydra[key]
        target = node.get("_target_") if isinstance(node, DictConfig) else node
        known = [f"{one.__module__}.{one.__qualname__}" for one in Plugins.instance().discover(kind)]
        if target not in known:
            raise ConfigError(
                f"Expected `hydra.{key}._target_` to be one of {', '.join(sorted(known))}, got {target}. "
                f"Leave it out, or choose with hydra/{key}=NAME."
            )
    for name, node in (config.hydra.callbacks or {}).items():
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise ConfigError(
                f"Expected `hydra.callbacks.{name}` to have a _target_, got {node}. Say ~hydra.callbacks.{name}"
            )
        require_allowed(node["_target_"], whitelist(), f"hydra.callbacks.{name}._target_")


def require_search(config: DictConfig, overrides: Sequence[str], config_name: str) -> None:
    """See that -m has something to do, and that its settings name keys that there are, of the kind wanted.

    Without a search and without values to go through, it would train one run; Hydra would end in a traceback.

    Raises:
        ConfigError, OmegaConfBaseException: It has not, or they do not, or one has no value.
    """
    sweeper = config.hydra.sweeper
    is_sweep = any(override.is_sweep_override() for override in parsed(overrides)) or sweeper.get("params")
    if config_name == "train" and not is_sweep and sweeper["_target_"] == _HYDRAS:
        raise ConfigError(
            "Expected a search with -m, or values to go through as in seed=1,2, got neither. "
            "Say python -m docclf.train -m hparams_search=optuna"
        )
    try:
        OmegaConf.to_container(sweeper, resolve=True)
        if is_ours(config.hydra) and (missing := sorted(OmegaConf.missing_keys(sweeper))):
            raise ConfigError(f"Expected a value of `hydra.sweeper.{missing[0]}`, got none. Leave it out.")
    except OmegaConfBaseException as error:  # others may be known in a job alone
        is_wrong = isinstance(error, InterpolationKeyError | InterpolationValidationError)
        if is_wrong or "Environment variable" in str(error):
            raise
