"""Columns of the tables that have a probability for each class, whatever a class is called."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
