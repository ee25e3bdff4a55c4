"""A command's config, composed apart from the command: to look at what a folder of configs does to it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from docclf import CONF_DIR
from docclf.errors import ConfigError
from docclf.safety.untrusted import inside

_SEARCHPATH = "hydra.searchpath"


class Composer:
    """Composes as Hydra will, with nothing run, logged or written."""

    def __init__(self, config_name: str, arguments: Namespace) -> None:
        self.name = arguments.config_name or config_name
        self.mode = RunMode.MULTIRUN if arguments.multirun else RunMode.RUN
        given = [Path(CONF_DIR.parent, path) for path in (arguments.config_path,) if path is not None]
        given += [Path(path).absolute() for path in (arguments.config_dir,) if path is not None]
        typed = [override for override in parsed(arguments.overrides) if override.key_or_group == _SEARCHPATH]
        values = [override.value() for override in typed]
        self.typed = [str(path) for value in values if isinstance(value, list) for path in value]
        listed = [Path(path.removeprefix("file://")).absolute() for path in self.typed if _is_folder(path)]
        self.folders = [folder for folder in (*given, *listed) if folder.resolve() != CONF_DIR.resolve()]
        """Those that are not docclf's own; packages that were typed as `pkg://` are installed code."""

    @property
    def primary(self) -> Path | None:
        """The file of a foreign folder that the command begins with; None where it is docclf's own."""
        places = (folder / f"{self.name}.yaml" for folder in (CONF_DIR, *self.folders))
        found = next((path for path in places if path.is_file()), None)
        return None if found is None or found.parent == CONF_DIR else found

    @contextmanager
    def open(self) -> Iterator[None]:
        """Where `compose` may be called."""
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF_DIR if self.primary is None else self.primary.parent)):
            yield

    @property
    def searchpath(self) -> list[str]:
        """The override that makes Hydra look into all folders; empty where it does."""
        first = CONF_DIR if self.primary is None else self.primary.parent
        others = [f"file://{folder}" for folder in (CONF_DIR, *self.folders) if folder != first]
        packages = [path for path in self.typed if not _is_folder(path)]
        quoted = ",".join(f"'{path}'" for path in (*others, *packages))
        return [f"{_SEARCHPATH}=[{quoted}]"] if quoted else []

    def compose(self, overrides: Sequence[str], last: str = "") -> DictConfig:
        """The config with all folders.

        Args:
            overrides: As typed.
            last: One more, in place of those of its key.

        Raises:
            ConfigError: What is given as an option is no name, or a variable that jobs are to have is not set.
        """
        kept = [text for text in overrides if _key(text) not in (_SEARCHPATH, _key(last) if last else None)]
        given = [*self.searchpath, *kept, *([last] if last else [])]
        loader = GlobalHydra.instance().config_loader()
        try:
            return loader.load_configuration(self.name, given, self.mode)
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

    def options(self, group: str) -> Iterator[tuple[str, Path]]:
        """Options of a group that foreign folders have and docclf has not, each with its file."""
        for folder in self.folders:
            for path in sorted((folder / group).rglob("*.yaml")):
                name = path.relative_to(folder / group).with_suffix("").as_posix()
                if not (CONF_DIR / group / f"{name}.yaml").is_file():
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


def searchpath_of(path: Path) -> Any:
    """What a primary config adds to the places of configs, read as Hydra does."""
    return OmegaConf.select(OmegaConf.load(path), _SEARCHPATH)


def _is_folder(path: str) -> bool:
    return path.startswith("file://") or "://" not in path


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
