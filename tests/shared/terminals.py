"""Processes on a terminal of their own, and what a person would see there; of Linux."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

# Makes the terminal the one that Ctrl-C on it reaches the process from.
_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
# Between two of these, a screen was to be seen, also where what was written has piled up while nobody read: a frame
# ends with the first, a progress bar goes on with the second.
_SEEN = re.compile(rb"(?<=\x1b\[J)|(?=\r[^\r\n])")


class OnTerminal:
    """A process on a terminal.

    Args:
        command: To run.
        cwd: Its working folder.
        columns: Of the terminal.
        rows: Of the terminal.
        environment: Of the process, besides that of the tests.
        errors: File for standard error, which is the terminal otherwise.

    Attributes:
        raw: Everything that was written.
        frames: The screens that were seen in turn, each as its lines without spaces at their ends.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        *,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
        errors: Path | None = None,
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=1.0)
        self.raw = b""
        self.frames: list[list[str]] = []
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with open(errors, "wb") if errors else os.fdopen(os.dup(slave), "wb") as stderr:  # noqa: PTH123
            self.process = subprocess.Popen(
                [sys.executable, "-c", _TAKE, *command],
                cwd=cwd,
                env={**kept, "PATH": path, "TERM": "xterm-256color", **(environment or {})},
                stdin=slave,
                stdout=slave,
                stderr=stderr,
                start_new_session=True,
            )
        os.close(slave)

    def read(self, until: Callable[[], object] = lambda: False, seconds: float = 120.0) -> bool:
        """Read what is written until something holds, or the process has ended; whether it holds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if until():
                return True
            if not select.select([self._master], [], [], 0.1)[0]:
                if self.process.poll() is not None:
                    break
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the last one who had it open has closed it
                break
            self.raw += data
            for written in _SEEN.split(data):
                self._stream.feed(written)
                now = self.lines
                if not self.frames or self.frames[-1] != now:
                    self.frames.append(now)
        else:
            self.process.kill()
            self.process.wait()
            raise AssertionError("it did not come to that in time:\n" + "\n".join(self.lines))
        return bool(until())

    def end(self, code: int = 0, seconds: float = 120.0) -> list[str]:
        """Read to the end, where the process must exit with this code; all that can be seen by scrolling back."""
        self.read(seconds=seconds)
        assert self.process.wait(timeout=60) == code, "\n".join(self.all_lines)
        os.close(self._master)
        return self.all_lines

    def press(self, keys: bytes) -> None:
        """As if somebody pressed them."""
        os.write(self._master, keys)

    def resize(self, columns: int, rows: int) -> None:
        """As if somebody drew the window larger or smaller."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def all_lines(self) -> list[str]:
        """That, below what has left it at its top."""
        columns = self.screen.columns
        gone = ["".join(row[i].data for i in range(columns)).rstrip() for row in self.screen.history.top]
        return [*gone, *self.lines]

    def saw(self, *texts: str) -> list[str]:
        """The first screen that showed all of some texts; none if there is no such."""
        return next((frame for frame in self.frames if all(t in "\n".join(frame) for t in texts)), [])
