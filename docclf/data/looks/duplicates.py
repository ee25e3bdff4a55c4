"""Pages that are the same page twice: scanned again, saved again, cut or lit a little differently."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache.hashing import HASH_BITS
from docclf.data.cache.store import remember
from docclf.data.formats import DECODER

_BLOCK = 1024


def similar_pairs(hashes: NDArray[np.int8], max_bits: int) -> list[tuple[int, int]]:
    """Pairs of pages whose hashes differ in few bits, each as (smaller index, larger index), sorted.

    Args:
        hashes: Signs of shape (n, 256), from `docclf.data.cache.hashing.perceptual_hashes`.
        max_bits: Bits of 256 that may differ.
    """
    signs = hashes.astype(np.float32)
    found: list[tuple[int, int]] = []
    for start in range(0, len(signs), _BLOCK):
        # Of two vectors of signs the product is 256 minus twice the number of bits that differ.
        products = signs[start : start + _BLOCK] @ signs[start:].T
        rows, columns = np.nonzero(products >= HASH_BITS - 2 * max_bits)
        found += [(start + int(a), start + int(b)) for a, b in zip(rows, columns, strict=True) if a < b]
    return sorted(found)


def known_pairs(
    hashes: NDArray[np.int8], digests: Sequence[str], max_bits: int, cache_dir: Path | None
) -> list[tuple[int, int]]:
    """As `similar_pairs`, from the cache where they were looked for before.

    Args:
        digests: Hash of each page's content, by which they are found there.
        cache_dir: Of decoded pages; None for the user's cache folder.
    """
    seen = hashlib.sha256(f"{DECODER} {max_bits} {' '.join(digests)}".encode()).hexdigest()[:24]
    pairs = remember(cache_dir, f"pairs-v3-{seen}", lambda: similar_pairs(hashes, max_bits))
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
