"""What a data set is: pages with labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.errors import DataError


@dataclass(frozen=True)
class Pages:
    """Some pages of a data set, in a fixed order.

    Raises:
        DataError: An attribute has another length than `ids`, or values of another kind.
    """

    ids: list[str]  # what the user calls each page: its name in the CSV, or its path below the root
    paths: list[Path]  # the file of each page
    # class index of each page, int64 of shape (n,); None where the labels are not known
    labels: NDArray[np.int64] | None
    groups: list[str] | None = None  # pages of one group never straddle a fold; None where the data names no groups
    numbers: list[int] | None = None  # which page of its file each is, from 0; None for the first ones

    def __post_init__(self) -> None:
        for name in ("paths", "labels", "groups", "numbers"):
            if (values := getattr(self, name)) is not None and len(values) != len(self.ids):
                raise DataError(f"Expected as many {name} as ids of pages, {len(self.ids)}, got {len(values)}.")
        if self.labels is not None and not (isinstance(self.labels, np.ndarray) and self.labels.dtype.kind in "iu"):
            raise DataError(f"Expected labels of pages in a NumPy array of integers, got {type(self.labels).__name__}.")
        if self.labels is not None:  # a loss takes no other integers
            object.__setattr__(self, "labels", self.labels.astype(np.int64, copy=False))
        if other := next((path for path in self.paths if not isinstance(path, Path)), None):
            raise DataError(f"Expected paths of pages to be of pathlib.Path, got {other!r}.")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int]) -> "Pages":
        """Those of the pages that `indices` name, in the order of these."""
        return Pages(
            [self.ids[i] for i in indices],
            [self.paths[i] for i in indices],
            None if self.labels is None else self.labels[list(indices)],
            None if self.groups is None else [self.groups[i] for i in indices],
            None if self.numbers is None else [self.numbers[i] for i in indices],
        )


def of_classes(pages: Pages, kept: Sequence[int]) -> tuple[Pages, NDArray[np.int64]]:
    """The pages of some classes, with labels that count these alone, and the indices of these pages.

    Args:
        pages: With labels; without, all of them stay.
        kept: Indices of classes, in order.
    """
    if pages.labels is None:
        return pages, np.arange(len(pages))
    rows = np.flatnonzero(np.isin(pages.labels, kept))
    return replace(pages.take(rows.tolist()), labels=np.searchsorted(kept, pages.labels[rows])), rows


@dataclass(frozen=True)
class PageSet:
    """A data set.

    Raises:
        DataError: Training pages have no labels, or a label is not the index of a target.
    """

    targets: list[str]  # what the user writes for each class, in normal form, in the order of the class indices
    class_names: list[str]  # what each class is called in tables and pictures
    train: Pages  # pages with labels
    test: Pages | None = None  # pages apart, never used for a search; None where there are none
    # pages that are named but cannot be used, each with the reason; they are in none of the above
    problems: Sequence[str] = field(default_factory=list)
    # target to what is really written, where that is another text, as earlier releases took it
    written: dict[str, str] = field(default_factory=dict)
    # classes whose pages the data set names, whether or not any can be used; those that `train` and `test` have need
    # not be among them
    listed: frozenset[int] = frozenset()
    # target to what a model writes for it, where that is another text, as a submission is compared with it
    answers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.train.labels is None or len(self.targets) != len(self.class_names):
            raise DataError("Expected training pages with labels, and a name for each target, got others.")
        for labels in (self.train.labels, None if self.test is None else self.test.labels):
            if labels is not None and len(labels) and not 0 <= labels.min() <= labels.max() < len(self.targets):
                raise DataError(
                    f"Expected labels of pages to be indices of the {len(self.targets)} targets, from 0, got "
                    f"{labels.min()} to {labels.max()}."
                )

    @property
    def with_pages(self) -> frozenset[int]:
        """Classes that pages have, and those in `listed`."""
        parts = (self.train.labels, None if self.test is None else self.test.labels)
        return self.listed.union(*(labels.tolist() for labels in parts if labels is not None))

    @property
    def emptied(self) -> list[int]:
        """Classes of these that no training page has: all of them were left out, or there are test pages alone."""
        assert self.train.labels is not None
        return sorted(self.with_pages.difference(self.train.labels.tolist()))


def require_page_set(found: object) -> PageSet:
    """What a reader returned, if it is what it should be.

    Raises:
        DataError: It is something else.
    """
    if not isinstance(found, PageSet):
        raise DataError(
            f"Expected `data.reader` to return a docclf.data.pages.PageSet, got {type(found).__name__}. "
            "docs/extending.md has an example."
        )
    for pages in (found.train, found.test):
        ids: Sequence[object] = pages.ids if pages is not None else ()
        counts = Counter(map(repr, ids))
        for name in ids:  # by which tables tell pages apart
            if not isinstance(name, str) or not name or counts[repr(name)] > 1:
                how = f" {counts[repr(name)]} times" if counts[repr(name)] > 1 else ""
                raise DataError(
                    f"Expected ids of pages to be texts that each page has alone, got {name!r}{how}. "
                    "Say path.relative_to(root).as_posix()"
                )
    return found
