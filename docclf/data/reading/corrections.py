"""Labels that a person has corrected: which pages get another label, and which are left out."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from docclf.data.pages import Pages
from docclf.data.reading.names import normal, some
from docclf.data.reading.tables import read_table
from docclf.errors import DataError
from docclf.files import match_pages
from docclf.safety.cells import uncell

COLUMNS = ("ID", "old", "new")


@dataclass(frozen=True)
class Correction:
    """What a person has decided of a page."""

    page: str  # its ID
    old: str  # target that the data set gives it
    new: str  # target that it gets; `old` to keep it, empty to leave the page out
    who: str = ""  # who has decided; empty if it is not known
    when: str = ""  # in ISO 8601, likewise


def read_corrections(path: Path) -> dict[str, Correction]:
    """Corrections by the ID of their page, from a file with the columns ID, old and new, maybe who and when.

    Raises:
        DataError: There is no such file, it is damaged or lacks a column, or an ID stands in it twice.
    """
    if not path.is_file():
        raise DataError(
            f"Expected a CSV file at `data.corrections`, got {path}, which is none. "
            "python -m docclf.labels RUN writes one; without one say data.corrections=null."
        )
    rows = read_table(path, COLUMNS)
    cells = [[uncell(row.get(key) or "") for key in (*COLUMNS, "who", "when")] for row in rows]
    found = [Correction(page, normal(old), normal(new), *others) for page, old, new, *others in cells]
    if twice := [page for page, n in Counter(one.page for one in found).items() if n > 1]:
        raise DataError(f"Expected each ID once in {path}, got {some(twice)} several times. Keep one row for each.")
    return {one.page: one for one in found}


def correct(
    pages: Pages, targets: Sequence[str], path: Path, is_excluded: Callable[[str], bool] = lambda page: False
) -> tuple[Pages, frozenset[int], dict[str, int]]:
    """Training pages with the labels that a file of corrections gives them.

    Args:
        pages: With labels.
        targets: What the user writes for each class.
        is_excluded: Whether a page is left out, whatever the file says of it.

    Returns:
        All of them; the indices of those that shall not be used; decisions by kind: `relabelled`, `dropped`, `kept`.

    Raises:
        DataError: See `read_corrections`; or an ID, an old or a new label in it is not that of a page.
    """
    assert pages.labels is not None
    corrections = {page: one for page, one in read_corrections(path).items() if not is_excluded(page)}
    rows = dict(zip(corrections, match_pages(corrections, pages.ids), strict=True))
    if unknown := [page for page, row in rows.items() if row < 0]:
        raise DataError(
            f"Expected IDs of training pages in {path}, got {some(unknown)}, which are not in the data set. "
            "Remove these rows, or name the file of this data set in data.corrections."
        )
    given = {page: targets[pages.labels[row]] for page, row in rows.items()}
    decisions = corrections.items()
    if others := [f"{page} ({one.old}, not {given[page]})" for page, one in decisions if one.old != given[page]]:
        raise DataError(
            f"Expected in the column old of {path} the label that the data set gives to the page, got another one for "
            f"{some(others)}. If the labels were changed since, remove these rows."
        )
    if strange := [f"{one.new} for {page}" for page, one in decisions if one.new not in {*targets, ""}]:
        raise DataError(
            f"Expected targets out of {', '.join(targets)} in the column new of {path}, or nothing to leave a page "
            f"out, got {some(strange)}. Write one of them."
        )
    labels, left_out = pages.labels.copy(), set()
    counts = {"relabelled": 0, "dropped": 0, "kept": 0}
    for page, one in decisions:
        if one.new:
            labels[rows[page]] = targets.index(one.new)
        else:
            left_out.add(rows[page])
        counts["dropped" if not one.new else "kept" if one.new == one.old else "relabelled"] += 1
    return replace(pages, labels=labels), frozenset(left_out), counts
