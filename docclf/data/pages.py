"""What a data set is: pages with labels, read from a folder per class or from CSV files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.data.folders import (
    class_folders,
    files_of_classes,
    is_utf_8,
    readable,
    tell_loose,
    tell_once,
    tell_validation,
)
from docclf.data.tables import PageFinder, read_table
from docclf.errors import DataError


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

    Class names are the folders' names, in sorted order; pages in folders below them are pages of the class too. Pages
    of `root/test` may lie there without class folders: they have no labels. `root/test` is no class beside others
    either. What is left out, a warning tells.

    Raises:
        DataError: Fewer than 2 class folders, an empty one, or a test class that training does not have.
    """
    train_root = root / "train" if (root / "train").is_dir() else root
    if train_root == root and (root / "test").is_dir():
        tell_once(
            f"{root / 'test'} is taken for test pages. If it is a class, put all class folders into {root / 'train'}."
        )
    classes = class_folders(train_root, deep=train_root != root, apart="test" if train_root == root else None)
    names = list(classes)
    if len(names) < 2:
        raise DataError(
            f"Expected at least 2 class folders with page images in `data.root`={root}, got {len(names)}"
            f"{': ' + names[0] if names else ''}. Put the pages of each class into a folder of its own, "
            "or use data=csv where a train.csv names the classes."
        )
    train, problems = _pages_of_files(root, list(classes.values()))
    if train_root != root:
        tell_validation(root)
    test, more = _read_test_folder(root, train_root, names)
    return PageSet(names, names, train, test, problems + more)


def _read_test_folder(root: Path, train_root: Path, names: Sequence[str]) -> tuple[Pages | None, list[str]]:
    """The pages of `root/test`; None where it holds none."""
    folder = root / "test"
    if not folder.is_dir():
        return None, []
    found, loose = files_of_classes(folder)
    classes = {name: pages for name, pages in found.items() if pages}
    if unknown := sorted(classes.keys() - set(names)):
        raise DataError(
            f"Expected the classes of {train_root} in {folder}, got others too: {', '.join(unknown)}. "
            f"Pages without labels lie in {folder} itself."
        )
    if classes:
        tell_loose(folder, loose)
        return _pages_of_files(root, [classes.get(name, []) for name in names])
    if not loose:
        return None, []
    pages, problems = _pages_of_files(root, [loose])
    return replace(pages, labels=None), problems


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
    elif (root / "test").is_dir():
        tell_once(f"{root / 'test'} is not looked at: a test.csv with the column ID would name its pages.")
    return PageSet(targets, names, train, test, problems)


def _pages_of_files(root: Path, classes: Sequence[Sequence[Path]]) -> tuple[Pages, list[str]]:
    """The pages of each class, and the files whose names no CSV file could hold."""
    ids, paths, labels, problems = list[str](), list[Path](), list[int](), list[str]()
    for label, files in enumerate(classes):
        for path in files:
            page = path.relative_to(root).as_posix()
            if is_utf_8(page):
                ids.append(page)
                paths.append(path)
                labels.append(label)
            else:
                problems.append(f"{readable(page)}: the name is not UTF-8, rename it")
    return Pages(ids, paths, np.asarray(labels, dtype=np.int64)), problems


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


def _classes(root: Path, rows: Sequence[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Targets and class names, in the order of the class indices."""
    used = {row["target"] for row in rows} - {""}
    names = {target: target for target in used}
    if (root / "meta.csv").is_file():
        meta = read_table(root / "meta.csv", ("target", "class_name"))
        names = {row["target"]: row["class_name"] for row in meta}
    elif alike := _alike(sorted(used, key=_in_order)):
        tell_once(
            f"{root / 'train.csv'} has targets that are one number written in two ways, and are taken for two classes: "
            f"{', '.join(alike)}. Write them alike if they are one class."
        )
    if len(used & names.keys()) < 2:
        raise DataError(
            f"Expected at least 2 classes in {root / 'train.csv'}, got {len(used & names.keys())}"
            f"{_unlike(used, set(names))}."
        )
    if len(set(names.values())) < len(names):
        raise DataError(f"Expected different class names in {root / 'meta.csv'}, got one twice.")
    targets = sorted(names, key=_in_order)
    return targets, [names[target] for target in targets]


def _alike(targets: Sequence[str]) -> list[str]:
    """Targets that are the number that another one is.

    >>> _alike(["0", "00", "1", "1.0", "a"]), _alike(["0", "1_1", "11", "1e1", "10"])
    (['0', '00', '1', '1.0'], [])
    """
    numbers: dict[Decimal, list[str]] = {}
    for target in targets:
        if re.fullmatch(r"[0-9]+(\.[0-9]*)?", target):
            numbers.setdefault(Decimal(target), []).append(target)
    return [target for group in numbers.values() if len(group) > 1 for target in group]


def _unlike(used: set[str], named: set[str]) -> str:
    """What train.csv and meta.csv do not have in common, and why; empty where meta.csv names all targets.

    >>> _unlike({"00", "01"}, {"0", "1"})
    ': meta.csv has no 00, 01, but 0, 1. Leading zeros were lost in one of the two files; write targets alike in both'
    """
    strange, unused = used - named, named - used
    if not strange:
        return ""
    zeros = {target.lstrip("0") for target in strange} & {target.lstrip("0") for target in unused}
    why = "Leading zeros were lost in one of the two files; write" if zeros else "Write"
    return f": meta.csv has no {_some(strange)}, but {_some(unused) or 'no other'}. {why} targets alike in both"


def _some(targets: set[str]) -> str:
    return ", ".join(sorted(targets, key=_in_order)[:5]) + (", ..." if len(targets) > 5 else "")


def _in_order(target: str) -> tuple[int, int, str]:
    """Sorting key: whole numbers by value, words after them, and by the text what is equal: 0 before 00."""
    return (0, int(target), target) if re.fullmatch(r"-?\d+", target) else (1, 0, target)


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
    finder = PageFinder(root, (split,))
    for line, row in enumerate(rows, 2):
        name, target = row["ID"], row.get("target", "")
        path = finder.find(name)
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
            what = finder.missing(name)
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
