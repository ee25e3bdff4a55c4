"""Studies opened to be looked at: from a search's folder, or from any Optuna storage."""

from __future__ import annotations

import functools
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from docclf.errors import ConfigError, DataError
from docclf.safety.sqlite import JOURNALS, Connection, copy_study
from docclf.safety.untrusted import as_texts, inside, plain, read_config, read_yaml, require_whole
from docclf.sweeper.storage.hiding import hide_password, split_name
from docclf.sweeper.storage.passwords import STORAGE, is_typed_object, storage_named_by_user
from docclf.sweeper.storage.places import (
    choose_study,
    open_storage,
    shared,
    sqlite_path,
    sqlite_url,
    study_name,
    study_storage,
)
from docclf.sweeper.study.trials import best_trial

_SERVER = "optuna.storages.GrpcStorageProxy"


@dataclass(frozen=True)
class Place:
    """Where a study is."""

    text: str  # what the user calls it, without a password
    where: Path | str | DictConfig  # a file, a storage URL, or the `hydra` node of a config whose storage is an object
    name: str = ""  # of the study; empty where it is not named
    folder: Path | None = None  # the search's folder; None of a study that was named by its storage
    config: DictConfig | None = None  # the config of the sweep; None where the folder does not hold it

    def choose(self, storage: BaseStorage) -> optuna.Study:
        """The study that is meant, of those in its storage."""
        likely = str(study_name(self.config.hydra)) if self.config is not None else ""
        return choose_study(storage, self.text, self.name, likely)


def find_study(place: str) -> Place:
    """Where a study is that is named by a search's folder, a folder with a study.db, a file or a storage URL.

    Args:
        place: With `#NAME` behind it where a file or a database holds several studies.

    Raises:
        ConfigError: There is none.
    """
    folder = Path(place)
    if folder.is_dir():
        require_whole(folder)
        config = read_sweep_config(folder)
        where = storage_of(folder, config)
        if isinstance(where, Path) and not where.is_file():
            above = [place for place in folder.absolute().parents[:2] if (place / where.name).is_file()]  # of a trial
            way_out = "Copy it into that folder, or name the study by its storage URL, as in sqlite:///study.db#NAME."
            way_out = f"The search is in {shlex.quote(os.path.relpath(above[0]))}." if above else way_out
            raise ConfigError(f"Expected {where.name} for the search in {folder}, got no such file. {way_out}")
        return Place(place, where, "", folder, config)
    url, name = (place, "") if folder.exists() else split_name(place)
    path = url if "://" in url.removeprefix("sqlite:///") else sqlite_path(url)
    if isinstance(path, Path) and not path.is_file():
        raise ConfigError(
            f"Expected a search's folder, a study.db or a storage URL such as sqlite:///study.db#NAME, got {place}: no "
            "such file."
        )
    return Place(hide_password(place), path, name)


def open_study(place: str) -> tuple[optuna.Study, Path | None, DictConfig | None]:
    """Open a study to look at it; nothing is changed, and others may be writing to it.

    Args:
        place: See `find_study`.

    Returns:
        The study, its folder where it has one, and the config of its sweep where the folder holds it.

    Raises:
        ConfigError: There is no such study.
    """
    found = find_study(place)
    where = found.where
    if isinstance(where, Path) and not os.access(where.absolute().parent, os.W_OK):  # beside it SQLite keeps files
        where = copy_study(where, Path(tempfile.mkdtemp(dir=_scratch().name)))
    is_sqlite = isinstance(where, Path) and where.suffix not in JOURNALS
    storage = _sqlite(where) if is_sqlite else open_place(where)  # type: ignore[arg-type]
    return found.choose(storage), found.folder, found.config


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="docclf-study-")


def open_place(where: Path | str | DictConfig) -> BaseStorage:
    """The storage of a `Place`."""
    return study_storage(where) if isinstance(where, DictConfig) else open_storage(str(where))


def best_value(study: optuna.Study) -> float:
    """The best score of a search of one objective.

    Raises:
        RuntimeError: It has several.
        ValueError: No trial may win.
    """
    best = best_trial(study.get_trials(deepcopy=False), study.direction)
    if best is None:
        raise ValueError("Expected a finished trial that keeps to the constraints, got none. Search on.")
    return float(best.values[0])


