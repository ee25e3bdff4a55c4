"""A data set as it is trained on: read, checked page by page, decoded, and its like pages found."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache import DecodedPages, cache_size, load_pages
from docclf.data.corrections import correct
from docclf.data.duplicates import known_pairs, merge_groups
from docclf.data.folders import tell_once
from docclf.data.formats import DECODER, limit_pixels
from docclf.data.names import some
from docclf.data.pages import Pages, PageSet
from docclf.data.problems import Exclusions, Problem, read_exclusions
from docclf.data.several import expand
from docclf.errors import ConfigError, DataError

log = logging.getLogger(__name__)


# The keys of the config that are fields of `DecodeOptions`.
DECODING = (
    *("channels", "multi_page", "max_megapixels", "on_error", "exclude"),
    *("near_duplicates", "corrections", "cache_dir", "cache_gb"),
)


@dataclass(frozen=True)
class DecodeOptions:
    """How files become pages.

    Attributes:
        size: Height and width in pixels that pages are kept at.
        channels: 3 for RGB, 1 for grey.
        multi_page: `first` takes the first page of a TIFF or PDF, `all` takes all of them, as one group.
        max_megapixels: Of an image file; larger ones cannot be used.
        on_error: `raise` refuses a data set with pages that cannot be used, `drop` leaves them out.
        exclude: CSV file of pages to leave out, see `docclf.data.problems`; None for none.
        near_duplicates: Bits of 256 in which the perceptual hashes of two pages may differ for them to be the same
            page; None does not look for such pages.
        corrections: CSV file with labels that a person has corrected, see `docclf.data.corrections`; None for none.
        cache_dir: Where decoded pages are kept; None for the user's cache folder.
        cache_gb: Size that the cache is kept below.
    """

    size: int
    channels: int = 3
    multi_page: str = "first"
    max_megapixels: float = 179.0
    on_error: str = "raise"
    exclude: Path | None = None
    near_duplicates: int | None = None
    corrections: Path | None = None
    cache_dir: Path | None = None
    cache_gb: float = 20.0

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("channels", self.channels, (1, 3)),
            ("multi_page", self.multi_page, ("first", "all")),
            ("on_error", self.on_error, ("raise", "drop")),
        ):
            if value not in allowed:
                raise ConfigError(f"Expected `data.{name}` to be {' or '.join(map(str, allowed))}, got {value}.")


def make_options(
    image_size: int,
    margin: float,
    *,
    cache_dir: str | Path | None = None,
    corrections: str | Path | None = None,
    exclude: str | Path | None = None,
    **others: Any,
) -> DecodeOptions:
    """How pages are decoded for a training size.

    Args:
        image_size: Height and width in pixels that the model sees.
        margin: Pages are kept this much larger.
        cache_dir: See `DecodeOptions`.
        corrections: Likewise.
        exclude: Likewise.
        **others: Likewise.
    """
    paths = {"cache_dir": cache_dir, "corrections": corrections, "exclude": exclude}
    others |= {key: Path(str(path)) if path is not None else None for key, path in paths.items()}
    return DecodeOptions(cache_size(image_size, margin), **others)


class PageArray:
    """Decoded pages without those that cannot be used, still in the memory-mapped array.

    Args:
        images: uint8 of shape (m, size, size, channels).
        rows: Which of them, in order; None for all.
        aspects: Width of each of the m pages over its height, shape (m,); None for 1.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        rows: Sequence[int] | NDArray[np.int64] | None = None,
        aspects: NDArray[np.float32] | None = None,
    ) -> None:
        self.images, self.rows = images, None if rows is None else np.asarray(rows, dtype=np.int64)
        self._aspects = np.ones(len(images), np.float32) if aspects is None else aspects

    def __len__(self) -> int:
        return len(self.images) if self.rows is None else len(self.rows)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """A copy of some pages, shape (len(rows), size, size, channels)."""
        return self.images[rows if self.rows is None else self.rows[rows]]

    @property
    def aspects(self) -> NDArray[np.float32]:
        """Width of each page over its height, shape (n,)."""
        return self._aspects if self.rows is None else self._aspects[self.rows]

    def take(self, rows: NDArray[np.int64]) -> PageArray:
        """Some of the pages, in a new order."""
        return PageArray(self.images, rows if self.rows is None else self.rows[rows], self._aspects)


