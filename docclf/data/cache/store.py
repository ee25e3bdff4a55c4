"""A folder of arrays and values, each computed once, whole or not there, and shared by every trial and process."""

import functools
import itertools
import json
import logging
import math
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache.contents import stat_of, with_progress
from docclf.data.cache.stopwatch import counted_once
from docclf.errors import DataError
from docclf.files import lock, replacing
from docclf.safety.untrusted import require_file

log = logging.getLogger(__name__)

_AT_ONCE = 64  # pages that are computed at once; results may depend on it
_RECENT_NS = 6 * 3600 * 10**9  # what was used within so long is taken to be in use
_MOST_TRIES = 5  # of opening what others remove; one does in most cases
_told: set[Path] = set()  # of which folders it was said that what is in use is more than their limit


def default_cache_dir() -> Path:
    """`$DOCCLF_CACHE`, or `docclf` in the user's cache folder."""
    if path := os.environ.get("DOCCLF_CACHE"):
        return Path(path)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "docclf"


@contextmanager
def writable(folder: Path, n_bytes: int) -> Iterator[None]:
    """Say of a folder that cannot be written what it was for, and what to do."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        raise DataError(
            f"Expected a folder for about {_megabytes(n_bytes)} of decoded pages, "
            f"got {folder}: {reason}, {_megabytes(shutil.disk_usage(there).free)} free. "
            "Set data.cache_dir or the environment variable DOCCLF_CACHE to another one."
        ) from error


def _note(target: Path) -> Path:
    return target.with_suffix(".json")


def _is_sound(target: Path, shape: tuple[int, ...], is_final: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Whether an array is there, whole and as it was written; says so if it was damaged."""
    with suppress(FileNotFoundError):
        mark_used(target)  # before reading it, so that no other process thinks of removing it
    if (stat := stat_of(target)) is None:
        return False
    with suppress(OSError, ValueError):
        for path in (target, _note(target)):
            require_file(path)
        note = json.loads(_note(target).read_text(encoding="utf-8"))
        crc = _checksum(target, stat.st_size, stat.st_mtime_ns)
        if isinstance(note, dict) and (note.get("shape"), note.get("crc32")) == (list(shape), crc):
            return is_final(note)
    if target.exists():
        log.warning(f"The cache {target} is damaged, decoding its pages again")
    return False


def mark_used(target: Path) -> None:
    """Say by the time of access of an array that somebody uses it now, so that others are removed before it."""
    # The time of change stays: it tells whether a process has checked this state of the file.
    os.utime(target, ns=(time.time_ns(), target.stat().st_mtime_ns))


