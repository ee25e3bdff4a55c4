"""Studies in files of SQLite, to which several processes write."""

from __future__ import annotations

import atexit
from functools import lru_cache
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from docclf.errors import ConfigError
from docclf.files import lock
from docclf.safety.sqlite import Connection

# Seconds that a writer waits for another one before SQLite gives up.
_WAIT_S = 60.0
# SQLite's write-ahead log needs memory shared by all its processes: not across a network.
_NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "9p"}


def open_sqlite(url: str, path: Path) -> RDBStorage:
    """Open a file of SQLite, made now where it is not there, so that several processes may write to it.

    Args:
        url: Of the file.
        path: The file.

    Raises:
        ConfigError: It cannot be opened.
        DataError: See `docclf.files.lock` and `docclf.safety.sqlite.require_own_journal`.
    """
    from sqlalchemy import event
    from sqlalchemy.exc import SQLAlchemyError

    def set_pragmas(connection: Any, _: Any) -> None:
        if _filesystem(path.parent) not in _NETWORK_FILESYSTEMS:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

    # Two processes that make the tables at once would trip over each other.
    try:
        with lock(path.with_name(f".{path.name}.lock")):
            storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _WAIT_S, "factory": Connection}})
            event.listen(storage.engine, "connect", set_pragmas)
            storage.engine.dispose()  # connections opened before the pragmas
            atexit.register(storage.engine.dispose)  # so that study.db is whole without what stands beside it
            storage.get_all_studies()
    except (SQLAlchemyError, StorageInternalError, OSError, RuntimeError) as error:
        reason = getattr(error, "orig", None) or error
        raise ConfigError(
            f"Could not open {path}: {type(reason).__name__}: {reason}. If it is damaged, put a whole copy in its "
            "place, or search anew with hydra.sweep.dir=NEW_FOLDER."
        ) from error
    return storage


@lru_cache
def _filesystem(folder: Path) -> str:
    """Type of the filesystem that holds a folder, empty where /proc does not tell."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [line.split() for line in lines]
    holding = [(len(m[1]), m[2]) for m in mounts if folder.resolve().is_relative_to(m[1].replace("\\040", " "))]
    return max(holding, default=(0, ""))[1]
