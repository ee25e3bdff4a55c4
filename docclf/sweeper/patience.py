"""A storage on a database server that may be away for a while."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

log = logging.getLogger(__name__)

# How long a server may be away: as long as it takes to restart one.
_PATIENCE_S = 300.0


class PatientStorage(BaseStorage):
    """Passes every call on, and makes it again while the server cannot be reached.

    A call whose answer was lost may take effect twice. Nothing comes of that: a trial without an owner is taken for
    dead, and a trial that has ended stays as it is.

    Args:
        inner: The storage.
    """

    def __init__(self, inner: BaseStorage) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:  # what only some storages have
        return getattr(self.inner, name)

    def __reduce__(self) -> Any:
        return PatientStorage, (self.inner,)


def patient(call: Callable[[], Any], what: str) -> Any:
    """What `call` returns, called again while the database server is away, for 5 minutes at most."""
    from sqlalchemy.exc import DBAPIError

    deadline, pause = time.monotonic() + _PATIENCE_S, 0.2
    while True:
        try:
            return call()
        except (StorageInternalError, DBAPIError) as error:
            if not _is_away(error) or time.monotonic() > deadline:
                raise
            if pause == 0.2:
                log.warning(f"The database is away, trying again ({what}): {str(error).splitlines()[0]}")
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause, 5.0)


def _is_away(error: BaseException | None) -> bool:
    """Whether an error comes from a connection that failed, and not from what was asked."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    while error is not None:
        if isinstance(error, OperationalError | InterfaceError) or getattr(error, "connection_invalidated", False):
            return True
        error = error.__cause__
    return False


def _forward(name: str) -> Callable[..., Any]:
    def method(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return patient(lambda: getattr(self.inner, name)(*args, **kwargs), name)

    method.__name__ = name
    return method


for _name in (name for name in vars(BaseStorage) if not name.startswith("_") and callable(getattr(BaseStorage, name))):
    setattr(PatientStorage, _name, _forward(_name))
PatientStorage.__abstractmethods__ = frozenset()
