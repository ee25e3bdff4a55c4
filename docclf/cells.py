"""Cells of CSV files that no spreadsheet program takes for a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> Any:
    """A value as a spreadsheet shall show it: a text that would be a formula gets a ' before it. `uncell` goes back.

    >>> cell("=1+1"), cell("-0.5"), cell(-0.5), cell("a"), uncell(cell("'=1"))
    ("'=1+1", '-0.5', -0.5, 'a', "'=1")
    """
    is_text = isinstance(value, str) and value.lstrip("'").startswith(_FORMULA)
    return f"'{value}" if is_text and not _is_number(value) else value


def uncell(text: str) -> str:
    """What a cell that `cell` made was made of."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


class CsvWriter:
    """Writes rows of cells that no spreadsheet computes; what reads them back applies `uncell`.

    Args:
        file: Opened with `newline=""`.
    """

    def __init__(self, file: Any) -> None:
        self._writer = csv.writer(file)

    def writerow(self, row: Iterable[Any]) -> None:
        self._writer.writerow([cell(value) for value in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        for row in rows:
            self.writerow(row)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
