"""How long something takes, and how long it would take again, when the cache has what was computed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_computing = 0.0  # seconds that this process has spent on what is in the cache from then on


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started, self._computing = time.perf_counter(), _computing

    @property
    def seconds(self) -> float:
        """All of them."""
        return time.perf_counter() - self._started

    @property
    def again(self) -> float:
        """Without those in which something was computed that the cache has from then on."""
        return self.seconds - (_computing - self._computing)


@contextmanager
def counted_once() -> Iterator[None]:
    """Count the time as spent on what is computed once, and only once where such things are within each other."""
    global _computing
    before, started = _computing, time.perf_counter()
    try:
        yield
    finally:
        _computing = before + time.perf_counter() - started
