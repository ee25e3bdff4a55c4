"""The classes that folders and CSV files name, and targets that are no labels."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from docclf.data.reading.folders import no_folder, warn_once
from docclf.data.reading.names import near_equal, nearest, normal, some
from docclf.data.reading.tables import Row, read_table
from docclf.errors import DataError

SAMPLE = "sample_submission.csv"
_NO_LABELS = frozenset({"", "?", "??", "-", "-1", "nan", "na", "n/a", "none", "null", "unknown", "tbd", "todo"})

_OFTEN_CLASSES = frozenset({"-1", "none", "unknown"})  # of training pages


def join_folders(root: Path, folders: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Page files of each class, by the normal form of its folders' names; a warning tells what is one, or nearly one.

    Args:
        root: Folder of the class folders.
        folders: Page files by the name of their folder.

    Raises:
        DataError: A name has nothing that can be seen.
    """
    joined: dict[str, list[Path]] = {}
    for name, pages in folders.items():
        if not normal(name):
            raise DataError(f"Expected class folders with names, got {str(root / name)!a}. Rename it.")
        joined.setdefault(normal(name), []).extend(pages)
    if len(joined) < len(folders):
        tell_joined(root, folders)
    tell_near_equal(root, joined)
    return {name: sorted(joined[name]) for name in sorted(joined)}


def tell_joined(where: Path, names: Iterable[str]) -> None:
    """Warn of names that are one in another spelling."""
    if twice := [name for name, written in _spellings(names).items() if len(written) > 1]:
        warn_once(
            f"{where} has names that differ in the composition of letters, in blanks or in signs that cannot be seen, "
            f"and are taken for one class each: {some(twice)}."
        )


def tell_near_equal(where: Path, names: Iterable[str]) -> None:
    """Warn of classes that may be one."""
    if alike := near_equal(names):
        warn_once(
            f"{where} has names that are nearly equal, and are taken for different classes: {some(alike)}. "
            "Write them alike if they are one class."
        )


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Rows of a CSV file that must be there and have some.

    Raises:
        DataError: It has not; and see `docclf.data.reading.tables.read_table`.
    """
    if not path.is_file():
        got = "got no such file. Use data=folder for a folder per class."
        if not path.parent.is_dir():
            got = no_folder(path.parent)
        raise DataError(f"Expected {path.name} with columns {','.join(columns)} in `data.root`={path.parent}, {got}")
    rows = read_table(path, columns)
    if not rows:
        raise DataError(f"Expected at least one row in {path}, got none.")
    return rows


def read_classes(root: Path, rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Targets in normal form to what they are called: of `meta.csv`, or else of the rows of `train.csv`; in order.

    Raises:
        DataError: There are fewer than 2, or `meta.csv` names one twice or with nothing.
    """
    given = [row["target"] for row in rows]
    tell_joined(root / "train.csv", given)
    used = {normal(target) for target in given} - {""}
    if (root / "meta.csv").is_file():
        names = _named(root / "meta.csv")
        tell_near_equal(root / "meta.csv", names.values())
    else:
        names = {target: target for target in used}
        tell_near_equal(root / "train.csv", sorted(used, key=_in_order))
        if odd := sorted(target for target in used if target.casefold() in _NO_LABELS - _OFTEN_CLASSES):
            warn_once(
                f"{root / 'train.csv'} has targets that look like no labels, and are taken for classes: {some(odd)}. "
                "Remove their rows, or name them in a meta.csv."
            )
    if len(used & names.keys()) < 2:
        raise DataError(
            f"Expected at least 2 classes in {root / 'train.csv'}, got {len(used & names.keys())}"
            f"{_unlike(used, set(names))}."
        )
    if unused := sorted(names.keys() - used, key=_in_order):
        warn_once(f"{root / 'meta.csv'} has classes of which train.csv has no page: {some(unused)}.")
    return {target: names[target] for target in sorted(names, key=_in_order)}


def written_of(given: Sequence[str]) -> dict[str, str]:
    """Normal form to what is written, for names that have one form and are not in normal form.

    >>> written_of(["a", " b"]), written_of(["a", "a "])
    ({'b': ' b'}, {})
    """
    forms = _spellings(given).items()
    return {name: written.pop() for name, written in forms if len(written) == 1 and written != {name}}


def _spellings(names: Iterable[str]) -> dict[str, set[str]]:
    """Normal form to all that is written for it."""
    forms: dict[str, set[str]] = {}
    for name in names:
        forms.setdefault(normal(name), set()).add(name)
    return forms


