"""Pages decoded once: one memory-mapped array a data set and size, shared by every trial and process."""

import hashlib
import json
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from docclf.errors import DataError

log = logging.getLogger(__name__)

# Raised when the same files would decode to other numbers than before.
_VERSION = 1


def default_cache_dir() -> Path:
    """`$DOCCLF_CACHE`, or `docclf` in the user's cache folder."""
    if (path := os.environ.get("DOCCLF_CACHE")) is not None:
        return Path(path)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "docclf"


def cache_size(image_size: int, margin: float) -> int:
    """Side in pixels that pages are kept at, so that crops of them stay sharp at the training size.

    >>> cache_size(96, 1.15)
    112
    """
    return math.ceil(image_size * margin / 8) * 8


def fingerprint(paths: Sequence[Path]) -> str:
    """Hash of the files' names, sizes and times of change, in order."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(json.dumps([path.name, stat.st_size, stat.st_mtime_ns]).encode())
    return digest.hexdigest()[:16]


def load_pages(paths: Sequence[Path], size: int, cache_dir: Path | None = None) -> NDArray[np.uint8]:
    """Decoded pages, from the cache or decoded into it now.

    Args:
        paths: Image files.
        size: Height and width in pixels that each page is reduced to; its proportions are not kept.
        cache_dir: Where the arrays are kept; None for `default_cache_dir`.

    Returns:
        Read-only uint8 array of shape (len(paths), size, size, 3), RGB, memory-mapped.

    Raises:
        DataError: Files that cannot be read as images, all of them named.
    """
    folder = cache_dir or default_cache_dir()
    target = folder / f"pages-v{_VERSION}-{size}px-{fingerprint(paths)}.npy"
    if not target.is_file():
        _build(paths, size, target)
    pages: NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return pages


def read_page(path: Path, size: int) -> NDArray[np.uint8]:
    """Decode one page image.

    Transparent parts become white, the camera's orientation is undone, and JPEG files are reduced while they are
    decoded.

    Returns:
        uint8 array of shape (size, size, 3), RGB.

    Raises:
        OSError: The file is missing, empty, truncated or not an image.
    """
    with Image.open(path) as opened:
        opened.draft("RGB", (size, size))
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip to 8 and not scale
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))


def _build(paths: Sequence[Path], size: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    problems: list[str] = []

    def decode(item: tuple[int, Path]) -> None:
        index, path = item
        try:
            pages[index] = read_page(path, size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            problems.append(f"{path}: {error}")

    try:
        pages: Any = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(paths), size, size, 3))
        # Pillow decodes and resizes without holding the interpreter's lock.
        with ThreadPoolExecutor(_n_cpus()) as pool:
            done = pool.map(decode, enumerate(paths))
            for _ in tqdm(done, "Decoding pages", len(paths), unit="page", disable=None):
                pass
        if problems:
            raise DataError(
                f"Expected readable page images, got {len(problems)} of {len(paths)} that are not:\n  "
                + "\n  ".join(sorted(problems))
            )
        pages.flush()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _n_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
