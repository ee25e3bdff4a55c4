"""Where a config of somebody else may have files written: looked at in the config of a command and of each of its jobs.

A search, or a sweep over options, gives jobs values that the command's own config has not, by mappings and
interpolations too. So what counts is the config that a job has in the end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from docclf import CONF_DIR
from docclf.errors import ConfigError
from docclf.safety.permission import VARIABLE, allowed, is_listed
from docclf.safety.untrusted import require_whole

# Keys that were typed, one a line, for the jobs.
_TYPED = "DOCCLF_TYPED"
_STUDIES = ("search.storage", "search.warm_start_from", "search.enqueue")


def foreign_folders(hydra: Any) -> list[Path]:
    """Where a config was composed out of, without docclf's own folder; packages are installed code.

    Args:
        hydra: The part of the config that is Hydra's.
    """
    found = [Path(source.path).absolute() for source in hydra.runtime.config_sources if source.schema == "file"]
    return [folder for folder in found if folder.resolve() != CONF_DIR.resolve()]


def note_typed(keys: Iterable[str]) -> None:
    """Let the jobs know which keys were typed."""
    os.environ[_TYPED] = "\n".join(keys)


def check_folder(hydra: Any, key: str) -> None:
    """Refuse a folder that Hydra would write to, and of a run that goes on also read, where a link leads out of it.

    The folder where the command runs, and those above it, are the user's own.

    Args:
        hydra: The part of the config that is Hydra's.
        key: What names the folder, `run.dir` or `sweep.dir`.

    Raises:
        DataError: One does.
    """
    with suppress(OmegaConfBaseException):  # what Hydra fills in later is typed, or docclf's own
        folder = Path(str(OmegaConf.select(hydra, key))).absolute()
        if not Path.cwd().is_relative_to(folder):
            require_whole(folder)


def check_job(cfg: DictConfig, hydra: Any) -> None:
    """Refuse a job whose config has places that a folder of configs may not name, before it reads or writes anything.

    Args:
        cfg: The job's config.
        hydra: The part of it that is Hydra's; None where it was not composed for a command.

    Raises:
        ConfigError, DataError: See `check_places`.
    """
    if hydra is not None and foreign_folders(hydra):
        check_places(cfg, os.environ.get(_TYPED, "").split("\n"), searches=hydra.mode == RunMode.MULTIRUN)


def check_places(cfg: DictConfig, typed: Sequence[str], *, searches: bool) -> None:
    """Refuse places to write to and servers to talk to that were not typed.

    Args:
        typed: Keys of the command line.
        searches: Whether the command goes through several jobs.

    Raises:
        ConfigError: There is such a place.
        DataError: A link leads out of it.
    """

    def given(key: str) -> Any:
        value = None if is_typed(key, typed) else OmegaConf.select(cfg, key, throw_on_missing=False)
        return None if value in (None, "") else value

    name = given("study_name")
    if name is not None and not re.fullmatch(r"\w[^/\\\x00-\x1f\x7f]*", str(name)):
        refuse("study_name", name, "the folder of a search, by more than a plain name")
    cache = given("data.cache_dir")
    if cache is not None and not Path(str(cache), "contents.db").is_file():
        refuse("data.cache_dir", cache, "where decoded pages are written, unless they have been before")
    if cache is not None:
        require_whole(Path(str(cache)))
    for key in ("trainer.default_root_dir", "trainer.profiler"):
        if given(key) is not None:
            refuse(key, given(key), "where a trainer writes")
    # A model is exported into its run where no other place is named.
    exported = "run" if "output" in cfg and cfg.output is None else "output"
    below = {exported: "which file is written", "teacher": "which run is learnt from"}
    root = given("data.root")
    if root is not None and not Path(str(root)).exists() and given("data.draw") is not None:
        below["data.root"] = "where pages are drawn"
    for key, what in below.items():
        if given(key) is not None and not _is_below(str(given(key))):
            refuse(key, given(key), f"{what}, outside the folder where the command runs")
    for key in _STUDIES:
        if searches and given(key):
            refuse(key, given(key), "which study a search writes to or starts from")


def is_typed(key: str, typed: Sequence[str]) -> bool:
    """Whether a key, or one above it, is among those that were typed."""
    return any(key == name or key.startswith(f"{name}.") for name in typed)


def refuse(key: str, value: Any, what: str) -> None:
    """Refuse what a folder of configs says of a key, unless `DOCCLF_ALLOW` lists that.

    Raises:
        ConfigError: It does not.
    """
    if is_listed(key, allowed()):
        return
    raise ConfigError(
        f"Expected the folder of configs to leave `{key}` alone, which decides {what}; got {value}. If you want that, "
        f"type it: {key}=... on the command line, or allow it there: {VARIABLE}={key}"
    )


def _is_below(path: str) -> bool:
    return Path(path).resolve().is_relative_to(Path.cwd().resolve())
