"""Studies opened to be looked at: from a search's folder, or from any Optuna storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from docclf.errors import ConfigError
from docclf.sweeper.passwords import hide_password
from docclf.sweeper.storage import choose_study, open_storage, study_name, study_storage


def open_study(place: str) -> tuple[optuna.Study, Path | None, DictConfig | None]:
    """Open a study to look at it; nothing is changed, and others may be writing to it.

    Args:
        place: A search's folder, a folder with a study.db, or a storage URL, with `#NAME` where it holds several.

    Returns:
        The study, its folder where it has one, and the config of its sweep where the folder holds it.

    Raises:
        ConfigError: There is no such study.
    """
    folder, (url, _, name) = Path(place), place.partition("#")
    if folder.is_dir():
        config = read_sweep_config(folder)
        storage = _storage_of(folder, config)
        name = str(study_name(config.hydra)) if config is not None else ""
        return choose_study(storage, place, likely=name), folder, config
    if "://" not in url and not Path(url).is_file():
        raise ConfigError(
            f"Expected a search's folder or a storage URL such as sqlite:///study.db#NAME, got {place}: no such folder."
        )
    storage = _sqlite(Path(url.removeprefix("sqlite:///"))) if url.startswith("sqlite:///") else open_storage(url)
    return choose_study(storage, hide_password(place), name), None, None


def read_sweep_config(folder: Path) -> DictConfig | None:
    """What a sweep has left of its config; None where the folder holds none.

    Raises:
        ConfigError: The file cannot be read.
    """
    path = folder / "multirun.yaml"
    if not path.is_file():
        return None
    try:
        config = OmegaConf.load(path)
    except Exception as error:  # of the YAML parser, of OmegaConf or of the disk
        raise ConfigError(f"Expected the config of a search in {path}, got something else: {error}") from error
    is_ours = isinstance(config, DictConfig) and OmegaConf.select(config, "hydra.sweep.dir") is not None
    return config if is_ours else None  # type: ignore[return-value]


def _storage_of(folder: Path, config: DictConfig | None) -> BaseStorage:
    elsewhere: Any = OmegaConf.select(config, "hydra.sweeper.storage") if config is not None else None
    if elsewhere is not None and config is not None:
        return study_storage(config.hydra)
    return _sqlite(folder / "study.db")  # beside it, wherever the folder has been moved to


def _sqlite(path: Path) -> BaseStorage:
    """A storage that is only read: unlike `open_storage` this neither makes the file nor changes its settings."""
    if not path.is_file():
        raise ConfigError(f"Expected an Optuna study in {path}, got no such file. Name the folder of a search.")
    try:
        return optuna.storages.get_storage(
            RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs={"connect_args": {"timeout": 60}})
        )
    except (SQLAlchemyError, RuntimeError) as error:
        reason = getattr(error, "orig", None) or error
        raise ConfigError(f"Expected an Optuna study in {path}, got something else: {reason}") from error
