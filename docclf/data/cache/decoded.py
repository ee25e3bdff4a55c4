"""Pages decoded once: one memory-mapped array a data set and size, shared by every trial and process."""

import errno
import hashlib
import json
import logging
import math
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from docclf.data.cache.contents import content_digests, n_cpus, shown, stat_of
from docclf.data.formats import DECODER, has_more_pages, quiet_decoders, read_with_aspect, reason
from docclf.errors import DataError

log = logging.getLogger(__name__)

_PASSING = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)


@dataclass(frozen=True)
class DecodedPages:
    """Pages in memory.

    Attributes:
        images: Read-only uint8 array of shape (n, size, size, channels), memory-mapped; black where a page cannot be
            read.
        aspects: Width of each page over its height, float32 of shape (n,); 1 where a page cannot be read.
        digests: A hash of each page's content, the same for the same file under another name.
        problems: Why a page cannot be read, by its index.
        several: How many of the files have more pages; 0 where numbers of pages were asked for.
    """

    images: NDArray[np.uint8]
    aspects: NDArray[np.float32]
    digests: list[str]
    problems: dict[int, str]
    several: int = 0


def default_cache_dir() -> Path:
    """`$DOCCLF_CACHE`, or `docclf` in the user's cache folder."""
    if (path := os.environ.get("DOCCLF_CACHE")) is not None:
        return Path(path)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "docclf"


def cache_size(image_size: int, margin: float) -> int:
    """Side in pixels that pages are kept at, so that crops of them stay sharp at the training size.

    >>> cache_size(96, 1.15)
    112
    """
    return math.ceil(image_size * margin / 8) * 8


def load_pages(
    paths: Sequence[Path],
    size: int,
    cache_dir: Path | None = None,
    *,
    numbers: Sequence[int] | None = None,
    channels: int = 3,
    limit_gb: float = 20.0,
) -> DecodedPages:
    """Decoded pages, from the cache or decoded into it now.

    The cache is keyed by what the files hold. A file is read again if its size or time of change differs. Several
    processes may call this at once: one decodes, the others wait.

    Args:
        paths: The files.
        size: Height and width in pixels that each page is reduced to; its proportions are not kept.
        cache_dir: Where the arrays are kept; None for `default_cache_dir`.
        numbers: Which page of each file, from 0; None for the first ones.
        channels: 3 for RGB, 1 for grey.
        limit_gb: Arrays that were not used for longest are removed from `cache_dir` beyond so many gigabytes.

    Raises:
        DataError: The cache cannot be written.
    """
    folder = cache_dir or default_cache_dir()
    with _writable(folder, len(paths) * size * size * channels):
        folder.mkdir(parents=True, exist_ok=True)
        digests = [
            f"{digest}#{number}" if number else digest
            for digest, number in zip(content_digests(paths, folder), numbers or [0] * len(paths), strict=True)
        ]
        name = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:24]
        target = folder / f"pages-v{DECODER}-{size}px-{channels}ch-{name}.npy"
        with FileLock(target.with_suffix(".lock")):
            shape = (len(paths), size, size, channels)
            if not _is_sound(target, shape):
                _build(paths, numbers, shape, target)
                _remove_oldest(folder, target, limit_gb)
            _mark_used(target)
            images: NDArray[np.uint8] = np.load(target, mmap_mode="r")
            note = json.loads(_note(target).read_text(encoding="utf-8"))
    problems = {int(index): text for index, text in note["problems"].items()}
    return DecodedPages(images, np.array(note["aspects"], np.float32), digests, problems, note["several"])


@contextmanager
def _writable(folder: Path, n_bytes: int) -> Iterator[None]:
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


def _is_sound(target: Path, shape: tuple[int, ...]) -> bool:
    """Whether an array is there, whole and as it was written; says so if it was damaged."""
    stat = stat_of(target)
    if stat is None:
        return False
    _mark_used(target)  # before reading it, so that no other process thinks of removing it
    with suppress(OSError, ValueError):
        note = json.loads(_note(target).read_text(encoding="utf-8"))
        crc = _checksum(target, stat.st_size, stat.st_mtime_ns)
        if isinstance(note, dict) and (note.get("shape"), note.get("crc32")) == (list(shape), crc):
            return not note.get("passing") and note.get("most_pixels", math.inf) >= (Image.MAX_IMAGE_PIXELS or 0)
    log.warning(f"The cache {target} is damaged, decoding its pages again")
    return False


def _mark_used(target: Path) -> None:
    # The time of change stays: it tells whether a process has checked this state of the file.
    os.utime(target, ns=(time.time_ns(), target.stat().st_mtime_ns))


