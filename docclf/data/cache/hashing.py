"""What a page looks like in a few numbers: in grey at 64 x 64 pixels, and a hash that copies of a page share."""

from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_SIDE = 64  # pixels that pages are compared at
_LOW = 16  # frequencies a side
HASH_BITS = _LOW * _LOW
_ROUNDING = 1e-6  # of the brightness: less than one grey level in one of the 64 x 64 pixels


def shrink(pages: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey pages of shape (n, 64, 64) in [0, 255], by area, of pages of shape (n, height, width, channels)."""
    grey = luminance(pages)
    if grey.shape[1] % _SIDE == 0:  # without BLAS, whose threads wait for each other where pages are decoded at once
        blocks = grey.reshape(len(grey), _SIDE, grey.shape[1] // _SIDE, _SIDE, grey.shape[2] // _SIDE)
        return np.asarray(blocks.mean(axis=(2, 4)))
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
        pages: Grey, of shape (n, 64, 64).
    """
    low = scipy.fft.dctn(pages, axes=(1, 2))[:, :_LOW, :_LOW].reshape(-1, _LOW * _LOW)
    # What is left of a blank page is rounding, and differs by processor.
    low[np.abs(low[:, 1:]).max(axis=1) <= _ROUNDING * np.abs(low[:, 0])] = 0
    low[:, 0] = 0  # brightness says nothing
    return np.where(low > np.median(low, axis=1, keepdims=True), 1, -1).astype(np.int8)


def write_hash(page: NDArray[np.uint8]) -> str:
    """The hash of a grey page of shape (height, width), as hexadecimal digits."""
    return np.packbits(perceptual_hashes(shrink(page[None, ..., None])) > 0).tobytes().hex()


def read_hashes(texts: Sequence[str]) -> NDArray[np.int8]:
    """The signs of n hashes, int8 of shape (n, 256).

    >>> read_hashes(["f0" * 32])[0, :8].tolist(), read_hashes([]).shape
    ([1, 1, 1, 1, -1, -1, -1, -1], (0, 256))
    """
    bits = np.unpackbits(np.frombuffer(bytes.fromhex("".join(texts)), np.uint8))
    return bits.astype(np.int8).reshape(-1, HASH_BITS) * 2 - 1
