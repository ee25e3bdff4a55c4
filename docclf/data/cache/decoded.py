"""Pages decoded once: one memory-mapped array a data set and size, shared by every trial and process."""

import errno
import functools
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from docclf import n_cores
from docclf.data.cache.contents import content_digests, with_progress
from docclf.data.cache.hashing import HASH_BITS, read_hashes, write_hash
from docclf.data.cache.store import default_cache_dir, finish, open_array, reserve, writable
from docclf.data.formats import DECODER, has_more_pages, quiet_decoders, read_with_grey
from docclf.data.reading.problems import reason
from docclf.errors import unknown_key

_HASH_OF_BLANK = "0" * (HASH_BITS // 4)
_LEAST_ASPECT = 1e-4  # of a page of 1 x 25,000 pixels, 0.00004 is kept as 0
_PASSING = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)


@dataclass(frozen=True)
class DecodeOptions:
    """How files become pages."""

    size: int  # height and width in pixels that pages are kept at
    channels: int = 3  # 3 for RGB, 1 for grey
    multi_page: str = "first"  # `first` takes the first page of a TIFF or PDF, `all` takes all of them, as one group
    max_megapixels: float = 179.0  # of an image file; larger ones cannot be used
    on_error: str = "raise"  # `raise` refuses a data set with pages that cannot be used, `drop` leaves them out
    exclude: Path | None = None  # CSV file of pages to leave out, see `docclf.data.reading.problems`; None for none
    # `drop` leaves out classes with fewer pages than `n_folds`; `raise` and `train` leave that to `docclf.data.folds`
    rare_classes: str = "raise"
    n_folds: int = 0  # number of folds, for that
    # bits of 256 in which the perceptual hashes of two pages may differ for them to be the same page; None does not
    # look for such pages
    near_duplicates: int | None = None
    # CSV file of corrected labels, see `docclf.data.reading.corrections`; None for none
    corrections: Path | None = None
    cache_dir: Path | None = None  # where decoded pages are kept; None for the user's cache folder
    cache_gb: float = 20.0  # size that the cache is kept below


# Its fields that are keys of the config.
DECODING = tuple(field.name for field in fields(DecodeOptions) if field.name not in ("size", "n_folds"))
_PATHS = ("cache_dir", "corrections", "exclude")


class PageArray:
    """Decoded pages without those that cannot be used, still in the memory-mapped array.

    Args:
        array: uint8 of shape (m, size, size, channels).
        rows: Which of them, in order; None for all.
        aspects: Width of each of the m pages over its height, shape (m,); None for 1.
    """

    def __init__(
        self,
        array: NDArray[np.uint8],
        rows: Sequence[int] | NDArray[np.int64] | None = None,
        aspects: NDArray[np.float32] | None = None,
    ) -> None:
        self.array, self._every = array, np.ones(len(array), np.float32) if aspects is None else aspects
        self._rows = np.arange(len(array)) if rows is None else np.asarray(rows, dtype=np.int64)
        self.aspects = self._every[self._rows]
        """Width of each page over its height, shape (n,)."""

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """A copy of some pages, shape (len(rows), size, size, channels)."""
        return self.array[self._rows[rows]]

    def take(self, rows: NDArray[np.int64]) -> "PageArray":
        """Some of the pages, in a new order."""
        return PageArray(self.array, self._rows[rows], self._every)


@dataclass(frozen=True)
class DecodedPages:
    """Pages in memory."""

    # read-only uint8 array of shape (n, size, size, channels), memory-mapped; black where a page cannot be read
    images: NDArray[np.uint8]
    # width of each page over its height, float32 of shape (n,); 1 where a page cannot be read
    aspects: NDArray[np.float32]
    digests: list[str]  # a hash of each page's content, the same for the same file under another name
    # `docclf.data.cache.hashing.perceptual_hashes` of the pages, int8 of shape (n, 256), whatever their size here; that
    # of a blank page where a page cannot be read
    hashes: NDArray[np.int8]
    problems: dict[int, str]  # why a page cannot be read, by its index
    n_multi_page: int = 0  # how many of the files have more pages; 0 where numbers of pages were asked for


def cache_size(image_size: int, margin: float) -> int:
    """Side in pixels that pages are kept at, so that crops of them stay sharp at the training size.

    >>> cache_size(96, 1.15)
    112
    """
    return math.ceil(image_size * margin / 8) * 8


