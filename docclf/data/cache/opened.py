"""Data sets that this process has open: one is given again as long as no file has changed."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from docclf.data.cache.store import mark_used

if TYPE_CHECKING:
    from docclf.data.cache.decoded import DecodeOptions
    from docclf.data.dataset import DataSet
    from docclf.data.pages import PageSet

_MOST = 8
# A file of this very moment may change again without a later time.
_SETTLED_NS = 2_000_000_000


# Of each file and folder both times of change, size and inode; None where it is not there.
_Marks = dict[str, tuple[int, int, int, int] | None]
_opened: OrderedDict[str, tuple[DataSet, _Marks]] = OrderedDict()  # by key, each with what it depends on


def find_open(key: str) -> DataSet | None:
    """The data set that was kept under this key; None where none is, or one of its files has changed since.

    Args:
        key: Says all that it depends on beside the files.
    """
    data, marks = _opened.pop(key, (None, {}))
    if data is None or _marks(marks) != marks:
        return None
    _opened[key] = data, marks  # the last one that was used
    for path in filter(_is_array, marks):
        with suppress(OSError):  # removed just now; who has it mapped keeps it
            mark_used(Path(path))
    return data


def keep_open(key: str, data: DataSet, files: set[str], began: int) -> None:
    """Keep a data set, unless one of its files may change without that being seen.

    Args:
        key: See `find_open`.
        files: What it depends on, see `files_of`.
        began: When its files were first looked at, in nanoseconds since the epoch.
    """
    marks = _marks(files)
    if any(mark is not None and mark[0] >= began - _SETTLED_NS for mark in marks.values()):
        return
    _opened[key] = data, marks
    while len(_opened) > _MOST:
        _opened.popitem(last=False)


def files_of(root: Path, pages: PageSet, data: DataSet, options: DecodeOptions) -> set[str]:
    """The files of all pages, the folders that they lie in, what lies in the root itself, and the decoded pages."""
    files = [path for part in (pages.train, pages.test) if part is not None for path in part.paths]
    folders = {above for folder in {path.parent for path in files} for above in (folder, *folder.parents)}
    inside = [folder for folder in folders if folder.is_relative_to(root)]
    arrays = [part.array for part in (data.train_images, data.test_images) if part is not None]
    decoded = [Path(str(array.filename)) for array in arrays if isinstance(array, np.memmap)]
    named = [path for path in (options.exclude, options.corrections) if path is not None]
    beside: list[Path] = []
    with suppress(OSError):  # a folder may be there to be read from, and not to be listed
        beside = list(root.iterdir())
    return {os.path.abspath(path) for path in (root, *beside, *inside, *files, *named, *decoded)}  # noqa: PTH100


def _is_array(path: str) -> bool:
    return path.endswith(".npy")


def _marks(paths: Iterable[str]) -> _Marks:
    def mark(path: str) -> tuple[int, int, int, int] | None:
        try:
            stat = os.stat(path)  # noqa: PTH116  # of thousands of files, for every trial
        except OSError:
            return None
        # Whoever uses decoded pages changes the inode, see `docclf.data.cache.store.open_array`, and not the pages.
        of_inode = 0 if _is_array(path) else stat.st_ctime_ns
        return stat.st_mtime_ns, of_inode, stat.st_size, stat.st_ino

    return {path: mark(path) for path in paths}