def read_sweep_config(folder: Path) -> DictConfig | None:
    """What a sweep has left of its config; None where the folder holds none.

    Raises:
        ConfigError: The file cannot be read.
    """
    path = folder / "multirun.yaml"
    if not path.is_file():
        return None
    try:
        config = read_config(path) if isinstance(read_yaml(path), dict) else None
    except (DataError, OSError) as error:
        raise ConfigError(f"Expected the config of a search in {path}, got something else: {error}") from error
    is_ours = config is not None and OmegaConf.select(config, "hydra.sweep.dir") is not None
    return config if is_ours else None


def storage_of(folder: Path, config: DictConfig | None) -> Path | str | DictConfig:
    """Where the study of a folder is: a file in it, unless what the folder names was named by the user too.

    Args:
        folder: Of a search, perhaps somebody else's.
        config: The config of the sweep, if the folder holds it.

    Returns:
        A file, a storage URL, or the `hydra` node of a config whose storage is an object.

    Raises:
        ConfigError: The folder names another place; nothing there was looked at.
    """
    named: Any = OmegaConf.select(config, "hydra.sweeper.storage") if config is not None else None
    beside = folder / "study.db"  # wherever the folder has been moved to
    if config is None or named is None:
        return beside
    given, cwd = storage_named_by_user(), Path(str(config.hydra.runtime.cwd))
    if OmegaConf.is_config(named):
        whole: Any = OmegaConf.to_container(named, resolve=True)  # so that what is opened is what was looked at
        kind, place = _place_of(whole, cwd)
        if not place:
            raise ConfigError(
                f"Expected the study of {folder} in a place that is kept, got {plain(kind)}, which names none. Search "
                "again without search.storage, or with a file or URL."
            )
        if is_typed_object(whole):
            return _hydra_of(whole)
        if kind == _SERVER:
            if place not in given:
                raise _elsewhere(folder, place)
            return _hydra_of({"_target_": kind, "host": whole["host"], "port": whole["port"]})
        named = place
    path = Path(cwd, sqlite_path(str(named)))
    if str(named) in given:
        return str(named) if "://" in str(named).removeprefix("sqlite:///") else path
    if "://" in str(named).removeprefix("sqlite:///"):
        raise _elsewhere(folder, str(named))
    if str(path) in given and path.is_file():
        return path
    # Sent along with the folder.
    found = next((place for place in (folder / path.name, beside) if place.is_file()), None)
    if found is None:
        raise _elsewhere(folder, str(path))
    return inside(folder, found.name)


def _place_of(storage: dict[Any, Any], cwd: Path) -> tuple[str, str]:
    """What a storage given as an object is, and the URL, server or file that it names; empty where it names none.

    Nothing else of it is gone by: options of a driver name other servers, and read files.
    """
    kind, log = str(storage.get("_target_")), storage.get("log_storage")
    if kind == _SERVER:
        return kind, f"{storage['host']}:{storage['port']}" if {"host", "port"} <= storage.keys() else ""
    if isinstance(log, dict):
        return kind, str(cwd / str(log["file_path"])) if "file_path" in log else ""
    return kind, str(storage.get("url", ""))


def _hydra_of(storage: dict[Any, Any]) -> DictConfig:
    return OmegaConf.create({"sweeper": {"storage": as_texts(storage)}, "runtime": {"cwd": "."}})


def _elsewhere(folder: Path, place: str) -> ConfigError:
    shown = plain(hide_password(place))
    return ConfigError(
        f"Expected the study of {folder} in that folder, got {shown}, which its multirun.yaml names. A folder from "
        f"others could name any place, so it is not looked at. If it is yours, say so where you type the command: "
        f"{STORAGE}={shlex.quote(shown)}"
    )


def _sqlite(path: Path) -> BaseStorage:
    """A storage that is only read: unlike `open_storage` this neither makes the file nor changes its settings."""
    url = sqlite_url(path.absolute())
    try:
        return shared(RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60, "factory": Connection}}))
    except (SQLAlchemyError, RuntimeError) as error:
        reason = getattr(error, "orig", None) or error
        raise ConfigError(f"Expected an Optuna study in {path}, got something else: {reason}") from error