def make_options(image_size: int, margin: float, **decoding: Any) -> DecodeOptions:
    """How pages are decoded for a training size.

    Args:
        image_size: Height and width in pixels that the model sees.
        margin: Pages are kept this much larger.
        **decoding: See `DecodeOptions`; paths may be texts.

    Raises:
        ConfigError: There is no such option.
    """
    if wrong := [name for name in decoding if name not in (*DECODING, "n_folds")]:
        raise unknown_key("known keys", "data", wrong[0], DECODING)
    paths = {key: Path(str(decoding[key])) for key in _PATHS if decoding.get(key) is not None}
    return DecodeOptions(cache_size(image_size, margin), **decoding | paths)


def load_pages(
    paths: Sequence[Path],
    size: int,
    cache_dir: Path | None = None,
    *,
    numbers: Sequence[int] | None = None,
    channels: int = 3,
    limit_gb: float = 20.0,
) -> DecodedPages:
    """Decoded pages, from the cache or decoded into it now.

    The cache is keyed by what the files hold. A file is read again if its size or time of change differs. Several
    processes may call this at once: one decodes, the others wait.

    Args:
        size: Height and width in pixels that each page is reduced to; its proportions are not kept.
        cache_dir: Where the arrays are kept; None for `default_cache_dir`.
        numbers: Which page of each file, from 0; None for the first ones.
        channels: 3 for RGB, 1 for grey.
        limit_gb: The least recently used arrays are removed from `cache_dir` beyond so many gigabytes.

    Raises:
        DataError: The cache cannot be written.
    """
    folder = cache_dir or default_cache_dir()
    with writable(folder, len(paths) * size * size * channels):
        folder.mkdir(parents=True, exist_ok=True)
        digests = [
            f"{digest}#{number}" if number else digest
            for digest, number in zip(content_digests(paths, folder), numbers or [0] * len(paths), strict=True)
        ]
        name = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:24]
        target = folder / f"pages-v{DECODER}-{size}px-{channels}ch-{name}.npy"
        shape = (len(paths), size, size, channels)
        decode = functools.partial(_build, paths, numbers, shape, target)
        images, note = open_array(target, shape, decode, limit_gb=limit_gb, is_final=_is_final)
    problems = {int(index): text for index, text in note["problems"].items()}
    aspects = np.maximum(np.array(note["aspects"], np.float32), np.float32(_LEAST_ASPECT))
    hashes = read_hashes(note["hashes"])
    return DecodedPages(images, aspects, digests, hashes, problems, note["several"])


def _is_final(note: Mapping[str, Any]) -> bool:
    """Whether decoding again would give the same: no page failed for want of memory, or by a limit that has risen."""
    return not note.get("passing") and note.get("most_pixels", math.inf) >= (Image.MAX_IMAGE_PIXELS or 0)


def _build(paths: Sequence[Path], numbers: Sequence[int] | None, shape: tuple[int, ...], target: Path) -> None:
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    problems: dict[int, str] = {}
    passing, too_large, several = list[int](), list[int](), list[int]()
    aspects = [1.0] * len(paths)
    try:
        reserve(partial, shape)
        images: Any = np.load(partial, mmap_mode="r+")

        def decode(index: int) -> str:
            """Decode a page into its place; its hash."""
            try:
                page = numbers[index] if numbers else 0
                images[index], aspect, grey = read_with_grey(paths[index], shape[1], page=page, channels=shape[3])
                aspects[index] = round(aspect, 4)
                if numbers is None and has_more_pages(paths[index]):  # the file has just been read
                    several.append(index)
                return write_hash(grey)
            except Exception as error:  # decoders of damaged files raise almost anything
                problems[index] = reason(error)
                if isinstance(error, Image.DecompressionBombError):
                    too_large.append(index)
                # Of the machine and not of the file: tried again the next time.
                if isinstance(error, MemoryError | ImportError) or getattr(error, "errno", None) in _PASSING:
                    passing.append(index)
                return _HASH_OF_BLANK

        # Pillow decodes and resizes without holding the interpreter's lock.
        with quiet_decoders(), ThreadPoolExecutor(n_cores()) as pool:
            hashes = list(with_progress(pool.map(decode, range(len(paths))), "Decoding pages", len(paths)))
        images.flush()
        said = {"problems": problems, "passing": passing, "several": len(several), "aspects": aspects, "hashes": hashes}
        finish(target, partial, shape, **said, **({"most_pixels": Image.MAX_IMAGE_PIXELS} if too_large else {}))
    finally:
        partial.unlink(missing_ok=True)