def _named(path: Path) -> dict[str, str]:
    rows = [(normal(row["target"]), normal(row["class_name"])) for row in read_table(path, ("target", "class_name"))]
    rows = [row for row in rows if any(row)]
    if nameless := [target or name for target, name in rows if not (target and name)]:
        raise DataError(f"Expected a target and a class name in every row of {path}, got {some(nameless)} alone.")
    if twice := [target for target, n in Counter(target for target, _ in rows).items() if n > 1]:
        raise DataError(
            f"Expected every target once in {path}, got {some(twice)} several times. Keep one row for each."
        )
    if twice := [name for name, n in Counter(name for _, name in rows).items() if n > 1]:
        raise DataError(f"Expected different class names in {path}, got one twice: {some(twice)}.")
    return dict(rows)


def _unlike(used: set[str], named: set[str]) -> str:
    """What train.csv and meta.csv do not have in common; empty where meta.csv names all targets.

    >>> _unlike({"00", "01"}, {"0", "1"})
    ': meta.csv has no 00, 01, but 0, 1. Write targets alike in both'
    """
    strange, unused = sorted(used - named, key=_in_order), sorted(named - used, key=_in_order)
    if not strange:
        return ""
    return f": meta.csv has no {some(strange)}, but {some(unused) or 'no other'}. Write targets alike in both"


def _in_order(target: str) -> tuple[int, Decimal, str]:
    """Sorting key: whole numbers by value, words after them, and by the text what is equal: 0 before 00."""
    # Not `int`, which refuses thousands of digits.
    return (0, Decimal(target), target) if re.fullmatch(r"-?\d+", target) else (1, Decimal(), target)


def is_no_label(target: str, classes: Container[str]) -> bool:
    """Whether a target stands for none, and is no class.

    >>> is_no_label("N/A", ["0"]), is_no_label(" ", ["0"]), is_no_label("-1", ["-1", "1"])
    (True, True, False)
    """
    return normal(target).casefold() in _NO_LABELS and normal(target) not in classes


def why_no_labels(targets: Mapping[str, str], classes: Sequence[str], sample: Path) -> str:
    """Why the targets of a list of test pages are place-holders; empty where they are labels.

    Args:
        targets: Of each ID.
        classes: What counts as a class.
        sample: A sample submission, whose targets are place-holders; it need not be there.

    >>> why_no_labels({"a": "?", "b": ""}, ["0", "1"], Path()), why_no_labels({"a": "0", "b": "0"}, ["0", "1"], Path())
    ('none is a class', 'all of them are 0')
    >>> why_no_labels({"a": "0", "b": "1"}, ["0", "1"], Path()), why_no_labels({"a": "0"}, ["0", "1"], Path())
    ('', '')
    """
    values = {normal(target) for target in targets.values()}
    if all(is_no_label(value, classes) for value in values):
        return "none is a class"
    if len(targets) > 1 and len(values) == 1:
        return f"all of them are {some(values)}"
    if sample.is_file():
        try:
            held = {row["ID"]: row["target"] for row in read_table(sample, ("ID", "target"))}
        except DataError as error:  # of another kind, and not needed
            warn_once(f"{sample} is not looked at. {error}")
            return ""
        if all(held.get(page) == target for page, target in targets.items()):
            return f"they are those of {sample.name}"
    return ""


def why_not_all_labels(targets: Mapping[str, str], classes: Sequence[str], sample: Path) -> str:
    """As `why_no_labels`, where one place-holder is enough.

    >>> why_not_all_labels({"a": "0", "b": "1", "c": "?"}, ["0", "1"], Path())
    '1 of 3 is no label (remove such rows, and the others are scored)'
    """
    n = sum(is_no_label(target, classes) for target in targets.values())
    are = "is no label" if n == 1 else "are no labels"
    few = f"{n} of {len(targets)} {are} (remove such rows, and the others are scored)"
    return why_no_labels(targets, classes, sample) or (few if n else "")


def what_is_wrong(
    name: str, target: str | None, targets: Mapping[str, int], labels: set[str], known: str, *, is_new: bool
) -> str:
    """What keeps a row from being used, whether its page is there or not; empty if nothing does.

    Args:
        name: Its ID.
        target: None in a file without labels.
        targets: Those that there may be, named by the file `known`.
        labels: Of all rows of its page.
        is_new: Whether no row before it has its page.
    """
    if not name:
        return "no ID"
    if target == "":
        return "no target"
    if target is not None and target not in targets:
        return f"target {target} is not in {known}{nearest(target, targets)}"
    if len(labels) > 1:
        return f"the ID stands in several rows, with the targets {', '.join(sorted(labels))}"
    return "" if is_new else "the ID stands in several rows"
