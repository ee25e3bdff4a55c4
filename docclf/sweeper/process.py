"""The process that runs a search: what ends it, who it is, and whether another one still lives."""

from __future__ import annotations

import os
import signal
import socket
import threading
from types import FrameType
from typing import Any


class EndingSignals:
    """While entered, SIGINT and SIGTERM end what runs, and are remembered.

    Python drops an exception that a signal raises inside a finaliser or a weak reference's callback, of which a
    training runs many: `raise_dropped` raises it again, between trials. Outside the main thread it does nothing.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that such a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self._received or signal.SIGINT)

    def raise_dropped(self) -> None:
        """Raise if a signal came.

        Raises:
            SystemExit: With `exit_code`.
        """
        if self._received is not None:
            raise SystemExit(self.exit_code)

    def __enter__(self) -> EndingSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # Ignored means that somebody wants it so: a shell ignores SIGINT for what it runs in the background.
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._received = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(self.exit_code)


def this_process() -> str:
    """Host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_alive(owner: str | None) -> bool:
    """Whether another process may still run.

    Args:
        owner: What `this_process` returned there. One on another machine may run; this one is not another.
    """
    if owner is None:
        return False
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname():
        return True
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
