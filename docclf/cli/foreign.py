"""What a folder of configs may not decide: looked at before Hydra acts on a command with `--config-dir`.

Such a folder may be somebody else's. Its configs say how a model is trained and what a search varies. What Hydra runs,
which files are written and whom a command talks to stays with docclf's own conf/ and with what is typed.
"""

import os
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from docclf.cli.composing import Composer, foreign_folders, foreign_options, own_config, parsed
from docclf.cli.hydra_settings import require_own_first
from docclf.safety.allow import require_allowed
from docclf.safety.interpolations import unsafe_interpolation
from docclf.safety.places import TYPED, check_places, is_typed, refuse, typed_keys
from docclf.safety.untrusted import inside, read_yaml

# Hydra sets these itself.
_OWN_OF_RUN = tuple(f"hydra.runtime.{key}" for key in ("version", "version_base", "cwd", "config_sources", "choices"))
_OWN = ("hydra.searchpath", "hydra.job.config_name", *_OWN_OF_RUN)
# Read before Hydra composes: where it finds configs, and what overrides mean.
_FIRST = {"searchpath": "where Hydra finds configs", "aliases": "what is meant by what is typed"}
# A search is data; what it calls is asked for by name. Where it is kept and what it starts from is not.
_PLACES = ("storage", "warm_start_from", "enqueue", "memory", "study_name", "_target_")
_NAMES = tuple(
    f"hydra.sweeper.{key}"
    for key in ("preload", "preflight", "custom_search_space", "check", "on_best", "finalists.members")
)
# Keys that no search may give its jobs, and what is below them.
_NOT_SEARCHED = (
    "hydra",
    "study_name",
    "search",
    "data.cache_dir",
    "data.draw",
    "trainer.default_root_dir",
    "trainer.profiler",
    "output",
)


def check_foreign(arguments: Namespace, config_name: str) -> DictConfig:
    """Refuse a command whose folder of configs decides more than a folder may.

    Returns:
        The command's config.

    Raises:
        ConfigError: It does. Nothing was written, imported or asked for on a network.
        OmegaConfBaseException: A value cannot be resolved.
        HydraException: Hydra cannot compose the config.
    """
    require_own_first(arguments)
    composer = Composer(config_name, arguments)
    with composer.open():
        for key, what in _FIRST.items():
            if value := composer.in_primary(f"hydra.{key}"):
                refuse(f"hydra.{key}", value, what)
        found = composer.compose(arguments.overrides)
    if not (folders := foreign_folders(found.hydra)):
        return found
    os.environ[TYPED] = "\n".join(_typed(found, arguments))
    for folder in folders:
        for path in folder.glob("*.yaml"):
            inside(folder, path.name)
    of_hydra = [text for text in arguments.overrides if text.lstrip("+~").startswith(("hydra.", "hydra/"))]
    known = _references(config_name, [text for text in of_hydra if "searchpath" not in text])
    _check(found, known, arguments)
    if is_search(arguments, found):
        with composer.open():
            for text, one in _options(composer, found, arguments):
                _check(one, known, arguments, text)
    return found


def check_job(cfg: DictConfig) -> None:
    """Refuse a job whose config has places that a folder of configs may not name, before it reads or writes anything.

    Args:
        cfg: The job's config, of which the part that is Hydra's may have been taken out, as it is for a task.

    Raises:
        ConfigError, DataError: See `docclf.safety.places.check_places`.
    """
    hydra: Any = cfg.get("hydra") or (HydraConfig.get() if HydraConfig.initialized() else None)
    if hydra is not None and foreign_folders(hydra):
        check_places(cfg, typed_keys(), searches=hydra.mode == RunMode.MULTIRUN)


def is_search(arguments: Namespace, config: DictConfig) -> bool:
    """Whether Hydra will go through several runs: asked for by -m, or by a setting."""
    return bool(arguments.multirun) or config.hydra.mode == RunMode.MULTIRUN


def _options(composer: Composer, found: DictConfig, arguments: Namespace) -> Iterator[tuple[str, DictConfig]]:
    """The config with each option of the folders that a sweep could choose, and the override that chooses it."""
    swept = [one.get_key_element() for one in parsed(arguments.overrides) if one.is_sweep_override()]
    searched = [*swept, *_keys_of_search(found)]
    folders = foreign_folders(found.hydra)
    keys = [*map(str, found.hydra.runtime.choices), *(key.lstrip("+~") for key in searched), *searched]
    for key in dict.fromkeys(key for key in keys if not key.startswith("hydra")):
        group = key.lstrip("+~").partition("@")[0]
        for name, path in foreign_options(folders, group):
            content = read_yaml(path)
            if isinstance(content, dict) and "${" in str(content.get("defaults")):
                refuse(f"{group}={name}", "interpolated defaults", "which files a trial is made of")
            try:
                one = composer.compose(arguments.overrides, f"{key}={name}")
            except HydraException as error:
                if key in searched:  # which another choice may make whole
                    refuse(f"{group}={name}", str(error).partition("\n")[0], "what a trial is made of")
                continue
            yield f"{key}={name}", one


