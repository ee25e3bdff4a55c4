"""What a data set is: pages with labels, read from a folder per class or from CSV files."""

import csv
import functools
import logging
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.data.formats import is_page_file
from docclf.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pages:
    """Some pages of a data set, in a fixed order.

    Attributes:
        ids: What the user calls each page: its name in the CSV, or its path below the root.
        paths: The file of each page.
        labels: Class index of each page, int64 of shape (n,); None where the labels are not known.
        groups: Pages of one group never straddle a fold; None where the data names no groups.
        numbers: Which page of its file each is, from 0; None for the first ones.
    """

    ids: list[str]
    paths: list[Path]
    labels: NDArray[np.int64] | None
    groups: list[str] | None = None
    numbers: list[int] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int]) -> "Pages":
        """Some of the pages.

        Args:
            indices: Which, in their new order.
        """
        return Pages(
            [self.ids[i] for i in indices],
            [self.paths[i] for i in indices],
            None if self.labels is None else self.labels[list(indices)],
            None if self.groups is None else [self.groups[i] for i in indices],
            None if self.numbers is None else [self.numbers[i] for i in indices],
        )


@dataclass(frozen=True)
class PageSet:
    """A data set.

    Attributes:
        targets: What the user writes for each class, in the order of the class indices.
        class_names: What each class is called in tables and pictures.
        train: Pages with labels.
        test: Pages apart, never used for a search; None where there are none.
        problems: Pages that are named but cannot be used, each with the reason; they are in none of the above.
    """

    targets: list[str]
    class_names: list[str]
    train: Pages
    test: Pages | None = None
    problems: list[str] = field(default_factory=list)


def read_folder(root: Path) -> PageSet:
    """Read a folder per class, either directly below `root` or below `root/train` and `root/test`.

    Class names are the folders' names, in sorted order. Folders that hold only other folders are skipped with a
    warning, hidden ones without.

    Raises:
        DataError: Fewer than 2 class folders, an empty one, or a test class that training does not have.
    """
    splits = [root / name for name in ("train", "test") if (root / name).is_dir()]
    train_root = splits[0] if splits and splits[0].name == "train" else root
    names = _class_folders(train_root)
    if len(names) < 2:
        raise DataError(
            f"Expected at least 2 class folders with page images in `data.root`={root}, got {len(names)}"
            f"{': ' + names[0] if names else ''}. Put the pages of each class into a folder of its own, "
            "or use data=csv where a train.csv names the classes."
        )
    train, problems = _pages_of_folders(root, train_root, names)
    test = None
    if train_root != root and len(splits) == 2:
        unknown = sorted(set(_class_folders(splits[1])) - set(names))
        if unknown:
            raise DataError(
                f"Expected the classes of {train_root} in {splits[1]}, got others too: {', '.join(unknown)}."
            )
        test, more = _pages_of_folders(root, splits[1], names)
        problems += more
    return PageSet(names, names, train, test, problems)


def read_csv(root: Path) -> PageSet:
    """Read `train.csv` (ID, target, optional group), `meta.csv` (target, class_name) and `test.csv` where it exists.

    Files are looked for in `train/` and `test/` and beside the CSV files. A `test.csv` without a target column is kept
    as pages without labels. Rows that cannot be used are problems of the data set.

    Raises:
        DataError: A file or a column is missing, or there are fewer than 2 classes.
    """
    rows = _rows(root / "train.csv", ("ID", "target"))
    targets, names = _classes(root, rows)
    train, problems = _pages_of_rows(root, "train", rows, targets)
    test = None
    if (root / "test.csv").is_file():
        test, more = _pages_of_rows(root, "test", _rows(root / "test.csv", ("ID",)), targets)
        problems += more
    return PageSet(targets, names, train, test, problems)


def _class_folders(root: Path) -> list[str]:
    if not root.is_dir():
        raise DataError(f"Expected a folder at `data.root`, got {root}, which is not one.")
    names = []
    for folder in sorted(root.iterdir()):
        if not folder.is_dir() or folder.name.startswith((".", "__")):
            continue
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        if not is_utf_8(folder.name):
            raise DataError(f"Expected class folders with names in UTF-8, got {str(folder)!a}. Rename it.")
        if any(is_page_file(entry) for entry in entries):
            names.append(folder.name)
        elif any(entry.is_dir() for entry in entries):
            _tell_skipped(folder)
        else:
            raise DataError(f"Expected page images in the class folder {folder}, got none. Fill it or remove it.")
    return names


@functools.cache  # once a process, not once a trial
def _tell_skipped(folder: Path) -> None:
    log.warning(f"Skipped {folder}: it holds other folders, no page images of its own")


