"""Who may start the next trial, when several processes, perhaps of several machines, search one study."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from docclf.files import lock
from docclf.sweeper.optuna_private import backend_of, journal_file
from docclf.sweeper.storage.patience import patient
from docclf.sweeper.storage.shared import SharedStorage

# Seconds after which a database takes a claim back from a machine that is gone; one lasts milliseconds.
_LONGEST_CLAIM_S = 60
_POLL_S = 0.01


class ClaimLostError(Exception):
    """The database let go of a claim before its holder did: another process may have had it at the same time."""


def claim_lock(storage: BaseStorage, study_name: str) -> AbstractContextManager[Any]:
    """A lock that one process of a study holds at a time, for as long as it is entered.

    A file beside SQLite's or the journal's, or a lock of the database server, which lets go when its connection ends.

    Args:
        storage: Where the study lives. Of another kind than those, there is no lock, and a trial too many is possible.

    Raises:
        ClaimLostError: At its end, if the server was away meanwhile. What was done under it may have been done twice.
    """
    storage = storage.inner if isinstance(storage, SharedStorage) else storage
    if isinstance(storage, JournalStorage):
        path = journal_file(storage)
        return _file_lock(path) if path else nullcontext()
    database = storage if isinstance(storage, RDBStorage) else backend_of(storage)
    if not isinstance(database, RDBStorage):
        return nullcontext()
    dialect, file = database.engine.dialect.name, database.engine.url.database
    if dialect == "sqlite":
        return _file_lock(Path(file)) if file and file != ":memory:" else nullcontext()
    return _server_lock(database, f"docclf {study_name}") if dialect in _TAKE else nullcontext()


def is_remote(storage: BaseStorage) -> bool:
    """Whether other machines may use a storage: it is no file of this one."""
    storage = storage.inner if isinstance(storage, SharedStorage) else storage
    if isinstance(storage, JournalStorage):
        return journal_file(storage) is None
    backend = backend_of(storage)
    return not (isinstance(backend, RDBStorage) and backend.engine.dialect.name == "sqlite")


def _file_lock(path: Path) -> AbstractContextManager[Any]:
    return lock(path.with_name(f".{path.name}.claim.lock"), _POLL_S)


@contextmanager
def _server_lock(database: RDBStorage, name: str) -> Iterator[None]:
    from sqlalchemy.exc import DBAPIError

    connection: Any = patient(lambda: _connect_and_take(database, name), "the right to start a trial")
    try:
        yield
        try:
            held = _give(connection, name)
        except DBAPIError as error:
            raise ClaimLostError from error
        if not held:
            raise ClaimLostError
    except BaseException:
        connection.invalidate()  # back in the pool it would keep the lock
        raise
    finally:
        connection.close()


def _connect_and_take(database: RDBStorage, name: str) -> Any:
    connection = database.engine.connect()
    try:
        _TAKE[database.engine.dialect.name](connection, name)
    except BaseException:
        connection.invalidate()
        connection.close()
        raise
    return connection


def _run(connection: Any, statement: str, **given: Any) -> Any:
    from sqlalchemy import text

    return connection.execute(text(statement), given)


def _take_postgresql(connection: Any, name: str) -> None:
    _run(connection, f"SET LOCAL idle_in_transaction_session_timeout = '{_LONGEST_CLAIM_S}s'")
    _run(connection, "SELECT pg_advisory_xact_lock(:key)", key=zlib.crc32(name.encode()))


def _take_mysql(connection: Any, name: str) -> None:
    while _run(connection, "SELECT GET_LOCK(:key, 60)", key=name[:60]).scalar() != 1:
        pass
    if _LONGEST_CLAIM_S:
        _run(connection, f"SET SESSION wait_timeout = {_LONGEST_CLAIM_S}")


def _give(connection: Any, name: str) -> bool:
    """Let go; whether it was still held."""
    held = True
    if connection.engine.dialect.name != "postgresql":
        held = _run(connection, "SELECT RELEASE_LOCK(:key)", key=name[:60]).scalar() == 1
        _run(connection, "SET SESSION wait_timeout = DEFAULT")
    connection.commit()  # which ends PostgreSQL's
    return held


_TAKE = {"postgresql": _take_postgresql, "mysql": _take_mysql, "mariadb": _take_mysql}
