"""The output of worker processes, on its way to wherever that of the search goes at the moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from docclf.sweeper.screen.terminal import write_all

_OUTPUT, _ERRORS = 1, 2
# Seconds that what was written may take.
_LONGEST_S = 2.0


class Relay:
    """Reads what processes write, and writes it here, in whole lines.

    A process keeps the output that it was started with, while that of the search changes: a live display takes its
    place and gives it back. So processes write to pipes, and their lines go where the search's own go.
    """

    def __init__(self) -> None:
        self._writers: dict[int, int] = {}
        self._threads: list[threading.Thread] = []
        self._mark = uuid4().hex.encode() + b"\n"
        self._seen = {_OUTPUT: threading.Event(), _ERRORS: threading.Event()}

    @contextmanager
    def inherited(self) -> Iterator[None]:
        """Processes that are started within write to us."""
        saved: dict[int, int] = {}
        try:
            for number in self._seen:
                with suppress(OSError):  # closed, as a daemon's
                    saved[number] = os.dup(number)
                    os.dup2(self._writer(number), number)
            yield
        finally:
            for number, before in saved.items():
                os.dup2(before, number)
                os.close(before)

    def _writer(self, number: int) -> int:
        if number not in self._writers:
            reader, self._writers[number] = os.pipe()
            thread = threading.Thread(target=self._pass_on, args=(reader, number), name="relay", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self._writers[number]

    def _pass_on(self, reader: int, number: int) -> None:
        waiting = b""
        while data := os.read(reader, 65536):
            waiting += data
            if is_seen := self._mark in waiting:
                waiting = waiting.replace(self._mark, b"")
            lines, end, rest = waiting.rpartition(b"\n")
            if end:
                write_all(number, lines + end)
                waiting = rest
            if is_seen:
                self._seen[number].set()
        write_all(number, waiting)
        os.close(reader)

    def drain(self) -> None:
        """Wait until all is passed on that was written until now."""
        for number, writer in self._writers.items():
            self._seen[number].clear()
            os.write(writer, self._mark)
            self._seen[number].wait(_LONGEST_S)

    def close(self) -> None:
        """Pass on what processes that have ended have written."""
        for writer in self._writers.values():
            os.close(writer)
        self._writers.clear()
        for thread in self._threads:
            thread.join(_LONGEST_S)
        self._threads.clear()
