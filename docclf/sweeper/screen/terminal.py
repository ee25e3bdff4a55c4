"""A few lines at the bottom of a terminal that are drawn again and again, while all else scrolls above them."""

from __future__ import annotations

import faulthandler
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO
from uuid import uuid4

# Seconds after which a line without an end, such as a question or a progress bar, takes the place of the frame.
_QUESTION_S = 0.3
# Seconds that the last lines may take at the end.
_END_S = 5.0
# What a line that was written over had before.
_WRITTEN_OVER = re.compile(rb"[^\n]*\r(?=[^\r\n])")


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which the cursor can be moved, as those of Linux and macOS are."""
    if os.environ.get("TERM", "") in ("", "dumb", "unknown") or not hasattr(os, "tcgetpgrp"):
        return False
    try:
        return stream.isatty() and stream.fileno() >= 0
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Line:
    """One of the frame."""

    text: str  # with the escape codes of its colours
    width: int  # cells that it takes; fewer than the terminal has


class Terminal:
    """While entered, what is written to the screen comes out above the frame.

    The file descriptors themselves are redirected, through a pipe: worker processes, libraries in C and handlers that
    were made before write to them, and none of their lines may be torn. The cursor stays visible, so that a process
    that is killed leaves a terminal that is whole. It may be entered again and again, and is closed at the end.

    Args:
        stream: The screen, one for which `is_terminal` holds.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._screen = os.dup(stream.fileno())
        self._reader, self._writer = os.pipe()
        self._lock = threading.Lock()
        self._frame: Sequence[Line] = ()
        self._drawn: list[int] = []  # widths of the lines that are on the screen now
        self._drawn_at: os.terminal_size | None = None
        self._is_asking, self._is_over = False, True
        self._ended = threading.Event()
        self._end = f"{uuid4().hex}\n".encode()  # marks what is written after it
        self._stack = ExitStack()
        threading.Thread(target=self._pass_on, name="terminal", daemon=True).start()

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines of the screen."""
        with suppress(OSError):
            size = os.get_terminal_size(self._screen)
            if size.columns and size.lines:
                return size
        return os.terminal_size((80, 24))

    def draw(self, lines: Sequence[Line]) -> None:
        """Draw a frame in the place of the one before; nothing once this has ended."""
        with self._lock:
            self._frame = lines
            self._show()

    def __enter__(self) -> Terminal:
        _flush()
        self._ended.clear()
        self._frame, self._is_asking, self._is_over = (), False, False
        self._stack.enter_context(self.inherited())
        if faulthandler.is_enabled():
            self._stack.callback(faulthandler.enable)
        faulthandler.enable(self._screen)  # what a crash says would be lost with the pipe
        self._stack.callback(faulthandler.disable)
        if threading.current_thread() is threading.main_thread():
            self._stack.callback(signal.signal, signal.SIGCONT, signal.signal(signal.SIGCONT, self._forget))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            _flush()
            os.write(self._stream.fileno(), self._end)
            self._ended.wait(_END_S)
        finally:
            _flush()
            self._stack.close()

    @contextmanager
    def inherited(self) -> Iterator[None]:
        """Processes that are started within write to the pipe, and so above the frame whenever there is one."""
        out, saved = self._stream.fileno(), {}
        for number in {out, *_errors(out)}:
            saved[number] = os.dup(number)
            os.dup2(self._writer, number)
        try:
            yield
        finally:
            for number, before in saved.items():
                os.dup2(before, number)
                os.close(before)

    def close(self) -> None:
        """Let go of the pipe, which ends with the last process that writes to it."""
        os.close(self._writer)

    def _forget(self, *_: object) -> None:
        """After a stop by Ctrl-Z, the shell has written below the frame."""
        self._drawn = []

    def _pass_on(self) -> None:
        """Write what comes through the pipe to the screen: until it is closed, since processes may live on."""
        waiting, since = b"", 0.0
        while True:
            left = max(since + _QUESTION_S - time.monotonic(), 0.0) if waiting else None
            ready = select.select([self._reader], [], [], left)[0]
            if not ready or left == 0.0:
                waiting = self._ask(waiting)
                continue
            data = os.read(self._reader, 65536)
            if not data:
                break
            since = since if waiting else time.monotonic()
            waiting = self._pass(waiting + data)
        os.close(self._reader)
        os.close(self._screen)

    def _ask(self, question: bytes) -> bytes:
        """Write a line without an end in the place of the frame, which comes back when the line has ended."""
        with self._lock:
            write_all(self._screen, self._erased() + question)
            self._is_asking = True
        return b""

    def _pass(self, data: bytes) -> bytes:
        """Write what is complete; what is left is the begin of a line."""
        with self._lock:
            before, ended, after = data.partition(self._end)
            if ended:
                last = b"\n" if before and not before.endswith(b"\n") else b""
                write_all(self._screen, self._erased() + _as_seen(before) + last)
                self._is_over = True
                self._ended.set()
            if self._is_over:
                write_all(self._screen, after if ended else data)
                return b""
            if self._is_asking:
                write_all(self._screen, data)
                self._is_asking = not data.endswith(b"\n")
                self._show()
                return b""
            lines, newline, rest = data.rpartition(b"\n")
            if newline:
                self._show(_as_seen(lines + newline))
            return rest

    def _show(self, above: bytes = b"") -> None:
        """Draw the frame, below some lines."""
        if self._is_over or self._is_asking:
            return
        if not self._is_ours():
            self._drawn = []
            write_all(self._screen, above)
            return
        size = self.size
        is_resized, self._drawn_at = size != self._drawn_at, size
        fits = len(self._frame) < size.lines and all(line.width < size.columns for line in self._frame)
        frame = self._frame if fits else ()  # of one that was made for a larger screen another is on its way
        start = self._erased() + above if above or is_resized or not fits else self._start()
        lines = [line.text.encode(self._stream.encoding, "replace") + b"\x1b[K" for line in frame]
        write_all(self._screen, start + b"\n".join(lines) + b"\x1b[J" * bool(lines))
        self._drawn = [line.width for line in frame]

    def _start(self) -> bytes:
        """Moves the cursor to where the frame begins, also where a screen that was made narrower has wrapped it."""
        columns = self.size.columns
        rows = sum(max(1, -(-width // columns)) for width in self._drawn)
        return b"\r" + (b"\x1b[%dA" % (rows - 1) if rows > 1 else b"") if rows else b""

    def _erased(self) -> bytes:
        """Takes the frame off the screen."""
        start = self._start()
        self._drawn = []
        return start + b"\x1b[J" if start else b""

    def _is_ours(self) -> bool:
        """Whether this process is in the foreground: what a shell runs in the background must not move its cursor."""
        try:
            return os.tcgetpgrp(self._screen) == os.getpgrp()
        except OSError:
            return True


def write_all(descriptor: int, data: bytes) -> None:
    """Write, unless whoever would read it has gone: a terminal that was closed must not end a search."""
    with suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


def _as_seen(lines: bytes) -> bytes:
    """What is left to see of lines that were written over.

    >>> _as_seen(b"a 10 %\\ra 90 %\\nb\\r\\n")
    b'a 90 %\\nb\\r\\n'
    """
    return _WRITTEN_OVER.sub(b"", lines)


def _errors(out: int) -> list[int]:
    """The descriptor of standard error, where it is the same screen."""
    try:
        errors = sys.stderr.fileno()
        return [errors] if os.path.sameopenfile(out, errors) else []
    except (OSError, ValueError):
        return []


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
