"""Page files in folders, and a word on those that are left out."""

import functools
import logging
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from docclf.data.formats import IMAGE_SUFFIXES, is_page_file
from docclf.data.reading.names import count_of, some
from docclf.errors import DataError, safe_text

log = logging.getLogger(__name__)

# What lies beside pages and is meant to be none.
_NOTES = frozenset({".txt", ".csv", ".json", ".xml", ".md", ".yaml", ".yml"})
_SYSTEM = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
# Folders that file systems, NAS boxes and programs make by themselves: thumbnails, bins, snapshots, what was lost.
_SYSTEM_FOLDER = re.compile(
    r"[.].*|__(macosx|pycache__)|@\w.*|~.*|recycle([rd]|\.bin)|"
    r"\$(recycle.*|extend|getcurrent|sysreset|winreagent|windows.*)|"
    r"#(recycle|snapshot|trash)|lost\+found|lost\.dir|found\.\d+|system volume information|"
    r"network trash folder|temporary items|thevolumesettingsfolder|resource\.frk|msdownld\.tmp|config\.msi",
    re.IGNORECASE,
)
_MOST = 8  # suffixes in a message


@dataclass
class Found:
    """Files anywhere below a folder."""

    pages: list[Path] = field(default_factory=list)  # page files, in the order of the parts of their paths
    # files that look like no page and no note, of formats that are not read
    unread: list[Path] = field(default_factory=list)
    system: list[Path] = field(default_factory=list)  # folders that a system has made, which are not looked at


