"""A database server that may be away for a while."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

# What a server says that is there, and will say again.
_REFUSALS = ("password", "authentication", "pg_hba.conf", "does not exist", "Unknown database", "Access denied")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class _Patience:
    """Of this process."""

    seconds = 300.0  # how long a server may be away: as long as it takes to restart one
    back = 0.0  # when it last came back, in seconds since 1970


def patient(call: Callable[[], Any], what: str) -> Any:
    """What `call` returns, called again while the database server is away, for 5 minutes at most.

    Args:
        what: What `call` asks for, in words.
    """
    started, pause = time.monotonic(), _FIRST_PAUSE_S
    while True:
        try:
            answer = call()
        except Exception as error:
            if not _is_away(error) or time.monotonic() - started > _Patience.seconds:
                raise
            if pause == _FIRST_PAUSE_S:
                log.warning(f"The database is away, trying again ({what}): {_reason(error)}")
        else:
            if pause > _FIRST_PAUSE_S:
                _Patience.back = time.time()
                log.info(f"The database is back after {time.monotonic() - started:.0f} s")
            return answer
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def back_since() -> float:
    """When a database that was away came back, as this process saw it, in seconds since 1970; 0 if it never was.

    Until then no process could say that it lives.
    """
    return _Patience.back


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """While entered, a database that is away is tried for 3 seconds, and then left alone: the search shall end."""
    before, _Patience.seconds = _Patience.seconds, 3.0
    try:
        yield
    except Exception as error:
        if not _is_away(error):
            raise
        log.warning(f"The database is away; once it is back, the same command retries running trials: {_reason(error)}")
    finally:
        _Patience.seconds = before


def _reason(error: BaseException) -> str:
    """First line of what the driver says; Optuna's and SQLAlchemy's words around it are of no use here."""
    while error.__cause__ is not None:
        error = error.__cause__
    error = getattr(error, "orig", None) or error
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_away(error: BaseException | None) -> bool:
    """Whether an error comes from a connection that failed, and not from what was asked."""
    from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError

    while error is not None:
        if isinstance(error, OperationalError | InterfaceError | PendingRollbackError):
            said = str(getattr(error, "orig", None) or error)
            return not any(text in said for text in _REFUSALS)
        error = error.__cause__
    return False
