"""Pages that are named but cannot be used, and a file of pages to leave out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from docclf.data.reading.folders import warn_once
from docclf.data.reading.names import count_of
from docclf.data.reading.tables import read_table
from docclf.errors import DataError
from docclf.files import composed
from docclf.safety.cells import uncell, write_csv

COLUMNS = ("page", "problem", "found_by")
_ROW = ", row "


class Problem(str):
    """Why a page cannot be used, in one line.

    Args:
        page: Its ID, or its path below the root; empty for a row without one.
        what: The reason.
        found_by: The row of a CSV file, as in `train.csv, row 3`, or what was done with the file.

    >>> print(Problem("a.png", "no target", "train.csv, row 3"), "|", Problem("b.png", "the file is empty", "decoding"))
    train.csv, row 3, a.png: no target | b.png: the file is empty
    """

    page: str
    what: str
    found_by: str

    def __new__(cls, page: str, what: str, found_by: str) -> Problem:
        place = [found_by] if _ROW in found_by else []
        self = super().__new__(cls, f"{', '.join([*place, *([page] if page else [])])}: {what}")
        self.page, self.what, self.found_by = page, what, found_by
        return self

    @classmethod
    def of(cls, text: str) -> Problem:
        """A problem that a reader tells as a text, `PAGE: REASON`."""
        page, _, what = text.partition(": ")
        return text if isinstance(text, cls) else cls(page, what, "reading")


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write all problems, with the columns page, problem and found_by; `read_exclusions` reads them."""
    write_csv(path, COLUMNS, ([one.page, one.what, one.found_by] for one in problems))


def refuse_or_tell(root: Path, problems: Sequence[Problem], on_error: str) -> None:
    """With `on_error=drop`, warn of pages that cannot be used.

    Raises:
        DataError: There are some, with `on_error=raise`.
    """
    if problems and on_error == "raise":
        raise DataError(
            f"Expected pages in {root} that can all be used, got {len(problems)} that cannot:\n  "
            + "\n  ".join(problems)
            + "\nFix them, or leave them out with data.on_error=drop."
        )
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        warn_once(f"Left out {count_of(len(problems), 'page')} of {root} that cannot be used:{shown}{more}")


@dataclass(frozen=True)
class Exclusions:
    """Pages to leave out, and rows of CSV files."""

    pages: frozenset[str] = frozenset()  # IDs, or paths below the root
    # those of them, composed, that leave out pages whose letters are composed otherwise
    alike: frozenset[str] = frozenset()
    # ID, composed, and row, as in `train.csv, row 3`, of what a row alone is the matter with
    rows: frozenset[tuple[str, str]] = frozenset()

    def among(self, names: Iterable[str]) -> Exclusions:
        """The same for pages of these names: what is one of them leaves out no other that is only composed alike."""
        there = _with_files(name.strip() for name in names)
        return replace(self, alike=frozenset(composed(page) for page in self.pages - there))

    def has(self, *names: str) -> bool:
        """Whether a page of these names is left out; page N of a file as NAME#N or with its file."""
        found = _with_files(name.strip() for name in names)
        return not (self.pages.isdisjoint(found) and self.alike.isdisjoint(map(composed, found)))

    def covers(self, problem: Problem) -> bool:
        """Whether a problem is that of a page or row that is left out."""
        return (composed(problem.page), problem.found_by) in self.rows or self.has(problem.page)

    def unknown(self, seen: Sequence[str]) -> list[str]:
        """The pages to leave out that are none of these names."""
        known = {composed(name) for name in _with_files(seen)}
        return sorted(page for page in self.pages if composed(page) not in known)


def _with_files(names: Iterable[str]) -> set[str]:
    """These names, and those of the files of NAME#N."""
    found = set(names)
    return found | {name.rpartition("#")[0] for name in found if "#" in name}


def read_exclusions(path: Path | None) -> Exclusions:
    """Read a file of pages to leave out: the column page or ID, and maybe found_by, as in `problems.csv`.

    Raises:
        DataError: There is no such file, or it is damaged or lacks the column.
    """
    if path is None:
        return Exclusions()
    if not path.is_file():
        raise DataError(
            f"Expected a CSV file at `data.exclude`, got {path}, which is none. python -m docclf.data writes a "
            "problems.csv where pages cannot be used; without one say data.exclude=null."
        )
    rows = read_table(path, (COLUMNS[0],), or_else=("ID",))
    entries = [(uncell(row.get("page") or row.get("ID", "")), row.get("found_by", "")) for row in rows]
    return Exclusions(
        frozenset(page for page, by in entries if page and _ROW not in by),
        rows=frozenset((composed(page), by) for page, by in entries if _ROW in by),
    ).among(())


def limit_pixels(megapixels: float) -> None:
    """From now on, images of up to so many megapixels are read in this process. Pillow has one limit for all."""
    Image.MAX_IMAGE_PIXELS = round(megapixels * 1e6 / 2)  # of which it warns, and refuses twice as many


def reason(error: Exception) -> str:
    """What a decoder says, in one line."""
    told = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError) and (found := re.search(r"\((\d+) pixels\)", told)):
        told += f" It is read with data.max_megapixels={math.ceil(int(found[1]) / 1e6)}."
    return f"{type(error).__name__}: {told}"
