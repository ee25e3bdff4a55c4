"""What a job says that it is at, kept in the study for who watches the search."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING

from docclf.sweeper.study.attributes import PROGRESS

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

# Seconds between two texts that are kept: few, and in long trials, whose texts a journal file would be full of, more.
_PAUSE_S, _LONG_PAUSE_S = 2.0, 10.0
_LONG = 0.02  # of the time since the first one
# So much longer than it took is the pause after one was kept, for a database that is slow.
_PAUSES = 200


class ProgressWriter:
    """Keeps some of many texts as an attribute of a trial, the first one included.

    Each is written in a thread of its own: a database that is slow or away keeps no training waiting, and what it does
    not take is lost.
    """

    def __init__(self, storage: BaseStorage, trial_id: int) -> None:
        # Without the patience that the database gets otherwise: the next text is as good as this one.
        self._storage: BaseStorage = getattr(storage, "inner", storage)
        self._trial_id = trial_id
        self._writer: threading.Thread | None = None
        self._first, self._next = math.inf, 0.0

    def tell(self, text: str) -> None:
        """Keep a text, if the last one is old enough."""
        now = time.monotonic()
        if now < self._next or (self._writer is not None and self._writer.is_alive()):
            return
        self._first = min(self._first, now)
        self._next = now + max(_PAUSE_S, min(_LONG * (now - self._first), _LONG_PAUSE_S))
        self._writer = threading.Thread(target=self._write, args=(text,), name="progress", daemon=True)
        self._writer.start()

    def _write(self, text: str) -> None:
        started = time.monotonic()
        with contextlib.suppress(Exception):  # the trial may have ended meanwhile
            self._storage.set_trial_user_attr(self._trial_id, PROGRESS, text)
        now = time.monotonic()
        self._next = max(self._next, now + _PAUSES * (now - started))
