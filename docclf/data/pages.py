"""What a data set is: pages with labels, read from a folder per class or from CSV files."""

import csv
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.errors import DataError

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Pages:
    """Some pages of a data set, in a fixed order.

    Attributes:
        ids: What the user calls each page: its name in the CSV, or its path below the root.
        paths: The image file of each page.
        labels: Class index of each page, int64 of shape (n,); None where the labels are not known.
        groups: Pages of one group never straddle a fold; None where the data names no groups.
    """

    ids: list[str]
    paths: list[Path]
    labels: NDArray[np.int64] | None
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class PageSet:
    """A data set.

    Attributes:
        targets: What the user writes for each class, in the order of the class indices.
        class_names: What each class is called in tables and pictures.
        train: Pages with labels.
        test: Pages apart, never used for a search; None where there are none.
    """

    targets: list[str]
    class_names: list[str]
    train: Pages
    test: Pages | None = None


def read_folder(root: Path) -> PageSet:
    """Read a folder per class, either directly below `root` or below `root/train` and `root/test`.

    Class names are the folders' names, in sorted order. Folders that hold only other folders are skipped with a
    warning, hidden ones without.

    Raises:
        DataError: No class folder, an empty one, or a test class that training does not have.
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
    test = None
    if train_root != root and len(splits) == 2:
        unknown = sorted(set(_class_folders(splits[1])) - set(names))
        if unknown:
            raise DataError(
                f"Expected the classes of {train_root} in {splits[1]}, got others too: {', '.join(unknown)}."
            )
        test = _pages_of_folders(root, splits[1], names)
    return PageSet(names, names, _pages_of_folders(root, train_root, names), test)


def read_csv(root: Path) -> PageSet:
    """Read `train.csv` (ID, target, optional group), `meta.csv` (target, class_name) and `test.csv` where it exists.

    Images are looked for beside the CSV files and in `train/` and `test/`. A `test.csv` without a target column is
    kept as pages without labels.

    Raises:
        DataError: Columns, files or classes are missing, or an ID stands in two rows.
    """
    rows = _rows(root / "train.csv", ("ID", "target"))
    targets, names = _classes(root, rows)
    train = _pages_of_rows(root, "train", rows, targets)
    test = None
    if (root / "test.csv").is_file():
        test = _pages_of_rows(root, "test", _rows(root / "test.csv", ("ID",)), targets)
    return PageSet(targets, names, train, test)


def _class_folders(root: Path) -> list[str]:
    if not root.is_dir():
        raise DataError(f"Expected a folder at `data.root`, got {root}, which is not one.")
    names = []
    for folder in sorted(root.iterdir()):
        if not folder.is_dir() or folder.name.startswith((".", "__")):
            continue
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        if any(_is_image(entry) for entry in entries):
            names.append(folder.name)
        elif any(entry.is_dir() for entry in entries):
            log.warning(f"Skipped {folder}: it holds other folders, no page images of its own")
        else:
            raise DataError(f"Expected page images in the class folder {folder}, got none. Fill it or remove it.")
    return names


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _pages_of_folders(root: Path, split: Path, names: Sequence[str]) -> Pages:
    paths, labels = [], []
    for label, name in enumerate(names):
        found = sorted(path for path in (split / name).glob("*") if _is_image(path))
        paths += found
        labels += [label] * len(found)
    return Pages([path.relative_to(root).as_posix() for path in paths], paths, np.asarray(labels, dtype=np.int64))


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(
            f"Expected {path.name} with columns {','.join(columns)} in `data.root`={path.parent}, got no such file. "
            "Use data=folder for a folder per class."
        )
    rows = _table(path, columns)
    if not rows:
        raise DataError(f"Expected at least one row in {path}, got none.")
    gaps = [line for line, row in enumerate(rows, 2) if not all(row[column] for column in columns)]
    if gaps:
        raise DataError(f"Expected a value of {','.join(columns)} in every row of {path}, got none in row {gaps[0]}.")
    twice = [name for name, count in Counter(row["ID"] for row in rows).items() if count > 1]
    if twice:
        raise DataError(f"Expected each ID once in {path}, got {len(twice)} in several rows: {_some(twice)}.")
    return rows


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file that has at least these columns; values that a short row lacks are empty."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            found, rows = reader.fieldnames or (), list(reader)
    except UnicodeDecodeError as error:
        raise DataError(f"Expected {path} in UTF-8, got other bytes: {error}. Save it as `CSV UTF-8`.") from error
    if not set(columns) <= set(found):
        raise DataError(f"Expected the columns {','.join(columns)} in {path}, got {','.join(found)}.")
    return rows


def _classes(root: Path, rows: Sequence[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Targets and class names, in the order of the class indices."""
    used = {row["target"] for row in rows}
    names = {target: target for target in used}
    if (root / "meta.csv").is_file():
        meta = _table(root / "meta.csv", ("target", "class_name"))
        names = {row["target"]: row["class_name"] for row in meta}
        unknown = sorted(used - names.keys())
        if unknown:
            raise DataError(f"Expected every target of train.csv in {root / 'meta.csv'}, it lacks {_some(unknown)}.")
    if len(used) < 2:
        raise DataError(f"Expected at least 2 classes in {root / 'train.csv'}, got {len(used)}.")
    if len(set(names.values())) < len(names):
        raise DataError(f"Expected different class names in {root / 'meta.csv'}, got one twice.")
    targets = sorted(names, key=_in_order)
    return targets, [names[target] for target in targets]


def _in_order(target: str) -> tuple[int, int, str]:
    """Sorting key: whole numbers by value, and words after them."""
    return (0, int(target), "") if re.fullmatch(r"-?\d+", target) else (1, 0, target)


def _pages_of_rows(root: Path, split: str, rows: Sequence[dict[str, str]], targets: Sequence[str]) -> Pages:
    ids = [row["ID"] for row in rows]
    candidates = [(root / split / name, root / name) for name in ids]
    paths = [next((path for path in pair if path.is_file()), None) for pair in candidates]
    lost = [name for name, path in zip(ids, paths, strict=True) if path is None]
    if lost:
        raise DataError(
            f"Expected an image file for every ID of {split}.csv in {root} or {root / split}, "
            f"got none for {len(lost)} of {len(ids)}: {_some(lost)}."
        )
    index = {target: i for i, target in enumerate(targets)}
    labels = None
    if "target" in rows[0]:
        unknown = sorted({row["target"] for row in rows} - index.keys())
        if unknown:
            raise DataError(f"Expected only targets of train.csv or meta.csv in {split}.csv, got {_some(unknown)}.")
        labels = np.asarray([index[row["target"]] for row in rows], dtype=np.int64)
    groups = [row["group"] for row in rows] if "group" in rows[0] else None
    return Pages(ids, [path for path in paths if path is not None], labels, groups)


def _some(names: Sequence[str], limit: int = 10) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
