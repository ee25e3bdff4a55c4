"""A data set by what its pages hold, whatever files are called and in which order they are listed."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from docclf.data.pages import Pages


def fingerprint(digests: Sequence[str], pages: Pages, targets: Sequence[str]) -> str:
    """Identifies pages and labels.

    Args:
        digests: A hash of what each page holds; there may be more of them, of other pages.
        pages: With labels.
    """
    return _hash(sorted(_lines(digests, pages, targets)))


def fingerprint_of_rows(
    digests: Sequence[str], pages: Pages, targets: Sequence[str], written: Mapping[str, str]
) -> str:
    """What earlier releases gave: of pages in the order of their rows, with targets as they are written."""
    return _hash(_lines(digests, pages, [written.get(target, target) for target in targets]))


def content_order(digests: Sequence[str], pages: Pages, targets: Sequence[str]) -> NDArray[np.int64]:
    """The pages in an order that does not depend on that of their rows: indices, int64 of shape (n,)."""
    lines = _lines(digests, pages, targets)
    return np.array(sorted(range(len(pages)), key=lambda i: (lines[i], pages.ids[i])), dtype=np.int64)


def _lines(digests: Sequence[str], pages: Pages, targets: Sequence[str]) -> list[str]:
    assert pages.labels is not None
    return [f"{page} {targets[label]}\n" for page, label in zip(digests, pages.labels.tolist(), strict=False)]


def _hash(lines: Sequence[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
