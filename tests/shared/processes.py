"""What the tests look up about processes that they start; of Linux."""

import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def children(pid: int) -> list[int]:
    """Processes that a process has started and that are not reaped yet."""
    try:
        lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except FileNotFoundError:
        return []
    return sorted({int(child) for found in lists for child in found})


def descendants(pid: int) -> list[int]:
    """Those, and what they have started."""
    found = children(pid)
    return found + [other for child in found for other in descendants(child)]


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command(pid: int) -> str:
    """Of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def workers(pid: int) -> list[int]:
    """Worker processes of a search."""
    return [child for child in children(pid) if "loky.backend.popen_loky_posix" in command(child)]


def shared_memory(pids: Iterable[int]) -> list[str]:
    """Semaphores and segments in /dev/shm that carry the id of one of these processes in their names."""
    names = {str(pid) for pid in pids}
    return [path.name for path in Path("/dev/shm").iterdir() if names & set(path.name.replace("_", "-").split("-"))]


def wait_until(ready: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds, which must be before so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.005)


def cpu_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
