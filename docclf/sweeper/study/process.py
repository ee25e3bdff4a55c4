"""The process that runs a search: what ends it, who it is, and whether another one still lives."""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

# Ctrl-C and the end of a terminal reach all of its processes. There is no SIGHUP on Windows.
FROM_TERMINAL = (signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
ENDING = (*FROM_TERMINAL, signal.SIGTERM)
# A command that Ctrl-C has reached gets so many seconds to end by itself.
_ENDS_IN_S = 10.0

_BEGAN = time.time() - time.monotonic()


class EndingSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP end what runs, and are remembered.

    Python drops an exception that a signal raises inside a finaliser or a weak reference's callback, of which a
    training runs many: `raise_dropped` raises it again, between trials. Outside the main thread it does nothing.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._is_ending = False
        self._previous: dict[int, Any] = {}

    @property
    def is_received(self) -> bool:
        """Whether one came."""
        return self._received is not None

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that such a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self._received or signal.SIGINT)

    def raise_dropped(self) -> None:
        """Raise if a signal came.

        Raises:
            SystemExit: With `exit_code`.
        """
        if self.is_received:
            raise SystemExit(self.exit_code)

    def end_once(self) -> None:
        """Where one came, raise nothing at the next ones: what it ended is being recorded."""
        self._is_ending = self.is_received

    def __enter__(self) -> EndingSignals:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                # Ignored means that somebody wants it so: `nohup` ignores SIGHUP, a shell SIGINT for what runs behind.
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self._is_ending:
            return
        self._received = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(self.exit_code)


def let_end(process: subprocess.Popen[str], show: Callable[[str], object]) -> None:
    """Let a command end that Ctrl-C has reached too, if it came from a terminal; one that goes on is terminated.

    Args:
        show: Called with each line that it still prints.
    """
    assert process.stdout is not None
    late = threading.Timer(_ENDS_IN_S, process.terminate)
    late.start()
    try:
        for line in process.stdout:
            show(line)
    except KeyboardInterrupt:
        process.terminate()
    finally:
        late.cancel()
    process.communicate()


def steady_now() -> float:
    """Seconds since 1970 as this process counts them from its start on, for time budgets.

    They go on where the clock of the machine is set, and stand still while a machine that runs Linux sleeps.
    """
    return _BEGAN + time.monotonic()


def this_process() -> str:
    """Host, process id, where that id means something, and when the process started, since ids are given out again."""
    return f"{socket.gethostname()}:{os.getpid()}:{'-'.join(_machine())}.{_started(os.getpid())}"


def host_of(owner: str) -> str:
    """Name of the machine of a process, by what `this_process` returned there; empty where it is not known.

    >>> host_of("gpubox:12:9f3c-40.34"), host_of("")
    ('gpubox', '')
    """
    return owner.rsplit(":", 2)[0] if owner.count(":") >= 2 else ""


def is_here(owner: str) -> bool:
    """Whether this machine can tell if a process, by what `this_process` returned there, still runs.

    Containers may have one name, and see each other's processes as little as another machine's; nor does a machine that
    was started again know its earlier ones.
    """
    where = owner.rpartition(":")[2].rpartition(".")[0]
    return has_this_name(owner) and where == "-".join(_machine())


def has_this_name(owner: str) -> bool:
    """Whether the machine of a process, by what `this_process` returned there, is called like this one."""
    return host_of(owner) == socket.gethostname()


def is_of_an_earlier_boot(owner: str) -> bool:
    """Whether a process ended with this machine, as far as the machine's name tells.

    Args:
        owner: What `this_process` returned there; earlier releases did not say the boot.
    """
    boot = owner.rpartition(":")[2].rpartition(".")[0].partition("-")[0]
    return has_this_name(owner) and boot != _machine()[0]


def runs_here(owner: str) -> bool:
    """Whether another process of this machine still runs. This process is not another.

    Args:
        owner: What `this_process` returned there; one for which `is_here` is true.
    """
    _, pid, born = owner.rsplit(":", 2)
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return born.rpartition(".")[2] == _started(int(pid))


@functools.cache
def _machine() -> tuple[str, str]:
    """Identifies the time since this machine was started, and the container within which process ids are counted.

    Both are empty where there is no /proc.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return boot, "".join(filter(str.isdigit, str(Path("/proc/self/ns/pid").readlink())))
    except OSError:
        return "", ""


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; empty where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    return "" if fields[0] == "Z" else fields[19]


class Heartbeat:
    """While entered, calls a function from time to time in a thread of its own.

    Args:
        beat: Called with nothing; an exception is logged and does not end the beats.
        seconds: Between two calls.
    """

    def __init__(self, beat: Callable[[], None], seconds: float) -> None:
        self._beat, self._seconds = beat, seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._beat()
            except Exception as error:  # the storage may be away for a while
                log.warning(f"No heartbeat this time: {type(error).__name__}: {error}")