def _references(config_name: str, of_hydra: Sequence[str]) -> list[dict[str, Any]]:
    """Leaves of docclf's own configs: what a command and a search have without the folder; and those of Hydra."""
    found = []
    own = [text for text in of_hydra if "/" not in text.partition("=")[0]]  # without an option that the folder may have
    # The last one is what Hydra sets by itself, for the config of a run that was made for no search.
    for name, more in ((config_name, []), ("train", []), ("train", ["hparams_search=optuna"]), (None, [])):
        for overrides in (of_hydra, own):
            with suppress(Exception):  # a command without a search
                plain = OmegaConf.to_container(own_config(name, [*more, *overrides]), resolve=False)
                found.append(dict(_leaves(plain)))
                break
    return found


def _check(cfg: DictConfig, known: Sequence[Mapping[str, Any]], arguments: Namespace, chosen: str = "") -> None:
    typed, searches = _typed(cfg, arguments), is_search(arguments, cfg)
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    for key, value in _leaves(raw):
        if any(key in leaves and leaves[key] == value for leaves in known) or is_typed(key, typed):
            continue
        if key.startswith("hydra.overrides.") and value in ([], *arguments.overrides, chosen):
            continue
        if key in _NAMES or (key.startswith(f"{_NAMES[0]}.")):
            require_allowed(value, (), key)
        elif key.startswith("hydra.") and not _is_free(key):
            refuse(key, value, "what Hydra runs and where it writes")
        elif key == "study_name" and searches and "${" in str(value):
            refuse(key, value, "the folder of a search, by what its jobs may change")
        if isinstance(value, str) and (wrong := unsafe_interpolation(value)):
            refuse(key, wrong, "what is read from the environment")
    _check_search(cfg)
    check_places(cfg, typed, searches=searches)


def _typed(cfg: DictConfig, arguments: Namespace) -> list[str]:
    """Keys of the command line but for groups, of which the folder may have the option."""
    keys = [override.get_key_element().lstrip("+~") for override in parsed(arguments.overrides)]
    return [key for key in keys if key not in cfg.hydra.runtime.choices]


def _check_search(cfg: DictConfig) -> None:
    """Refuse what a search would give its jobs besides data."""
    for key in _keys_of_search(cfg):
        for name in key.lstrip("+~").split("@"):
            plain = ".".join(part for part in re.split(r"[.\[\]/\\:]+", name) if part)
            if any(plain == part or plain.startswith(f"{part}.") for part in _NOT_SEARCHED):
                refuse(f"hydra.sweeper.params.{key}", "a search over it", "what Hydra runs and where it writes")
    for key, text in _leaves(_searched(cfg, resolve=True)):
        if isinstance(text, str) and "${" in text:  # which would be resolved again, in the jobs
            refuse(f"hydra.sweeper.{key}", text, "what is read from the environment")


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a plain config that holds no others, by its dotted key."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, child in items:
        yield from _leaves(child, f"{key}.{name}" if key else str(name))
    if not items:
        yield key, value


def _is_free(key: str) -> bool:
    """Whether a key of `hydra` is Hydra's own, or data of a search, or allowed."""
    if any(key == own or key.startswith(f"{own}.") for own in _OWN):
        return True
    return key.startswith("hydra.sweeper.") and key.split(".")[2] not in _PLACES


def _searched(cfg: DictConfig, *, resolve: bool) -> dict[str, Any]:
    chosen = {key: OmegaConf.select(cfg, f"hydra.sweeper.{key}") for key in ("params", "conditional", "finalists")}
    is_node = OmegaConf.is_config
    return {key: OmegaConf.to_container(v, resolve=resolve) if is_node(v) else v for key, v in chosen.items()}


def _keys_of_search(cfg: DictConfig) -> list[str]:
    """Keys that the jobs of a search get values for."""
    plain = _searched(cfg, resolve=False)
    finalists = plain["finalists"] or {}
    branches = [block.get("params") for block in plain["conditional"] or [] if isinstance(block, Mapping)]
    given = [plain["params"], finalists.get("overrides"), *(finalists.get("references") or {}).values(), *branches]
    found = [str(key) for values in given if isinstance(values, Mapping) for key in values]
    return list(dict.fromkeys(found))
