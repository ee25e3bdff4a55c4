"""Settings of Hydra that are looked at before it acts on them, since it would end in a traceback."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationValidationError, OmegaConfBaseException

from docclf.errors import ConfigError
from docclf.safety.allow import require_allowed
from docclf.safety.targets import whitelist

_OURS = "docclf.sweeper.plugin.DocclfSweeper"
_HYDRAS = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


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
    """See that -m has something to do: without a search and without values to go through, it would train one run.

    Raises:
        ConfigError: It has not.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    is_sweep = any(override.is_sweep_override() for override in parsed) or config.hydra.sweeper.get("params")
    if config_name == "train" and not is_sweep and config.hydra.sweeper["_target_"] == _HYDRAS:
        raise ConfigError(
            "Expected a search with -m, or values to go through as in seed=1,2, got neither. "
            "Say python -m docclf.train -m hparams_search=optuna"
        )


def require_resolvable(config: DictConfig) -> None:
    """See that the settings of a search name keys that there are, of the kind wanted; Hydra would end in a traceback.

    Raises:
        ConfigError, OmegaConfBaseException: They do not, or one has no value.
    """
    sweeper = config.hydra.sweeper
    try:
        OmegaConf.to_container(sweeper, resolve=True)
        if sweeper["_target_"] == _OURS and (missing := sorted(OmegaConf.missing_keys(sweeper))):
            raise ConfigError(f"Expected a value of `hydra.sweeper.{missing[0]}`, got none. Leave it out.")
    except OmegaConfBaseException as error:  # others may be known in a job alone
        if isinstance(error, InterpolationValidationError):
            raise ConfigError(
                f"Expected `{_misfit(sweeper, 'hydra.sweeper')}` to refer to a value of its kind, got another: "
                f"{str(error).splitlines()[0]}"
            ) from error
        if isinstance(error, InterpolationKeyError) or "Environment variable" in str(error):
            raise


def _misfit(node: DictConfig, key: str) -> str:
    """The first key below a node whose interpolation comes to a value of another kind; empty without one."""
    for name in map(str, node):
        try:
            child = node[name]
        except InterpolationValidationError:
            return f"{key}.{name}"
        except OmegaConfBaseException:  # has no value
            continue
        if isinstance(child, DictConfig) and (found := _misfit(child, f"{key}.{name}")):
            return found
    return ""
