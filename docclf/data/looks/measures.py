"""How pages look, whatever is on them: a few numbers for each page, of the pages as they are decoded."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docclf import n_cores
from docclf.data.cache.hashing import luminance, shrink
from docclf.data.formats import count_pixels, quiet_decoders

if TYPE_CHECKING:
    from docclf.data.cache.decoded import PageArray

# Raised when the same pages would give other numbers than before.
VERSION = 2

_AT_ONCE, _BLOCK = 8, 1024  # of 64 pages at once, what is computed on the way would not stay in the processor's cache
_SIDE = 288  # pixels a side, about: larger pages are reduced
_LIGHT, _SHARP = 6, 8  # blocks a side
_CELL, _FOLDS = 8, 3
_C = 0.003  # inverse strength of the penalty, of 256 features that are much alike

Values = NDArray[np.float64]


def thumbnails(images: PageArray) -> NDArray[np.float32]:
    """Grey pages of 64 x 64 by area, float32 of shape (n, 64, 64) in [0, 255]."""
    n = len(images)
    starts = range(0, max(n, 1), _BLOCK)  # of no pages an empty block, which has its shape
    return np.concatenate([shrink(images[np.arange(start, min(start + _BLOCK, n))]) for start in starts])


def measure_looks(images: PageArray, aspects: NDArray[np.float32]) -> dict[str, Values]:
    """Light, sharpness, noise and skew of pages, each of shape (n,).

    `brightness`: of the brightest paper, in [0, 1]. `shading`: by how much the light falls off from the middle to an
    edge. `sharpness`: how much of an edge lies between two pixels, in [0, 1]. `noise`: standard deviation where a page
    is flattest. `skew`: degrees by which lines and edges are off the horizontal and vertical, in [0, 45].

    Args:
        images: uint8 pages of shape (n, size, size, channels), squeezed.
        aspects: Width of each page over its height, shape (n,).
    """

    def measure(start: int) -> dict[str, NDArray[np.float32]]:
        rows = np.arange(start, min(start + _AT_ONCE, len(images)))
        grey = luminance(images[rows]) / np.float32(255)
        factor = round(grey.shape[1] / _SIDE)
        if factor > 1:
            n = grey.shape[1] // factor
            grey = _blocks(grey, n).mean(axis=2).reshape(-1, n, n)
        brightness, shading = _light(grey)
        found = {"sharpness": _sharpness(grey), "noise": _noise(grey), "skew": _skew(grey, aspects[rows])}
        return {"brightness": brightness, "shading": shading, **found}

    with ThreadPoolExecutor(n_cores()) as pool:
        parts = list(pool.map(measure, range(0, len(images), _AT_ONCE)))
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}


def _blocks(grey: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """The pixels of n x n blocks of each page, shape (pages, n * n, pixels); what is left over at the end is lost."""
    n = min(n, grey.shape[1])
    side = grey.shape[1] // n
    cut = grey[:, : side * n, : side * n].reshape(len(grey), n, side, n, side)
    return cut.transpose(0, 1, 3, 2, 4).reshape(len(grey), n * n, side * side)


def _light(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Brightness and slope of the paper, which is what is brightest in each block."""
    blocks = _blocks(grey, _LIGHT)
    place = round(0.9 * (blocks.shape[2] - 1))
    paper = np.partition(blocks, place, axis=2)[..., place]
    steps = np.linspace(-1, 1, _LIGHT, dtype=np.float32)
    across, down = np.tile(steps, _LIGHT), np.repeat(steps, _LIGHT)
    slope = np.hypot(paper @ across, paper @ down) / (across**2).sum()
    return np.quantile(paper, 0.9, axis=1), slope


