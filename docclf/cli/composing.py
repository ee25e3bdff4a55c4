"""A command's config, composed apart from the command: to look at what a folder of configs does to it."""

import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import SearchPathException
from hydra.plugins.config_source import ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from docclf import CONF_DIR
from docclf.errors import ConfigError
from docclf.safety.untrusted import inside

_SEARCHPATH = "hydra.searchpath"


class Composer:
    """Composes as Hydra will, out of the same places in the same order, with nothing run, logged or written."""

    def __init__(self, config_name: str, arguments: Namespace) -> None:
        self.name = arguments.config_name or config_name
        self.searchpath = [
            str(one.input_line) for one in parsed(arguments.overrides) if one.key_or_group == _SEARCHPATH
        ]
        """Overrides that name folders besides."""
        self._arguments = arguments
        self._mode = RunMode.RUN

    @contextmanager
    def open(self) -> Iterator[None]:
        """Where `compose` may be called.

        Raises:
            HydraException: There is no folder of this name, or the mode of the command is none.
        """
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF_DIR)):
            hydra: Any = GlobalHydra.instance().hydra
            if self._arguments.config_dir is not None:  # which Hydra has behind the folder of the command
                folder = os.path.abspath(self._arguments.config_dir)  # noqa: PTH100 as Hydra, without `..` of links
                if not Path(folder).is_dir():
                    raise SearchPathException(f"Additional config directory '{folder}' not found")
                places = hydra.config_loader.get_search_path()
                places.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
                hydra.config_loader = type(hydra.config_loader)(places)
            overrides = [*self._arguments.overrides]
            mode = hydra.get_mode(self.name, overrides, hydra.config_loader.parse_overrides(self.name, overrides))
            is_search = self._arguments.multirun or mode == RunMode.MULTIRUN
            self._mode = RunMode.MULTIRUN if is_search else RunMode.RUN
            yield

    def in_primary(self, key: str) -> Any:
        """What the config that the command begins with says of a key of Hydra, where it is a foreign one; else None."""
        source = next((one for one in _sources() if one.is_config(self.name)), None)
        if source is None or source.scheme() != "file" or Path(source.path).resolve() == CONF_DIR.resolve():
            return None
        return OmegaConf.select(source.load_config(self.name).config, key)

    def compose(self, overrides: Sequence[str], last: str = "") -> DictConfig:
        """The config with all folders.

        Args:
            overrides: As typed.
            last: One more, in place of those of its key.

        Raises:
            ConfigError: What is given as an option is no name, or a variable that jobs are to have is not set.
            DataError: A file that it is made of is a link out of its folder.
        """
        given = [text for text in overrides if not last or _key(text) != _key(last)] + ([last] if last else [])
        loader = GlobalHydra.instance().config_loader()
        try:
            found = loader.load_configuration(self.name, given, self._mode)
            if folders := foreign_folders(found.hydra):
                for one in loader.compute_defaults_list(self.name, given, self._mode).defaults:
                    name = f"{one.config_path}.yaml"
                    for folder in (folder for folder in folders if (folder / name).is_file()):
                        inside(folder, name)
            return found
        except (ValueError, TypeError):
            self._require_names(overrides)
            raise
        except KeyError as error:
            if isinstance(error, OmegaConfBaseException):
                raise
            raise ConfigError(
                f"Expected variables of the environment in `hydra.job.env_copy`, got {error.args[0]}, which is not "
                f"set. Say export {error.args[0]}=VALUE"
            ) from error

    def _require_names(self, overrides: Sequence[str]) -> None:
        """See that each group gets names of options: Hydra ends in a traceback, or speaks of types."""
        loader = GlobalHydra.instance().config_loader()
        for override in parsed(overrides):
            key, value = override.key_or_group, override.value()
            names = value if isinstance(value, list) else [value]
            if override.is_sweep_override() or override.is_delete() or all(isinstance(name, str) for name in names):
                continue
            if options := loader.get_group_options(key, config_name=self.name, overrides=self.searchpath):
                option = "none" if "none" in options else options[0]
                raise ConfigError(
                    f"Expected an option of `{key}`, {', '.join(options)}, got {override.get_value_string()}. "
                    f"Leave it out for the default, or say for example {key}={option}"
                )


def foreign_folders(hydra: Any) -> list[Path]:
    """Where a config was composed out of, without docclf's own folder; packages are installed code.

    Args:
        hydra: The part of the config that is Hydra's.
    """
    found = [Path(source.path).absolute() for source in hydra.runtime.config_sources if source.schema == "file"]
    return [folder for folder in found if folder.resolve() != CONF_DIR.resolve()]


def names_folders(arguments: Namespace) -> bool:
    """Whether a command has configs that may be somebody else's."""
    named = (arguments.config_dir, arguments.config_path, arguments.experimental_rerun)
    return any(one is not None for one in named) or any("searchpath" in text for text in arguments.overrides)


def foreign_options(folders: Sequence[Path], group: str) -> Iterator[tuple[str, Path]]:
    """Options of a group that foreign folders have and docclf has not, each with its file.

    Raises:
        DataError: A link leads out of a folder, or to another group.
    """
    for folder in folders:
        for path in sorted((folder / group).rglob("*")):
            name = path.relative_to(folder / group).with_suffix("").as_posix()
            if path.is_symlink() and path.is_dir():
                inside(folder, f"../{name}")  # refused: what lies behind it is found under another name
            if path.suffix == ".yaml" and not (CONF_DIR / group / f"{name}.yaml").is_file():
                yield name, inside(folder, path.relative_to(folder).as_posix())


def own_config(config_name: str | None, overrides: Sequence[str]) -> DictConfig:
    """A config of docclf's own folder alone; of None what Hydra sets by itself."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR)):
        return GlobalHydra.instance().config_loader().load_configuration(config_name, [*overrides], RunMode.MULTIRUN)


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Overrides of the command line.

    Raises:
        OverrideParseException: Hydra will say so too.
    """
    found: list[Override] = OverridesParser.create().parse_overrides(list(overrides))
    return found


def _sources() -> list[ConfigSource]:
    found: list[ConfigSource] = GlobalHydra.instance().config_loader().get_sources()
    return found


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
