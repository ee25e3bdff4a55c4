"""Who may start the next trial, when several processes, perhaps of several machines, search one study."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from docclf.sweeper.patience import PatientStorage, patient


def claim_lock(storage: BaseStorage, study_name: str) -> AbstractContextManager[Any]:
    """A lock that one process of a study holds at a time, for as long as it is entered.

    A file beside SQLite's or the journal's, or a lock of the database server, which lets go when its connection ends.

    Args:
        storage: Where the study lives. Of another kind than those, there is no lock, and a trial too many is possible.
        study_name: Its name.
    """
    storage = storage.inner if isinstance(storage, PatientStorage) else storage
    backend: Any = getattr(storage, "_backend", None)
    if isinstance(storage, JournalStorage):
        path = getattr(backend, "_file_path", None)
        return _file_lock(Path(path)) if path else nullcontext()
    database = storage if isinstance(storage, RDBStorage) else backend
    if not isinstance(database, RDBStorage):
        return nullcontext()
    dialect, file = database.engine.dialect.name, database.engine.url.database
    if dialect == "sqlite":
        return _file_lock(Path(file)) if file and file != ":memory:" else nullcontext()
    return _server_lock(database, dialect, f"docclf {study_name}")


def is_remote(storage: BaseStorage) -> bool:
    """Whether other machines may use a storage: it is no file of this one."""
    if isinstance(storage, JournalStorage):
        return not hasattr(storage._backend, "_file_path")
    backend: Any = getattr(storage, "_backend", None)
    return not (isinstance(backend, RDBStorage) and backend.engine.dialect.name == "sqlite")


def _file_lock(path: Path) -> AbstractContextManager[Any]:
    return FileLock(path.with_name(f".{path.name}.claim.lock"))


@contextmanager
def _server_lock(database: RDBStorage, dialect: str, name: str) -> Iterator[None]:
    from sqlalchemy import text

    statements = {
        "postgresql": ("SELECT pg_advisory_lock(:key)", "SELECT pg_advisory_unlock(:key)"),
        "mysql": ("SELECT GET_LOCK(:key, 600)", "SELECT RELEASE_LOCK(:key)"),
    }
    if dialect not in statements:
        yield
        return
    take, give = statements[dialect]
    values = {"key": zlib.crc32(name.encode()) if dialect == "postgresql" else name[:60]}
    connection = patient(database.engine.connect, "lock")
    try:
        connection.execute(text(take), values)
        yield
        connection.execute(text(give), values)
    except BaseException:
        connection.invalidate()  # back in the pool it would keep the lock
        raise
    finally:
        connection.close()