def _pages_of_folders(root: Path, split: Path, names: Sequence[str]) -> tuple[Pages, list[str]]:
    """The pages of class folders, and the files whose names no CSV file could hold."""
    ids, paths, labels, problems = list[str](), list[Path](), list[int](), list[str]()
    for label, name in enumerate(names):
        for path in sorted(path for path in (split / name).glob("*") if is_page_file(path)):
            page = path.relative_to(root).as_posix()
            if is_utf_8(page):
                ids.append(page)
                paths.append(path)
                labels.append(label)
            else:
                problems.append(f"{page.encode(errors='backslashreplace').decode()}: the name is not UTF-8, rename it")
    return Pages(ids, paths, np.asarray(labels, dtype=np.int64)), problems


def is_utf_8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(
            f"Expected {path.name} with columns {','.join(columns)} in `data.root`={path.parent}, got no such file. "
            "Use data=folder for a folder per class."
        )
    rows = read_table(path, columns)
    if not rows:
        raise DataError(f"Expected at least one row in {path}, got none.")
    return rows


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file that has at least these columns; values that a short row lacks are empty."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            found, rows = reader.fieldnames or (), list(reader)
    except UnicodeDecodeError as error:
        raise DataError(f"Expected {path} in UTF-8, got other bytes: {error}. Save it as `CSV UTF-8`.") from error
    except csv.Error as error:
        raise DataError(
            f"Expected {path} as CSV, got {error}. Look for a quotation mark that is not closed."
        ) from error
    if not set(columns) <= set(found):
        raise DataError(f"Expected the columns {','.join(columns)} in {path}, got {','.join(found)}.")
    return rows


def _classes(root: Path, rows: Sequence[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Targets and class names, in the order of the class indices."""
    used = {row["target"] for row in rows} - {""}
    names = {target: target for target in used}
    if (root / "meta.csv").is_file():
        meta = read_table(root / "meta.csv", ("target", "class_name"))
        names = {row["target"]: row["class_name"] for row in meta}
        used &= names.keys()
    if len(used) < 2:
        raise DataError(f"Expected at least 2 classes in {root / 'train.csv'}, got {len(used)}.")
    if len(set(names.values())) < len(names):
        raise DataError(f"Expected different class names in {root / 'meta.csv'}, got one twice.")
    targets = sorted(names, key=_in_order)
    return targets, [names[target] for target in targets]


def _in_order(target: str) -> tuple[int, int, str]:
    """Sorting key: whole numbers by value, and words after them."""
    return (0, int(target), "") if re.fullmatch(r"-?\d+", target) else (1, 0, target)


def _pages_of_rows(
    root: Path, split: str, rows: Sequence[dict[str, str]], targets: Sequence[str]
) -> tuple[Pages, list[str]]:
    """The pages of a CSV file's rows, and the rows that cannot be used, each with the reason."""
    index = {target: i for i, target in enumerate(targets)}
    has_labels, has_groups = "target" in rows[0], "group" in rows[0]
    labels_of: dict[str, set[str]] = {}
    for row in rows:
        labels_of.setdefault(row["ID"], set()).add(row.get("target", ""))
    problems: list[str] = []
    ids, paths, labels, groups = list[str](), list[Path](), list[int](), list[str]()
    seen: set[str] = set()
    for line, row in enumerate(rows, 2):
        name, target = row["ID"], row.get("target", "")
        # Not `Path.is_file`, which raises an error for names that are too long.
        path = next((path for path in candidates(root, split, name) if os.path.isfile(path)), None)  # noqa: PTH113
        what = None
        if not name:
            what = "no ID"
        elif has_labels and not target:
            what = "no target"
        elif has_labels and target not in index:
            what = f"target {target} is not in {'meta.csv' if (root / 'meta.csv').is_file() else 'train.csv'}"
        elif len(labels_of[name]) > 1:
            what = f"the ID stands in several rows, with the targets {', '.join(sorted(labels_of[name]))}"
        elif name in seen:
            what = "the ID stands in several rows"
        elif path is None:
            what = f"no such file in {root / split} or {root}"
        seen.add(name)
        if what is not None or path is None:
            problems.append(f"{split}.csv, row {line}{f', {name}' if name else ''}: {what}")
            continue
        ids.append(name)
        paths.append(path)
        labels.append(index.get(target, 0))
        groups.append(row.get("group", ""))
    # A page without a group is one of its own.
    named = [group or f"\0{name}" for group, name in zip(groups, ids, strict=True)] if has_groups else None
    numbered = np.asarray(labels, dtype=np.int64) if has_labels else None
    return Pages(ids, paths, numbered, named), problems


def candidates(root: Path, split: str, name: str) -> list[Path]:
    """Where a page may be: macOS writes a syllable of Hangul as several characters (NFD), others as one (NFC)."""
    forms = dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)))
    return [folder / form for form in forms for folder in (root / split, root)]