@functools.lru_cache(maxsize=16)
def _checksum(target: Path, size: int, changed: int) -> int:
    """CRC-32 of a file; once a process for each state of it."""
    crc = 0
    with target.open("rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return crc


def reserve(path: Path, shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> None:
    """Write the header and take the room now: a disk that is full would otherwise kill the process in the middle."""
    path.unlink(missing_ok=True)  # others may write to the folder, too: what a link led to would be emptied
    np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _remove_oldest(folder: Path, kept: Path, limit_gb: float) -> None:
    yesterday = time.time() - 86_400
    for path in folder.glob("*-v*.partial*"):
        if (stat := stat_of(path)) and stat.st_mtime < yesterday:  # left by a process that was killed
            path.unlink(missing_ok=True)
    # Another process may remove some at the same time.
    found = [(stat.st_atime_ns, stat.st_size, path) for path in folder.glob("*-v*.npy") if (stat := stat_of(path))]
    total, recent = sum(size for _, size, _ in found), time.time_ns() - _RECENT_NS
    has_room = _has_room(folder, sum(size for used, size, _ in found if used > recent), limit_gb)
    for used, size, path in sorted(found):
        if total <= limit_gb * 1e9:
            return
        if path != kept and not (has_room and used > recent):  # who has it mapped keeps it
            total -= size
            for file in (path, _note(path)):
                file.unlink(missing_ok=True)


def _has_room(folder: Path, n_bytes: int, limit_gb: float) -> bool:
    """Whether arrays in use may stay beyond the limit, up to twice of it, where the disk has room. Says what they take.

    To remove them would have pages decoded again by one trial after the other.
    """
    if n_bytes > limit_gb * 1e9 and folder not in _told:
        _told.add(folder)
        log.warning(
            f"The cache {folder} has {_megabytes(n_bytes)} that were used in the last hours, more than "
            f"data.cache_gb={limit_gb:g}. Say data.cache_gb={math.ceil(n_bytes / 1e9)}, or pages may be decoded again."
        )
    return n_bytes <= 2 * limit_gb * 1e9 and shutil.disk_usage(folder).free > limit_gb * 1e9


def open_array(
    target: Path,
    shape: tuple[int, ...],
    make: Callable[[], None],
    *,
    limit_gb: float,
    is_final: Callable[[Mapping[str, Any]], bool] = lambda note: True,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """An array of the cache, read-only and memory-mapped, and its note; made now where it is not there, or damaged.

    Several processes may call this at once: one makes it, the others wait.

    Args:
        target: Its file, in a folder that is there.
        make: Writes the file, with `finish` at last.
        limit_gb: The least recently used arrays are removed from the folder beyond so many gigabytes; those of the last
            hours only beyond twice as many, or where the disk has no room.
        is_final: Given the note of an array that is whole, whether it needs not be made again.
    """
    with counted_once(), lock(target.with_suffix(".lock")):
        tries = itertools.count(1)
        while True:
            if not _is_sound(target, shape, is_final):
                make()
                _remove_oldest(target.parent, target, limit_gb)
            try:
                mark_used(target)
                return np.load(target, mmap_mode="r"), json.loads(_note(target).read_text(encoding="utf-8"))
            except FileNotFoundError:  # a process that makes another array has removed this one just now
                if next(tries) == _MOST_TRIES:
                    raise


def load_array(
    name: str,
    shape: tuple[int, ...],
    compute: Callable[[NDArray[np.int64]], NDArray[Any]],
    *,
    dtype: type[np.generic],
    cache_dir: Path | None = None,
    limit_gb: float = 20.0,
    what: str = "Computing",
) -> NDArray[Any]:
    """What is computed of each page, from the cache or computed into it now, some pages at a time.

    A pass that was killed goes on where it stood. Several processes may call this at once: one computes, the others
    wait.

    Args:
        name: Says all that the values depend on, such as `features-v1-...`.
        shape: Of the array; its first axis is that of the pages.
        compute: Values of some pages, given their indices.
        cache_dir: Where the arrays are kept; None for `default_cache_dir`.
        limit_gb: See `open_array`.
        what: For the progress display.

    Returns:
        A read-only, memory-mapped array.

    Raises:
        DataError: The cache cannot be written.
    """
    folder = cache_dir or default_cache_dir()
    target, partial, progress = (folder / f"{name}.npy{end}" for end in ("", ".partial", ".partial-done"))

    def make() -> None:
        done = 0
        for path in filter(Path.is_symlink, (partial, progress)):
            path.unlink()
        with suppress(OSError, ValueError):
            require_file(progress)
            require_file(partial)
            done = int(progress.read_text()) if np.load(partial, mmap_mode="r").shape == shape else 0
        if not done:
            reserve(partial, shape, dtype)
        values = np.load(partial, mmap_mode="r+")
        starts = range(done, len(values), _AT_ONCE)
        for start in with_progress(starts, what, len(starts), unit="batch"):
            rows = np.arange(start, min(start + _AT_ONCE, len(values)))
            values[rows] = compute(rows)
            values.flush()
            progress.write_text(str(start + len(rows)))
        finish(target, partial, shape)
        progress.unlink(missing_ok=True)

    with writable(folder, math.prod(shape) * np.dtype(dtype).itemsize):
        folder.mkdir(parents=True, exist_ok=True)
        return open_array(target, shape, make, limit_gb=limit_gb)[0]


def finish(target: Path, partial: Path, shape: tuple[int, ...], **more: Any) -> None:
    """Put a finished array into its place, with what tells later whether it is whole."""
    stat = partial.stat()
    note = {"shape": list(shape), "crc32": _checksum(partial, stat.st_size, stat.st_mtime_ns), **more}
    with replacing(_note(target)) as note_partial:
        note_partial.write_text(json.dumps(note), encoding="utf-8")
    partial.replace(target)


def remember(folder: Path | None, name: str, compute: Callable[[], Any]) -> Any:
    """What `compute` returns, JSON-serialisable, kept in the cache under a name that says all that it depends on."""
    target = (folder or default_cache_dir()) / f"{name}.json"
    try:
        require_file(target)
        return json.loads(target.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, TypeError, LookupError):  # not there yet, damaged, or another file
        with counted_once():
            value = compute()
    with writable(target.parent, 0), replacing(target) as partial:
        partial.write_text(json.dumps({name: value}), encoding="utf-8")
    return value


def _megabytes(n: float) -> str:
    return f"{n / 1e6:,.0f} MB"
