"""Studies opened to be looked at: from a search's folder, or from any Optuna storage."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from docclf.errors import ConfigError, DataError
from docclf.safety.sqlite import Connection
from docclf.safety.untrusted import inside, plain, read_config, read_yaml, require_whole
from docclf.sweeper.storage.hiding import hide_password, split_name
from docclf.sweeper.storage.passwords import STORAGE, storage_named_by_user
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

JOURNALS = (".log", ".journal")


def open_study(place: str) -> tuple[optuna.Study, Path | None, DictConfig | None]:
    """Open a study to look at it; nothing is changed, and others may be writing to it.

    Args:
        place: A search's folder, a folder with a study.db, or a storage URL, with `#NAME` where it holds several.

    Returns:
        The study, its folder where it has one, and the config of its sweep where the folder holds it.

    Raises:
        ConfigError: There is no such study.
    """
    folder, (url, name) = Path(place), split_name(place)
    if folder.is_dir():
        require_whole(folder)
        config = read_sweep_config(folder)
        storage = _storage_of(folder, config)
        name = str(study_name(config.hydra)) if config is not None else ""
        return choose_study(storage, place, likely=name), folder, config
    if "://" not in url and not Path(url).is_file():
        raise ConfigError(
            f"Expected a search's folder or a storage URL such as sqlite:///study.db#NAME, got {place}: no such folder."
        )
    storage = _sqlite(sqlite_path(url)) if url.startswith("sqlite:///") else open_storage(url)
    return choose_study(storage, hide_password(place), name), None, None


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


def _storage_of(folder: Path, config: DictConfig | None) -> BaseStorage:
    where = storage_of(folder, config)
    if isinstance(where, DictConfig):
        return study_storage(where)
    if isinstance(where, Path):
        return _sqlite(where) if where.suffix not in JOURNALS else open_storage(str(where))
    return open_storage(where)


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
    given = storage_named_by_user()
    if OmegaConf.is_config(named):
        places = list(_places_in(OmegaConf.to_container(named), Path(str(config.hydra.runtime.cwd))))
        if not places:
            kind = plain(str(named.get("_target_")))
            raise ConfigError(
                f"Expected the study of {folder} in a place that is kept, got {kind}, which names none. Search "
                "again without search.storage, or with a file or URL."
            )
        if given.issuperset(places):
            hydra: DictConfig = config.hydra
            return hydra
        raise _elsewhere(folder, "\n".join(places))
    path = Path(str(config.hydra.runtime.cwd), sqlite_path(str(named)))
    if str(named) in given:
        return str(named) if "://" in str(named) else path
    if "://" in str(named).removeprefix("sqlite:///"):
        raise _elsewhere(folder, str(named))
    if str(path) in given and path.is_file():
        return path
    # Sent along with the folder.
    found = next((place for place in (folder / path.name, beside) if place.is_file()), None)
    if found is None:
        raise _elsewhere(folder, str(path))
    return inside(folder, found.name)


def _places_in(storage: Any, cwd: Path) -> Iterator[str]:
    """The URLs, servers and files that a storage given as an object names."""
    if isinstance(storage, dict):
        if "url" in storage:
            yield str(storage["url"])
        if "host" in storage or "port" in storage:
            yield f"{storage.get('host')}:{storage.get('port')}"
        yield from (str(cwd / str(storage[key])) for key in ("file_path", "filepath") if key in storage)
        for child in storage.values():
            yield from _places_in(child, cwd)


def _elsewhere(folder: Path, place: str) -> ConfigError:
    shown = plain(hide_password(place))
    return ConfigError(
        f"Expected the study of {folder} in that folder, got {shown}, which its multirun.yaml names. A folder from "
        f"others could name any place, so it is not looked at. If it is yours, say so where you type the command: "
        f"{STORAGE}={shlex.quote(shown)}"
    )


def _sqlite(path: Path) -> BaseStorage:
    """A storage that is only read: unlike `open_storage` this neither makes the file nor changes its settings."""
    if not path.is_file():
        raise ConfigError(f"Expected an Optuna study in {path}, got no such file. Name the folder of a search.")
    url = sqlite_url(path.absolute())
    try:
        return shared(RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60, "factory": Connection}}))
    except (SQLAlchemyError, RuntimeError) as error:
        reason = getattr(error, "orig", None) or error
        raise ConfigError(f"Expected an Optuna study in {path}, got something else: {reason}") from error