@lru_cache(maxsize=16)
def _checksum(target: Path, size: int, changed: int) -> int:
    """CRC-32 of a file; once a process for each state of it."""
    crc = 0
    with target.open("rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return crc


def _build(paths: Sequence[Path], numbers: Sequence[int] | None, shape: tuple[int, ...], target: Path) -> None:
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    problems: dict[int, str] = {}
    passing, too_large, several = list[int](), list[int](), list[int]()
    aspects = [1.0] * len(paths)
    try:
        _reserve(partial, shape)
        images: Any = np.load(partial, mmap_mode="r+")

        def decode(index: int) -> None:
            try:
                page = numbers[index] if numbers else 0
                images[index], aspect = read_with_aspect(paths[index], shape[1], page=page, channels=shape[3])
                aspects[index] = round(aspect, 4)
                if numbers is None and has_more_pages(paths[index]):  # the file has just been read
                    several.append(index)
            except Exception as error:  # decoders of damaged files raise almost anything
                problems[index] = reason(error)
                if isinstance(error, Image.DecompressionBombError):
                    too_large.append(index)
                # Of the machine and not of the file: tried again the next time.
                if isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) in _PASSING:
                    passing.append(index)

        # Pillow decodes and resizes without holding the interpreter's lock.
        with quiet_decoders(), ThreadPoolExecutor(n_cpus()) as pool:
            for _ in shown(pool.map(decode, range(len(paths))), "Decoding pages", len(paths)):
                pass
        images.flush()
        said = {"problems": problems, "passing": passing, "several": len(several), "aspects": aspects}
        _write_note(target, partial, shape, **said, **({"most_pixels": Image.MAX_IMAGE_PIXELS} if too_large else {}))
    finally:
        partial.unlink(missing_ok=True)


def _reserve(path: Path, shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> None:
    """Write the header and take the room now: a disk that is full would otherwise kill the process in the middle."""
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
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit_gb * 1e9:
            return
        if path != kept:  # who has it mapped keeps it
            total -= size
            for file in (path, _note(path)):
                file.unlink(missing_ok=True)


def load_array(
    name: str,
    shape: tuple[int, ...],
    compute: Callable[[NDArray[np.int64]], NDArray[Any]],
    *,
    dtype: type[np.generic],
    cache_dir: Path | None = None,
    limit_gb: float = 20.0,
    at_once: int = 64,
    what: str = "Computing",
) -> NDArray[Any]:
    """What is computed of each page, from the cache or computed into it now, some pages at a time.

    A pass that was killed goes on where it stood. Several processes may call this at once: one computes, the others
    wait.

    Args:
        name: Says all that the values depend on, such as `features-v1-...`.
        shape: Of the array; its first axis is that of the pages.
        compute: Values of some pages, given their indices.
        dtype: Of the values.
        cache_dir: Where the arrays are kept; None for `default_cache_dir`.
        limit_gb: See `load_pages`.
        at_once: Pages that are computed at once; results may depend on it.
        what: For the progress display.

    Returns:
        A read-only, memory-mapped array.

    Raises:
        DataError: The cache cannot be written.
    """
    folder = cache_dir or default_cache_dir()
    target = folder / f"{name}.npy"
    with _writable(folder, math.prod(shape) * np.dtype(dtype).itemsize):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if not _is_sound(target, shape):
                _compute(target, shape, compute, dtype, at_once, what)
                _remove_oldest(folder, target, limit_gb)
            _mark_used(target)
            found: NDArray[Any] = np.load(target, mmap_mode="r")
            return found


def _compute(
    target: Path,
    shape: tuple[int, ...],
    compute: Callable[[NDArray[np.int64]], NDArray[Any]],
    dtype: type[np.generic],
    at_once: int,
    what: str,
) -> None:
    partial, progress = target.with_name(f"{target.name}.partial"), target.with_name(f"{target.name}.partial-done")
    done = 0
    with suppress(OSError, ValueError):
        done = int(progress.read_text()) if np.load(partial, mmap_mode="r").shape == shape else 0
    if not done:
        _reserve(partial, shape, dtype)
    values = np.load(partial, mmap_mode="r+")
    starts = range(done, len(values), at_once)
    for start in shown(starts, what, len(starts), unit="batch"):
        rows = np.arange(start, min(start + at_once, len(values)))
        values[rows] = compute(rows)
        values.flush()
        progress.write_text(str(start + len(rows)))
    _write_note(target, partial, shape)
    progress.unlink(missing_ok=True)


def _write_note(target: Path, partial: Path, shape: tuple[int, ...], **more: Any) -> None:
    """Put a finished array into its place, with what tells later whether it is whole."""
    stat = partial.stat()
    note = {"shape": list(shape), "crc32": _checksum(partial, stat.st_size, stat.st_mtime_ns), **more}
    note_partial = _note(target).with_suffix(f".json.partial-{os.getpid()}")
    note_partial.write_text(json.dumps(note), encoding="utf-8")
    note_partial.replace(_note(target))
    partial.replace(target)


def remember(folder: Path | None, name: str, compute: Callable[[], Any]) -> Any:
    """What `compute` returns, JSON-serialisable, kept in the cache under a name that says all that it depends on."""
    target = (folder or default_cache_dir()) / f"{name}.json"
    try:
        return json.loads(target.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or damaged
        value = compute()
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    with _writable(target.parent, 0):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(value), encoding="utf-8")
        partial.replace(target)
    return value


def _megabytes(n: float) -> str:
    return f"{n / 1e6:,.0f} MB"