def find_files(root: Path) -> Found:
    """Files below a folder, through links too; hidden files and folders, and those of a system, are left out.

    Raises:
        DataError: A folder cannot be read.
    """
    found = Found()
    # A link to a folder that this one is in would have the pages of other classes in it.
    seen = {(stat.st_dev, stat.st_ino) for stat in map(Path.stat, root.absolute().parents)}
    for name, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        folder = Path(name)
        stat = folder.stat()
        if (stat.st_dev, stat.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        found.system += [folder / name for name in folders if _is_system(name)]
        folders[:] = sorted(name for name in folders if not _is_system(name))
        for path in (folder / file for file in files):
            is_none = path.name.startswith(".") or path.name.lower() in _SYSTEM or path.suffix.lower() in _NOTES
            if is_page_file(path):
                found.pages.append(path)
            elif not is_none:
                found.unread.append(path)
    return Found(sorted(found.pages), sorted(found.unread), found.system)


def _refuse(error: OSError) -> None:
    raise DataError(f"Expected folders that can be read below `data.root`, got {error.strerror}: {error.filename}.")


def _is_system(folder: str) -> bool:
    return _SYSTEM_FOLDER.fullmatch(folder) is not None


def tell_left_out(root: Path, found: Found) -> None:
    """Warn of files in formats that are not read, and of folders of a system; the hidden ones need no word."""
    if files := found.unread:
        suffixes = sorted({safe_text(path.suffix.lower()) or "no suffix" for path in files})
        shown = ", ".join(suffixes[:_MOST]) + (", ..." if len(suffixes) > _MOST else "")
        warn_once(
            f"Left out {count_of(len(files), 'file')} of {root} in formats that are not read ({shown}), the first is "
            f"{safe_text(files[0])}. Convert them to one of {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    if names := Counter(safe_text(path.name) for path in found.system if not path.name.startswith((".", "__"))):
        shown = ", ".join(f"{name}{f' ({n} times)' if n > 1 else ''}" for name, n in names.most_common(_MOST))
        warn_once(
            f"Not looked at in {root}, since systems call folders of their own so: {shown}. Rename what holds pages."
        )


def files_of_classes(root: Path) -> tuple[dict[str, list[Path]], list[Path]]:
    """Page files of each folder, those in deeper ones included, and those that lie in none.

    Folders without pages have empty lists. A warning tells what is not read.

    Raises:
        DataError: The name of a folder is not UTF-8, or it is a link that leads nowhere.
    """
    left_out = Found(system=sorted(path for path in root.iterdir() if _is_system(path.name) and path.is_dir()))
    entries = _entries(root)
    if lost := [path for path in entries if _is_lost(path)]:
        raise DataError(
            f"Expected class folders in {root} that are there, got {lost[0]}, a link to {lost[0].readlink()}, which is "
            f"not. Mount that, or remove the link: rm {shlex.quote(str(lost[0]))}"
        )
    pages = dict[str, list[Path]]()
    for folder in entries:
        if folder.is_dir():
            if safe_text(folder.name) != folder.name:
                raise DataError(f"Expected class folders with names in UTF-8, got {str(folder)!a}. Rename it.")
            found = find_files(folder)
            pages[folder.name] = found.pages
            left_out.unread += found.unread
            left_out.system += found.system
    tell_left_out(root, left_out)
    return pages, [path for path in entries if is_page_file(path)]


def class_folders(root: Path, *, deep: bool, apart: Path | None = None) -> dict[str, list[Path]]:
    """Page files of each class, in the order of their names.

    Args:
        root: Folder of the class folders.
        deep: Whether a folder that holds only other folders is a class. Otherwise it is skipped with a warning: it
            may be anything, such as the runs of a search.
        apart: A folder that is no class.

    Raises:
        DataError: A folder holds nothing that can be read, and see `files_of_classes`.
    """
    found, loose = files_of_classes(root)
    classes = {}
    for name, pages in found.items():
        folder = root / name
        if folder == apart:
            continue
        if any(page.parent == folder for page in pages) or (deep and pages):
            classes[name] = pages
        elif any(entry.is_dir() and not _is_system(entry.name) for entry in folder.iterdir()):
            warn_once(
                f"Skipped {folder}: it holds other folders, no page images of its own. "
                f"Below {root if deep else root / 'train'} a folder with pages at any depth is a class."
            )
        else:
            raise DataError(f"Expected page images in the class folder {folder}, got none. Fill it or remove it.")
    if classes:
        tell_loose(root, loose)
    return classes


def no_folder(root: Path) -> str:
    """What is the matter with a root that is no folder, and the way out."""
    where = "" if root.is_absolute() else f" (looked for in {Path.cwd()})"
    what = "which is no folder" if root.exists() else f"which is not there{where}"
    return f"{what}. Say where the pages are: data.root=DIR."


def tell_loose(root: Path, files: Sequence[Path]) -> None:
    """Warn of pages beside class folders."""
    if files:
        warn_once(
            f"Left out {count_of(len(files), 'file')} in {root} itself, the first is {safe_text(files[0].name)}: "
            "pages of a class lie in its folder."
        )


def split_folder(root: Path, name: str) -> Path | None:
    """The folder `train` or `test` of a data set, in small letters or others; None where there is none."""
    found = sorted(path for path in root.iterdir() if path.name.lower() == name and path.is_dir())
    return found[-1] if found else None


def tell_beside(train: Path, test: Path | None) -> None:
    """Warn of pages beside the folders of training and test pages."""
    others = [path for path in _entries(train.parent) if path not in (train, test)]
    if names := [safe_text(path.name) for path in others if _is_lost(path) or any(map(is_page_file, _below(path)))]:
        warn_once(
            f"Not read beside {train}: {some(names)}. docclf reads train and test alone, and makes its own folds of "
            "the pages in train; move the pages there."
        )


def _below(path: Path) -> Iterator[Path]:
    return chain([path], path.rglob("*"))


def _entries(root: Path) -> list[Path]:
    """What may be classes or pages."""
    return [
        path
        for path in sorted(root.iterdir())
        if not (path.name.startswith(".") or (_is_system(path.name) and path.is_dir()))
    ]


def _is_lost(path: Path) -> bool:
    """Whether a link that may be one to a folder leads nowhere, as to a disk that is not there."""
    return path.is_symlink() and not path.exists() and path.suffix.lower() not in IMAGE_SUFFIXES | _NOTES


@functools.cache  # once a process, not once a trial
def warn_once(message: str, level: int = logging.WARNING) -> None:
    """Warn once a process, or inform, however many trials read the pages."""
    log.log(level, message)
