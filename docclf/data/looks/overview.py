"""A data set in words, and pages of it to look at."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from docclf.data.dataset import DataSet
from docclf.data.pages import Pages
from docclf.data.reading.names import count_of

_EXAMPLES = 8
_MOST = 20  # lines of a list on the screen


def describe(data: DataSet) -> str:
    """Classes and counts, sizes of files, problems, near-duplicates and leaks between training and test pages."""
    train, test = data.pages.train, data.pages.test
    n_classes = len(data.pages.class_names)
    lines = ["", f"{count_of(len(train), 'training page')} of {n_classes} classes, fingerprint {data.fingerprint}"]
    if test is not None:
        lines.append(
            f"{count_of(len(test), 'test page')}, {'labelled' if test.labels is not None else 'without labels'}"
        )
    lines += _classes(data)
    lines += _sizes([*train.paths, *(test.paths if test is not None else [])])
    lines += _listed(f"{count_of(len(data.dropped), 'page')} that cannot be used", data.dropped)
    n = len(train)
    ids = [*train.ids, *(test.ids if test is not None else [])]
    inside = [f"{ids[a]} = {ids[b]}{_disagreement(data, a, b)}" for a, b in data.pairs if b < n]
    across = [f"{ids[a]} = {ids[b]} (test)" for a, b in data.pairs if a < n <= b]
    lines += _listed(f"{count_of(len(inside), 'pair')} of near-duplicate training pages, kept in one fold", inside)
    lines += _listed(f"{count_of(len(across), 'near-duplicate')} between training and test pages", across)
    return "\n".join(lines)


def _classes(data: DataSet) -> list[str]:
    """A table of the pages of each class, with a header."""
    names = data.pages.class_names
    columns: list[list[Any]] = [["class", *names], ["training", *_counts(data.pages.train, len(names))]]
    if data.pages.test is not None and data.pages.test.labels is not None:
        columns.append(["test", *_counts(data.pages.test, len(names))])
    width = max(map(cell_len, columns[0]))  # a Hangul syllable takes two
    return [
        f"  {name}{' ' * (width - cell_len(name))}{''.join(f'{count:>10}' for count in row)}"
        for name, *row in zip(*columns, strict=True)
    ]


def _counts(pages: Pages, n_classes: int) -> list[int]:
    assert pages.labels is not None
    return [int(count) for count in np.bincount(pages.labels, minlength=n_classes)]


def _sizes(pages: list[Path]) -> list[str]:
    paths = set(pages)  # a file may hold several
    suffixes = Counter(path.suffix.lower() for path in paths)
    megabytes = sorted(path.stat().st_size / 1e6 for path in paths)
    kinds = ", ".join(f"{n} {suffix}" for suffix, n in suffixes.most_common())
    return [f"{kinds}; {sum(megabytes):,.1f} MB, largest {megabytes[-1]:.1f} MB"]


def _disagreement(data: DataSet, a: int, b: int) -> str:
    labels = data.pages.train.labels
    assert labels is not None
    if labels[a] == labels[b]:
        return ""
    return f": labelled {data.pages.class_names[labels[a]]} and {data.pages.class_names[labels[b]]}"


def _listed(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"  and {len(items) - _MOST} more"] if len(items) > _MOST else []
    return [f"{title}:", *(f"  {item}" for item in items[:_MOST]), *more]


def examples(data: DataSet) -> dict[str, list[NDArray[np.uint8]]]:
    """The first pages of every class, each uint8 of shape (size, size, channels), by class name."""
    labels = data.pages.train.labels
    assert labels is not None
    rows = {name: np.flatnonzero(labels == label)[:_EXAMPLES] for label, name in enumerate(data.pages.class_names)}
    return {name: list(data.train_images[found]) for name, found in rows.items()}