@dataclass(frozen=True)
class DataSet:
    """A data set in memory.

    Attributes:
        pages: The pages that can be used; near-duplicates share a group.
        train_images: Their decoded pages.
        test_images: Those of the test pages; None where there are none.
        dropped: The pages that cannot be used, each with the reason.
        pairs: Near-duplicates: indices of two pages, training pages first and test pages after them.
        digests: Hash of each page's content, in the same order.
        corrections: How many labels a person has relabelled, dropped and kept, and as `uncorrected` the fingerprint
            without that; None without corrections.
    """

    pages: PageSet
    train_images: PageArray
    test_images: PageArray | None
    dropped: list[Problem]
    pairs: list[tuple[int, int]]
    digests: list[str]
    corrections: dict[str, Any] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Identifies training pages and labels by their content."""
        return _fingerprint(self.digests, self.pages.train, self.pages.targets)


def _fingerprint(digests: Sequence[str], pages: Pages, targets: Sequence[str]) -> str:
    assert pages.labels is not None
    digest = hashlib.sha256()
    for page, label in zip(digests, pages.labels.tolist(), strict=False):
        digest.update(f"{page} {targets[label]}\n".encode())
    return digest.hexdigest()[:16]


def open_data_set(root: Path, reader: Callable[[Path], PageSet], options: DecodeOptions) -> DataSet:
    """Read, check and decode a data set; what was decoded before comes from the cache.

    Raises:
        DataError: See the readers; or with `on_error=raise` pages that cannot be used, all of them named; or no others.
    """
    limit_pixels(options.max_megapixels)
    excluded = read_exclusions(options.exclude)
    pages = reader(root)
    splits, problems = _decode_splits(root, pages, options, excluded)
    _refuse_or_tell(root, problems, options.on_error)
    if options.multi_page == "first" and (several := sum(decoded.several for _, decoded in splits)):
        _tell_several(root, several)
    usable = [_without(split, decoded) for split, decoded in splits]
    corrections = None
    if options.corrections is not None:
        corrected = correct(splits[0][0], pages.targets, options.corrections, is_excluded=excluded.has)
        uncorrected = _fingerprint(usable[0][2], usable[0][0], pages.targets)
        corrections = {**corrected.counts, "uncorrected": uncorrected}
        usable[0] = _without(corrected.pages, splits[0][1], corrected.left_out)
        _tell_corrected(options.corrections, **corrected.counts)
    if not len(usable[0][0]):
        raise DataError(f"Expected training pages in {root}, got none that can be used.")
    usable = [part for part in usable if len(part[0])]
    digests = [digest for _, _, split_digests in usable for digest in split_digests]
    pairs: list[tuple[int, int]] = []
    train = usable[0][0]
    if options.near_duplicates is not None:
        decoded_as = f"{DECODER} {options.size} {options.channels}"
        images = [images for _, images, _ in usable]
        pairs = known_pairs(images, digests, options.near_duplicates, decoded_as, options.cache_dir)
        inside = [(a, b) for a, b in pairs if b < len(train)]
        if inside:
            train = replace(train, groups=merge_groups(len(train), train.groups, inside))
    test, test_images = (usable[1][0], usable[1][1]) if len(usable) > 1 else (None, None)
    checked = replace(pages, train=train, test=test, problems=[])
    return DataSet(checked, usable[0][1], test_images, problems, pairs, digests, corrections)


def _decode_splits(
    root: Path, pages: PageSet, options: DecodeOptions, excluded: Exclusions
) -> tuple[list[tuple[Pages, DecodedPages]], list[Problem]]:
    """Training pages and test pages without those that are to be left out, decoded, and what cannot be used."""
    problems = [Problem.of(text) for text in pages.problems]
    splits: list[tuple[Pages, DecodedPages]] = []
    seen = [problem.page for problem in problems]
    for split in (pages.train, pages.test):
        if split is not None and (split is pages.train or len(split)):  # there may be no test page that can be used
            expanded, found = expand(split, options.multi_page)
            names = [(name, _place(root, expanded, i)) for i, name in enumerate(expanded.ids)]
            seen += [name for pair in names for name in pair]
            expanded = expanded.take([i for i, pair in enumerate(names) if not excluded.has(*pair)])
            decoded = _decode(expanded, options)
            problems += found
            problems += [
                Problem(_place(root, expanded, i), text, "decoding") for i, text in sorted(decoded.problems.items())
            ]
            splits.append((expanded, decoded))
    if options.exclude is not None and (unknown := excluded.unknown(seen)):
        tell_once(f"{options.exclude}, in data.exclude, has pages that the data set has not: {some(unknown)}.")
    return splits, [problem for problem in problems if not excluded.covers(problem)]


def _refuse_or_tell(root: Path, problems: Sequence[Problem], on_error: str) -> None:
    if problems and on_error == "raise":
        raise DataError(
            f"Expected pages in {root} that can all be used, got {len(problems)} that cannot:\n  "
            + "\n  ".join(problems)
            + "\nPut them right, or leave them out with data.on_error=drop."
        )
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        n = f"{len(problems)} page{'s' if len(problems) > 1 else ''}"
        tell_once(f"Left out {n} of {root} that cannot be used:{shown}{more}")


@cache  # once a process, not once a trial
def _tell_several(root: Path, n: int) -> None:
    log.info(
        f"Of {n} file{'s' if n > 1 else ''} in {root} only the first page is taken; data.multi_page=all takes all."
    )


@cache
def _tell_corrected(path: Path, **counts: int) -> None:
    log.info(f"Labels corrected by {path}: {', '.join(f'{n} {what}' for what, n in counts.items())}")


def _place(root: Path, pages: Pages, index: int) -> str:
    """The file of a page below the root, with its number where it is not the first."""
    path, number = pages.paths[index], pages.numbers[index] if pages.numbers else 0
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return f"{shown.as_posix()}#{number + 1}" if number else shown.as_posix()


def _decode(pages: Pages, options: DecodeOptions) -> DecodedPages:
    return load_pages(
        pages.paths,
        options.size,
        options.cache_dir,
        numbers=pages.numbers,
        channels=options.channels,
        limit_gb=options.cache_gb,
    )


def _without(
    pages: Pages, decoded: DecodedPages, left_out: frozenset[int] = frozenset()
) -> tuple[Pages, PageArray, list[str]]:
    """Leave out the pages that could not be decoded, and others."""
    rows = [i for i in range(len(pages)) if i not in decoded.problems and i not in left_out]
    if len(rows) == len(pages):
        return pages, PageArray(decoded.images, None, decoded.aspects), decoded.digests
    return pages.take(rows), PageArray(decoded.images, rows, decoded.aspects), [decoded.digests[i] for i in rows]
