"""Where a study lives, for the sweeper and for every job of it alike."""

from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.storages import BaseStorage, RDBStorage

# Seconds that a writer waits for another one before SQLite gives up.
_SQLITE_WAIT_S = 60.0


def study_url(hydra: DictConfig) -> str:
    """Storage URL of the study that a sweep or a job of it belongs to.

    Args:
        hydra: The `hydra` node of the config of the sweep or of the job.
    """
    if hydra.sweeper.storage is not None:
        return str(hydra.sweeper.storage)
    return f"sqlite:///{sweep_dir(hydra) / 'study.db'}"


def sweep_dir(hydra: DictConfig) -> Path:
    """Absolute folder of a sweep."""
    return Path(hydra.runtime.cwd, hydra.sweep.dir)


def study_name(hydra: DictConfig) -> str:
    """Name of the study in its storage: as configured, or that of the sweep's folder."""
    return str(hydra.sweeper.study_name or sweep_dir(hydra).name)


def open_storage(url: str) -> BaseStorage:
    """Open a storage; SQLite waits for other writers and commits without waiting for the disk at each step."""
    if not url.startswith("sqlite:"):
        return optuna.storages.get_storage(url)
    from sqlalchemy import event

    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _SQLITE_WAIT_S}})

    def set_pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", set_pragmas)
    storage.engine.dispose()  # connections opened before the pragmas
    return storage
