"""Pages that are the same page twice: scanned again, saved again, cut or lit a little differently."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from docclf.data.cache.store import remember

_SIDE = 64  # pixels that pages are compared at
_LOW = 16  # frequencies a side: a hash has 16 x 16 bits
_BLOCK = 1024
_ROUNDING = 1e-6  # of the brightness: less than one grey level in one of the 64 x 64 pixels


class Images(Protocol):
    """uint8 pages of shape (n, size, size, channels), of which some are taken at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]: ...


def thumbnails(images: Images) -> NDArray[np.float32]:
    """Grey pages of 64 x 64 by area, float32 of shape (n, 64, 64) in [0, 255]."""
    return _in_blocks(images, _shrink)


def hash_pages(images: Images) -> NDArray[np.int8]:
    """`perceptual_hashes` of pages of any size, int8 of shape (n, 256), some pages at a time."""
    return _in_blocks(images, lambda pages: perceptual_hashes(_shrink(pages)))


def _in_blocks(images: Images, act: Callable[[NDArray[np.uint8]], NDArray[Any]]) -> NDArray[Any]:
    n = len(images)
    starts = range(0, max(n, 1), _BLOCK)  # of no pages an empty block, which has its shape
    return np.concatenate([act(images[np.arange(start, min(start + _BLOCK, n))]) for start in starts])


def _shrink(pages: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = luminance(pages)
    weights = area_weights(grey.shape[1], _SIDE)
    return (weights @ grey @ weights.T).astype(np.float32)


def luminance(pages: NDArray[np.uint8]) -> NDArray[np.float32]:
    """As Pillow makes grey pages of coloured ones (ITU-R BT.601), so that a copy in grey is the same page.

    Args:
        pages: uint8 of shape (n, height, width, channels).

    Returns:
        float32 of shape (n, height, width) in [0, 255].
    """
    weights = np.ones(1) if pages.shape[-1] == 1 else np.array([0.299, 0.587, 0.114])
    grey: NDArray[np.float32] = np.einsum("nyxc,c->nyx", pages, weights.astype(np.float32), dtype=np.float32)
    return grey


def area_weights(size: int, smaller: int) -> NDArray[np.float32]:
    """Matrix of shape (smaller, size) that averages by area."""
    edges = np.linspace(0, size, smaller + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = overlap.clip(0)
    shares: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def perceptual_hashes(pages: NDArray[np.float32]) -> NDArray[np.int8]:
    """Signs of the low frequencies of each page against their median (pHash), int8 of shape (n, 256), each 1 or -1.

    Source: Zauner, Implementation and benchmarking of perceptual image hash functions, 2010; 16 x 16 bits, not 8 x 8,
    since pages of one form differ in details.

    Args:
        pages: From `thumbnails`, shape (n, 64, 64).
    """
    low = scipy.fft.dctn(pages, axes=(1, 2))[:, :_LOW, :_LOW].reshape(-1, _LOW * _LOW)
    # What is left of a blank page is rounding, and differs by processor.
    low[np.abs(low[:, 1:]).max(axis=1) <= _ROUNDING * np.abs(low[:, 0])] = 0
    low[:, 0] = 0  # brightness says nothing
    return np.where(low > np.median(low, axis=1, keepdims=True), 1, -1).astype(np.int8)


def similar_pairs(hashes: NDArray[np.int8], max_bits: int) -> list[tuple[int, int]]:
    """Pairs of pages whose hashes differ in few bits, each as (smaller index, larger index), sorted.

    Args:
        hashes: Signs of shape (n, 256), from `hash_pages`.
        max_bits: Bits of 256 that may differ.
    """
    signs = hashes.astype(np.float32)
    found: list[tuple[int, int]] = []
    for start in range(0, len(signs), _BLOCK):
        # Of two vectors of signs the product is 256 minus twice the number of bits that differ.
        products = signs[start : start + _BLOCK] @ signs[start:].T
        rows, columns = np.nonzero(products >= _LOW * _LOW - 2 * max_bits)
        found += [(start + int(a), start + int(b)) for a, b in zip(rows, columns, strict=True) if a < b]
    return sorted(found)


def known_pairs(
    images: Sequence[Images], digests: Sequence[str], max_bits: int, decoded_as: str, cache_dir: Path | None
) -> list[tuple[int, int]]:
    """`similar_pairs` of pages, from the cache where they were looked for before.

    Args:
        images: Of each split.
        digests: Hash of each page's content, of all splits.
        max_bits: See `similar_pairs`.
        decoded_as: Says how pages were decoded.
        cache_dir: See `docclf.data.cache.store.remember`.
    """
    seen = hashlib.sha256(f"{decoded_as} {max_bits} {' '.join(digests)}".encode()).hexdigest()[:24]

    def compute() -> list[tuple[int, int]]:
        return similar_pairs(np.concatenate([hash_pages(part) for part in images]), max_bits)

    return [(a, b) for a, b in remember(cache_dir, f"pairs-v2-{seen}", compute)]


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
