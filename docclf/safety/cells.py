"""Cells of CSV files that no spreadsheet program takes for a formula."""

import csv
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from docclf.files import replacing

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LONGEST = 10_000_000  # line, in characters
_FIRST = {"'", *_FORMULA}


def cell(value: Any) -> Any:
    """A value as a spreadsheet shall show it: a text that would be a formula gets a ' before it. `uncell` goes back.

    >>> cell("=1+1"), cell("-0.5"), cell(-0.5), cell("a"), uncell(cell("'=1"))
    ("'=1+1", '-0.5', -0.5, 'a', "'=1")
    """
    if not isinstance(value, str) or value[:1] not in _FIRST:  # nearly all, and soon seen
        return value
    return f"'{value}" if value.lstrip("'").startswith(_FORMULA) and not _is_number(value) else value


def uncell(text: str) -> str:
    """What a cell that `cell` made was made of."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def lines_of(file: TextIO) -> Iterator[str]:
    """Lines of a CSV file; of one without an end a part, whose cell is too long: holes of a file may be terabytes."""
    return iter(lambda: file.readline(_LONGEST), "")


def write_csv(path: Path, header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file that appears whole, of cells that no spreadsheet computes: what reads them applies `uncell`.

    With the environment variable `DOCCLF_EXCEL`, a byte order mark comes first, by which Excel knows UTF-8.
    """
    encoding = "utf-8-sig" if os.environ.get("DOCCLF_EXCEL") else "utf-8"
    with replacing(path) as partial, partial.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([cell(value) for value in row] for row in chain([header], rows))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
