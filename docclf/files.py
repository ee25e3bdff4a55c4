"""Files that appear whole or not at all, in two places or in two spellings, and where a command says what it wrote."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import unicodedata
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from docclf.errors import DataError

if TYPE_CHECKING:
    from filelock import FileLock

# Of the environment: the file in which a command that Python called names what it wrote, see `docclf.api`.
TOLD = "DOCCLF_FOLDER_FILE"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "result.txt"
    >>> with replacing(target) as partial:
    ...     _ = partial.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    partial.unlink(missing_ok=True)  # of a process that is gone, or a link
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def free_name(path: Path, is_taken: Callable[[Path], bool] = Path.exists) -> Path:
    """The first name that is free, `submission_1.csv` for `submission.csv`."""
    names = (path.with_name(f"{path.stem}_{n}{path.suffix}") for n in itertools.count(1))
    return next(name for name in names if not is_taken(name))


def near_folder(folder: Path) -> str:
    """What to say of a folder that is not the one wanted: " Did you mean multirun/first?", or to name one."""
    names: list[str] = []
    with suppress(OSError):  # no such folder, or one that may not be looked into
        names = [path.name for path in folder.parent.iterdir() if path.is_dir()]
    found = get_close_matches(folder.name, names, 1)
    return f" Did you mean {folder.parent / found[0]}?" if found and not folder.exists() else " Name one that is there."


def set_aside(path: Path) -> Path:
    """Give a file the first name that is free; that name."""
    return path.rename(free_name(path))


def link(source: str | Path, target: str | Path) -> None:
    """Put a file into a second place, without a second copy where the disk allows that. `target` must not be there.

    Raises:
        DataError: The file is a symbolic link, which may lead anywhere.
    """
    if Path(source).is_symlink():
        raise DataError(f"Expected a file to keep, got the link {source}. Put what it leads to in its place.")
    try:
        os.link(source, target)
    except OSError:  # not on this disk
        shutil.copy2(source, target)


def lock(path: Path, poll_interval: float = 0.05) -> FileLock:
    """A lock that one process holds at a time, as a file.

    Args:
        poll_interval: Seconds between two looks at one that another process holds.

    Raises:
        DataError: A symbolic link is in its place, and what it leads to would be emptied.
    """
    if path.is_symlink():
        raise DataError(f"Expected a file to lock, got the link {path}. Remove it: rm {shlex.quote(str(path))}")
    from filelock import FileLock  # which brings asyncio, 50 ms that help and completion do without

    return FileLock(path, poll_interval=poll_interval)


def composed(page: str) -> str:
    """The form in which IDs of pages are compared, which name files: two blanks are not one."""
    return unicodedata.normalize("NFC", page.strip())


def match_pages(pages: Collection[str], among: Collection[str]) -> list[int]:
    """Where each ID stands among others, -1 where it does not: as it is, or else with its letters composed otherwise.

    >>> match_pages(["e\u0301", "\u00e9", "a"], ["\u00e9", "e\u0301"]), match_pages(["\u00e9"], ["b", "e\u0301"])
    ([1, 0, -1], [1])
    """
    as_is = {name.strip(): i for i, name in enumerate(among)}
    taken = {page.strip() for page in pages}
    alike = {composed(name): i for name, i in as_is.items() if name not in taken}
    return [as_is.get(page.strip(), alike.get(composed(page), -1)) for page in pages]


def why_no_winner(folder: Path) -> str:
    """What to say of a search that has no finished trial; empty where it has one, and of a folder of anything else."""
    if not (folder / "multirun.yaml").is_file() or (folder / "best" / "config.yaml").is_file():
        return ""
    return (
        f"Expected a search with a finished trial in {folder}, got one that has none yet. "
        "Give the command of the search again: it goes on where it ended."
    )


def report_path_to_caller(path: Path) -> None:
    """Name what a command writes, where Python called it; once, and not for the processes that it starts."""
    if told := os.environ.pop(TOLD, None):
        Path(told).write_text(str(path.absolute()), encoding="utf-8")
