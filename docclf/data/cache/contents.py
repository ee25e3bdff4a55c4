"""What files hold, as hashes that are kept, so that a file is read once."""

import hashlib
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from docclf import n_cores
from docclf.files import lock
from docclf.safety.sqlite import Connection

log = logging.getLogger(__name__)

_UNREADABLE = "unreadable"
_SILENCE_S = 20.0  # of a log, while something goes on

Item = TypeVar("Item")


def content_digests(paths: Sequence[Path], folder: Path, *, is_locked: bool = False) -> list[str]:
    """A hash of what each file holds, kept in `contents.db`, which is begun anew if it is damaged.

    Args:
        is_locked: Whether this process is the one that may begin it anew.
    """
    database = folder / "contents.db"
    try:
        return _look_up(paths, database)
    except sqlite3.OperationalError:  # it cannot be written
        raise
    except sqlite3.DatabaseError as error:
        if not is_locked:
            with lock(folder / "contents.lock"):  # another process may have begun it anew meanwhile
                return content_digests(paths, folder, is_locked=True)
        log.warning(f"The cache {database} is damaged, reading all files again: {error}")
        database.unlink(missing_ok=True)
        return _look_up(paths, database)


def _look_up(paths: Sequence[Path], file: Path) -> list[str]:
    """Files are read only where size, a time of change or inode are not those of the last time.

    Of the two times tools can set one, and leave it as it was; the other one, of the inode, they cannot.
    """
    # A name may hold bytes that are not UTF-8, and a file with several pages stands here several times.
    keys = [str(path.absolute()).encode(errors="backslashreplace").decode() for path in paths]
    files = dict(zip(keys, paths, strict=True))
    stats = {key: stat_of(path) for key, path in files.items()}
    marks = {key: _mark(stat) for key, stat in stats.items() if stat}
    with closing(sqlite3.connect(file, timeout=60, factory=Connection)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS contents (path TEXT PRIMARY KEY, mark TEXT, digest TEXT)")
        known: dict[str, tuple[str, str]] = {}
        for start in range(0, len(files), 500):
            some = list(files)[start : start + 500]
            places = ",".join("?" * len(some))
            found = database.execute(f"SELECT path, mark, digest FROM contents WHERE path IN ({places})", some)
            known |= {path: (mark, digest) for path, mark, digest in found}
        unknown = [key for key in files if known.get(key, ("",))[0] != marks.get(key)]
        with ThreadPoolExecutor(n_cores()) as pool:
            hashed = pool.map(lambda key: _digest(files[key]), unknown)
            new = dict(zip(unknown, with_progress(hashed, "Reading pages", len(unknown)), strict=True))
        # A file of this very moment may change again without a later time: looked at anew next time.
        settled = time.time_ns() - 2_000_000_000
        rows = [
            (key, marks[key], digest)
            for key, digest in new.items()
            if (stat := stats[key]) and stat.st_mtime_ns < settled and not digest.startswith(_UNREADABLE)
        ]
        with database:
            database.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", rows)
    return [new[key] if key in new else known[key][1] for key in keys]


def _mark(stat: os.stat_result) -> str:
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def stat_of(path: Path) -> os.stat_result | None:
    """What the file system knows of a file; None where there is none."""
    try:
        return path.stat()
    except OSError:  # gone since it was listed, or a broken link; decoding will say so
        return None


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError:  # decoding will say why
        return f"{_UNREADABLE} {path.absolute()!a}"


def with_progress(done: Iterable[Item], what: str, total: int, unit: str = "page") -> Iterator[Item]:
    """Something that is iterated over, with a progress display on a terminal, and now and then a line in a log."""
    said = time.monotonic()
    for n, item in enumerate(tqdm(done, what, total, unit=unit, disable=None, leave=False), 1):
        yield item
        if time.monotonic() - said > _SILENCE_S and not sys.stderr.isatty():
            said = time.monotonic()
            log.info(f"{what}: {100 * n // total} %")
