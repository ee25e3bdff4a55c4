"""The tables of predictions: their columns, whatever a class is called, and the files that they are."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path

_MARK = " (class)"
_TAKEN = re.compile(rf"(ID|target|fold|confidence|review|unlike|novelty|problem)(?:{re.escape(_MARK)})*")


def class_columns(class_names: Sequence[str]) -> list[str]:
    """A column for each class: its name, marked where another column is called so; `classes_of` goes back.

    >>> class_columns(["invoice", "ID", "ID (class)", "problem"])
    ['invoice', 'ID (class)', 'ID (class) (class)', 'problem (class)']
    """
    return [f"{name}{_MARK}" if _TAKEN.fullmatch(name) else name for name in class_names]


def classes_of(columns: Sequence[str]) -> list[str]:
    """The classes that columns are of, in files of earlier releases too, which marked none.

    >>> classes_of(["ID (class)", "ID (class) (class)"]), classes_of(["ID", "ID (class)"])
    (['ID', 'ID (class)'], ['ID', 'ID (class)'])
    """
    names = [column.removesuffix(_MARK) if _TAKEN.fullmatch(column) else column for column in columns]
    return names if len(set(names)) == len(set(columns)) else [*columns]


def submission_of(output: Path) -> Path:
    """Where the filled-in sample submission goes: `submission.csv` beside `predictions.csv`, else under its name.

    >>> submission_of(Path("predictions.csv")).name, submission_of(Path("flips.csv")).name
    ('submission.csv', 'flips_submission.csv')
    """
    return output.with_name("submission.csv" if output.stem == "predictions" else f"{output.stem}_submission.csv")


def tables_beside(output: Path) -> list[Path]:
    """Predictions, and the scores of their classes where there are labels."""
    return [output, output.with_name(f"{output.stem}_classes.csv")]


def others_at(output: Path) -> list[Path]:
    """What predictions and their scores would replace that are none."""
    starts = dict(zip(tables_beside(output), (b"ID,target,confidence,", b"class_name,precision,"), strict=True))
    found = [path for path, start in starts.items() if path.exists() and not _begins(path, start)]
    picture = output.with_name(f"{output.stem}_confusion.png")
    return found + ([picture] if picture.exists() and not any(path.exists() for path in starts) else [])


def _begins(path: Path, start: bytes) -> bool:
    """Whether it is a file that begins so, after the byte order mark that Excel wants."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(BOM_UTF8) + len(start)).removeprefix(BOM_UTF8).startswith(start)