def _sharpness(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The steepest step from a pixel to the next over the range of its block, in the median of the most varied half."""
    inner = grey[:, 1:, 1:]
    steps = np.maximum(np.abs(inner - grey[:, 1:, :-1]), np.abs(inner - grey[:, :-1, 1:]))
    blocks, steepest = _blocks(inner, _SHARP), _blocks(steps, _SHARP).max(axis=2)
    ranges = blocks.max(axis=2) - blocks.min(axis=2)
    varied = np.argsort(ranges, axis=1)[:, ranges.shape[1] // 2 :]
    ratios = steepest / (ranges + 0.02)  # so that a blank page is not sharp
    sharpness: NDArray[np.float32] = np.median(np.take_along_axis(ratios, varied, axis=1), axis=1)
    return sharpness


def _noise(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Immerkær, "Fast Noise Variance Estimation" (1996), in the flattest tenth of blocks of about 8 x 8 pixels."""
    down = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    laplacian = np.abs(down[:, :, :-2] - 2 * down[:, :, 1:-1] + down[:, :, 2:])
    flat = _blocks(laplacian, max(1, laplacian.shape[1] // 8)).mean(axis=2)
    deviation: NDArray[np.float32] = np.quantile(flat, 0.1, axis=1) * np.float32(np.sqrt(np.pi / 2) / 6)
    return deviation


def _skew(grey: NDArray[np.float32], aspects: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean direction of the gradients, by their energy, up to quarter turns: of the fourth powers of unit vectors."""
    across = (grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]) / aspects[:, None, None]
    down = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    cos, sin = across**2 - down**2, 2 * across * down
    energy = across**2 + down**2 + 1e-9
    real, imaginary = (cos**2 - sin**2) / energy, 2 * cos * sin / energy
    angle = np.arctan2(imaginary.sum(axis=(1, 2)), real.sum(axis=(1, 2)))
    degrees: NDArray[np.float32] = np.degrees(np.abs(angle)) / 4
    return degrees


def measure_turns(
    train: PageArray, test: PageArray, groups: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """How surely each page lies on its side or upside down, compared with how training pages mostly lie.

    A classifier learns from training pages in all four positions which one is theirs; each page is judged by one that
    has not seen it, nor another page of its group.

    Args:
        train: uint8 pages of shape (n, size, size, channels), squeezed.
        test: Likewise, m of them.
        groups: Of the training pages, shape (n,).

    Returns:
        Of shapes (n,) and (m,), in [0, 1]: twice by how much the probability of that is above a half, 0 where it is
        not; None where there are fewer than 3 groups.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from threadpoolctl import threadpool_limits

    if len(np.unique(groups)) < _FOLDS:
        return None
    small, other = (thumbnails(images) / np.float32(255) for images in (train, test))
    turned = np.stack([_edges(np.rot90(small, quarters, axes=(1, 2))) for quarters in range(4)])
    mean, spread = turned.mean(axis=(0, 1)), turned.std(axis=(0, 1)) + 1e-6
    turned, features = (turned - mean) / spread, (_edges(other) - mean) / spread
    found, others = np.empty(len(small)), np.empty(len(other))
    for fold, (rows, held_out) in enumerate(
        GroupKFold(_FOLDS, shuffle=True, random_state=0).split(small, groups=groups)
    ):
        model = LogisticRegression(C=_C, max_iter=500, tol=1e-3)
        with threadpool_limits(1):
            model.fit(turned[:, rows].reshape(-1, turned.shape[2]), np.repeat(np.arange(4), len(rows)))
        found[held_out] = 1 - model.predict_proba(turned[0, held_out])[:, 0]
        # One of the classifiers for each: the mean of all would be surer than any that judges training pages.
        others[fold::_FOLDS] = 1 - model.predict_proba(features[fold::_FOLDS])[:, 0]
    return 2 * (found - 0.5).clip(0), 2 * (others - 0.5).clip(0)


def _edges(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edges to the right, left, top and bottom in cells of 8 x 8 pixels, whatever the contrast, shape (n, 256)."""
    across, down = np.zeros_like(small), np.zeros_like(small)
    across[:, :, 1:-1] = small[:, :, 2:] - small[:, :, :-2]
    down[:, 1:-1] = small[:, 2:] - small[:, :-2]
    n, cells = len(small), small.shape[1] // _CELL
    maps = [np.maximum(edge, 0) for edge in (across, -across, down, -down)]
    cut = [np.asarray(part).reshape(n, cells, _CELL, cells, _CELL).mean(axis=(2, 4)).reshape(n, -1) for part in maps]
    energy = np.concatenate(cut, axis=1)
    found: NDArray[np.float32] = np.sqrt(energy / (energy.mean(axis=1, keepdims=True) + 1e-6))
    return found


def measure_sizes(paths: Iterable[Path]) -> NDArray[np.float64]:
    """Binary logarithm of the geometric mean of width and height of files in pixels; NaN where they have none."""
    with quiet_decoders():
        counts = [count_pixels(path) for path in paths]
    return np.array([np.log2(count) / 2 if count else np.nan for count in counts])
