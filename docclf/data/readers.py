"""Readers of data sets: a folder per class, or CSV files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from docclf.data.pages import Pages, PageSet
from docclf.data.reading.classes import (
    SAMPLE,
    join_folders,
    read_classes,
    read_rows,
    what_is_wrong,
    why_not_all_labels,
    written_of,
)
from docclf.data.reading.folders import (
    class_folders,
    files_of_classes,
    no_folder,
    split_folder,
    tell_beside,
    tell_loose,
    warn_once,
)
from docclf.data.reading.names import count_of, nearest, normal
from docclf.data.reading.problems import Problem
from docclf.data.reading.tables import PageFinder, Row, read_table, renamed
from docclf.errors import DataError, safe_text

_NO_GROUP = ("", "nan", "none", "null", "-1")


def read_folder(root: Path) -> PageSet:
    """Read a folder per class, either directly below `root` or below `root/train` and `root/test`.

    Class names are the folders' names in normal form, in sorted order; pages in folders below them are pages of the
    class too. Pages of `root/test` may lie there without class folders: they have no labels. `root/test` is no class
    beside others either. What is left out, a warning tells.

    Raises:
        DataError: Fewer than 2 class folders, an empty one, or a test class that training does not have.
    """
    if not root.is_dir():
        raise DataError(f"Expected a folder at `data.root`, got {root}, {no_folder(root)}")
    train_root, test_root = split_folder(root, "train") or root, split_folder(root, "test")
    where, way_out = f"`data.root`={root}", "use data=csv where a train.csv names the classes"
    if train_root != root:
        where, way_out = str(train_root), "move those beside it there"
        tell_beside(train_root, test_root)
    elif test_root:
        warn_once(
            f"{test_root} is taken for test pages. If it is a class, put all class folders into {root / 'train'}."
        )
    folders = class_folders(train_root, deep=train_root != root, apart=test_root)
    classes = join_folders(train_root, folders)
    names = list(classes)
    if len(names) < 2:
        raise DataError(
            f"Expected at least 2 class folders with page images in {where}, got {len(names)}"
            f"{': ' + names[0] if names else ''}. Put the pages of each class into a folder of its own, or {way_out}."
        )
    train, problems = _pages_of_files(root, list(classes.values()))
    test, more = _read_test_folder(root, test_root, train_root, names) if test_root else (None, [])
    written, listed = written_of(list(folders)), frozenset(range(len(names)))
    return PageSet(names, names, train, test, problems + more, written, listed)


def _read_test_folder(root: Path, folder: Path, train: Path, names: list[str]) -> tuple[Pages | None, list[Problem]]:
    """The pages of `root/test`; None where it holds none."""
    found, loose = files_of_classes(folder)
    classes = join_folders(folder, {name: pages for name, pages in found.items() if pages})
    if unknown := sorted(classes.keys() - set(names)):
        raise DataError(
            f"Expected the classes of {train} in {folder}, got others too: "
            f"{', '.join(f'{name}{nearest(name, names)}' for name in unknown)}. "
            f"Pages without labels lie in {folder} itself."
        )
    if classes:
        tell_loose(folder, loose)
        return _pages_of_files(root, [classes.get(name, []) for name in names])
    if not loose:
        return None, []
    pages, problems = _pages_of_files(root, [loose])
    return replace(pages, labels=None), problems


def _pages_of_files(root: Path, classes: Sequence[Sequence[Path]]) -> tuple[Pages, list[Problem]]:
    """The pages of each class, and the files whose names no CSV file could hold."""
    ids, paths, labels, problems = list[str](), list[Path](), list[int](), list[Problem]()
    for label, files in enumerate(classes):
        for path in files:
            page = path.relative_to(root).as_posix()
            if safe_text(page) == page:
                ids.append(page)
                paths.append(path)
                labels.append(label)
            else:
                problems.append(Problem(safe_text(page), "the name is not UTF-8, rename it", "listing"))
    return Pages(ids, paths, np.asarray(labels, dtype=np.int64)), problems


def read_csv(root: Path) -> PageSet:
    """Read `train.csv` (ID, target, optional group), `meta.csv` (target, class_name) and `test.csv` where it exists.

    Files are looked for in `train/` and `test/` and beside the CSV files. A `test.csv` without a target column, or
    with place-holders in it, is kept as pages without labels, and so is `sample_submission.csv` where there is no
    `test.csv`. A group that is empty, `nan`, `none`, `null` or `-1`, as programs write what they do not know, is no
    group. Rows that cannot be used are problems of the data set.

    Raises:
        DataError: A file or a column is missing, or there are fewer than 2 classes.
    """
    rows = read_rows(root / "train.csv", ("ID", "target"))
    names = read_classes(root, rows)
    targets = [*names]
    train, problems = _pages_of_rows(root, "train.csv", rows, targets)
    test, more = _read_test_rows(root, targets)
    given = {normal(row["target"]) for row in rows}
    listed = frozenset(label for label, target in enumerate(targets) if target in given)
    written = written_of([row["target"] for row in rows])
    return PageSet(targets, [*names.values()], train, test, problems + more, written, listed, answers=written)


def _read_test_rows(root: Path, targets: Sequence[str]) -> tuple[Pages | None, list[Problem]]:
    """The pages of `test.csv`, or else those of a sample submission that are there."""
    path = root / "test.csv"
    if path.is_file():
        if not (rows := read_table(path, ("ID",))):
            warn_once(f"{path} has no rows: there are no test pages.")
            return None, []
        held = {row["ID"]: row["target"] for row in rows if row["ID"] and "target" in row}
        if held and (why := why_not_all_labels(held, targets, root / SAMPLE)):
            warn_once(f"The targets in {path} are taken for place-holders, since {why}: the test pages are not scored.")
            for row in rows:
                row.pop("target", None)
        return _pages_of_rows(root, path.name, rows, targets)
    sample = root / SAMPLE
    if sample.is_file():
        rows = []
        try:
            rows = read_table(sample, ("ID", "target"))
        except DataError as error:  # of another kind than `predict` takes
            warn_once(f"{sample} is not looked at. {error}")
        for row in rows:
            del row["target"]
        pages, problems = _pages_of_rows(root, SAMPLE, rows, targets) if rows else (Pages([], [], None), [])
        if problems:
            warn_once(f"Of {sample} {count_of(len(problems), 'page')} cannot be used, the first is {problems[0]}.")
        return (pages, []) if len(pages) else (None, [])
    if (root / "test").is_dir():
        warn_once(f"{root / 'test'} is not looked at: a test.csv with the column ID would name its pages.")
    return None, []


def _pages_of_rows(root: Path, file: str, rows: Sequence[Row], targets: Sequence[str]) -> tuple[Pages, list[Problem]]:
    """The pages of a CSV file's rows, and the rows that cannot be used, each with the reason."""
    index = {target: i for i, target in enumerate(targets)}
    has_labels, has_groups = "target" in rows[0], "group" in rows[0]
    if way := renamed(("group",), [*rows[0]]):
        warn_once(f"No column group in {root / file}, so pages of one group may be in several folds.{way}")
    known = "meta.csv" if (root / "meta.csv").is_file() else "train.csv"
    finder = PageFinder(root, ("train" if file == "train.csv" else "test",))
    found = [finder.find(row["ID"]) for row in rows]
    keys = [str(path or row["ID"]) for path, row in zip(found, rows, strict=True)]  # a name may be spelled in two ways
    labels_of: dict[str, set[str]] = {}
    for key, row in zip(keys, rows, strict=True):
        labels_of.setdefault(key, set()).add(normal(row.get("target", "")))
    problems: list[Problem] = []
    ids, paths, labels, groups = list[str](), list[Path](), list[int](), list[str]()
    seen: set[str] = set()
    for row, path, key in zip(rows, found, keys, strict=True):
        name, target = row["ID"], normal(row.get("target", ""))
        given = target if has_labels else None
        what = what_is_wrong(name, given, index, labels_of[key], known, is_new=key not in seen)
        seen.add(key)
        if what or path is None:
            problems.append(Problem(name, what or finder.missing(name), f"{file}, row {row.number}"))
            continue
        ids.append(name)
        paths.append(path)
        labels.append(index.get(target, 0))
        groups.append(normal(row.get("group", "")))
    # A page without a group is one of its own.
    pairs = zip(groups, ids, strict=True)
    named = [f"\0{name}" if group.casefold() in _NO_GROUP else group for group, name in pairs] if has_groups else None
    numbered = np.asarray(labels, dtype=np.int64) if has_labels else None
    return Pages(ids, paths, numbered, named), problems
