"""Pages that are the same page twice: scanned again, saved again, cut or lit a little differently."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache.hashing import HASH_BITS
from docclf.data.cache.store import remember
from docclf.data.formats import DECODER

_BLOCK = 1024
_MANY = 32  # of more pages with one hash, such as blank ones, not every two are a pair: of 20,000 that were 200 million


def similar_pairs(
    hashes: NDArray[np.int8], max_bits: int, labels: NDArray[np.int64] | None = None
) -> list[tuple[int, int]]:
    """Pairs of pages whose hashes differ in few bits, each as (smaller index, larger index), sorted.

    Where more than 32 pages of one label have the same hash, the first one stands for the others: each of these is in a
    pair with it, and with one training page of another label, if there is one that is like them. So groups are those of
    all pairs, and every page that has a like page of another label, or among the training pages, is in such a pair.

    Args:
        hashes: Signs of shape (n, 256), from `docclf.data.cache.hashing.perceptual_hashes`.
        max_bits: Bits of 256 that may differ.
        labels: Class index of each training page, -1 of each test page, shape (n,); None for one label.
    """
    labels = np.zeros(len(hashes), np.int64) if labels is None else labels
    first = _representatives(hashes, labels)
    compared = np.flatnonzero(first == np.arange(len(first)))
    pairs = [(int(compared[a]), int(compared[b])) for a, b in _pairs(hashes[compared], max_bits)]
    represented = np.flatnonzero(first != np.arange(len(first))).tolist()
    other: dict[int, int] = {}
    for pair in pairs if represented else ():
        for page, like in (pair, pair[::-1]):
            if labels[page] != labels[like] >= 0:
                other.setdefault(page, like)
    ties = [(page, int(first[page])) for page in represented]
    ties += [(page, other[one]) for page, one in ties if one in other]
    return sorted([*pairs, *((min(tie), max(tie)) for tie in ties)])


def _representatives(hashes: NDArray[np.int8], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first page of those with the same hash and label where these are many, and elsewhere the page itself."""
    rows = np.concatenate([np.packbits(hashes > 0, axis=1), labels[:, None].view(np.uint8)], axis=1)
    _, first, places, counts = np.unique(rows, axis=0, return_index=True, return_inverse=True, return_counts=True)
    places = places.reshape(-1)  # numpy 2.0 has it of two axes
    found: NDArray[np.int64] = np.where(counts[places] > _MANY, first[places], np.arange(len(hashes)))
    return found


def _pairs(hashes: NDArray[np.int8], max_bits: int) -> list[tuple[int, int]]:
    signs = hashes.astype(np.float32)
    found: list[tuple[int, int]] = []
    for start in range(0, len(signs), _BLOCK):
        # Of two vectors of signs the product is 256 minus twice the number of bits that differ.
        products = signs[start : start + _BLOCK] @ signs[start:].T
        rows, columns = np.nonzero(products >= HASH_BITS - 2 * max_bits)
        found += [(start + int(a), start + int(b)) for a, b in zip(rows, columns, strict=True) if a < b]
    return found


def known_pairs(
    hashes: NDArray[np.int8], digests: Sequence[str], max_bits: int, cache_dir: Path | None, labels: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """As `similar_pairs`, from the cache where they were looked for before.

    Args:
        digests: Hash of each page's content, by which they are found there.
        cache_dir: Of decoded pages; None for the user's cache folder.
        labels: See `similar_pairs`.
    """
    first = _representatives(hashes, labels)
    depends = f"{labels.tolist()}" if (first != np.arange(len(first))).any() else ""  # of all pairs, not on labels
    seen = hashlib.sha256(f"{DECODER} {max_bits} {' '.join(digests)}{depends}".encode()).hexdigest()[:24]
    pairs = remember(cache_dir, f"pairs-v3-{seen}", lambda: similar_pairs(hashes, max_bits, labels))
    return [(a, b) for a, b in pairs]


def merge_groups(n: int, groups: Sequence[str] | None, pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Give both pages of every pair one group, and with them all of their groups.

    >>> merge_groups(5, None, [(0, 3), (3, 4)])
    ['0', '1', '2', '0', '0']
    >>> merge_groups(4, ["a", "b", "a", "c"], [(0, 3)])
    ['a', 'b', 'a', 'a']
    """
    names = list(groups) if groups is not None else [str(i) for i in range(n)]
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for a, b in pairs:
        parent[root(names[b])] = root(names[a])
    return [root(name) for name in names]
