"""A data set as it is trained on: read, checked page by page, decoded, and its like pages found."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache.decoded import DecodedPages, DecodeOptions, PageArray, load_pages
from docclf.data.cache.opened import files_of, find_open, keep_open
from docclf.data.cache.store import default_cache_dir
from docclf.data.folds import rare_classes
from docclf.data.looks.duplicates import known_pairs, merge_groups
from docclf.data.pages import Pages, PageSet, of_classes, require_page_set
from docclf.data.readers import read_csv, read_folder
from docclf.data.reading.corrections import correct
from docclf.data.reading.folders import warn_once
from docclf.data.reading.multi_page import expand
from docclf.data.reading.names import count_of, some
from docclf.data.reading.problems import Exclusions, Problem, limit_pixels, read_exclusions, refuse_or_tell
from docclf.errors import DataError


@dataclass(frozen=True)
class DataSet:
    """A data set in memory."""

    pages: PageSet  # the pages that can be used; near-duplicates share a group
    train_images: PageArray  # their decoded pages
    test_images: PageArray | None  # those of the test pages; None where there are none
    dropped: list[Problem]  # the pages that cannot be used, each with the reason
    # near-duplicates: indices of two pages, training pages first and test pages after them
    pairs: list[tuple[int, int]]
    digests: list[str]  # hash of each page's content, in the same order
    # how many labels a person has relabelled, dropped and kept, and as `uncorrected` the fingerprint without that; None
    # without corrections
    corrections: dict[str, Any] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Identifies training pages and labels by their content, in whatever order and whatever files are called."""
        return _fingerprint(sorted(self._contents))

    @cached_property
    def fingerprint_of_rows(self) -> str:
        """What earlier releases gave: of pages in the order of their rows, with targets as they are written."""
        written = [self.pages.written.get(target, target) for target in self.pages.targets]
        return _fingerprint(_contents(self.digests, self.pages.train, written))

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The training pages in an order of their contents: indices, int64 of shape (n,)."""
        lines, ids = self._contents, self.pages.train.ids
        return np.array(sorted(range(len(ids)), key=lambda i: (lines[i], ids[i])), dtype=np.int64)

    @property
    def _contents(self) -> list[str]:
        return _contents(self.digests, self.pages.train, self.pages.targets)


def _contents(digests: Sequence[str], pages: Pages, targets: Sequence[str]) -> list[str]:
    """What each page holds and is labelled, a line each; there may be more digests, of test pages."""
    assert pages.labels is not None
    return [f"{page} {targets[label]}\n" for page, label in zip(digests, pages.labels.tolist(), strict=False)]


def _fingerprint(lines: Sequence[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def open_data_set(root: Path, reader: Callable[[Path], PageSet], options: DecodeOptions) -> DataSet:
    """Read, check and decode a data set; what was decoded before comes from the cache.

    A process that opens a data set again, as every trial does, gets the one that it has, if no file has changed.

    Raises:
        DataError: See the readers; or with `on_error=raise` pages that cannot be used, all of them named; or no others.
    """
    limit_pixels(options.max_megapixels)
    key = f"{root.absolute()} {reader} {options} {default_cache_dir()}"
    if (known := find_open(key)) is not None:
        return known
    began, pages = time.time_ns(), require_page_set(reader(root))
    data = _open(root, pages, options)
    if getattr(reader, "func", reader) in (read_csv, read_folder):  # nobody knows what a reader of one's own looks at
        keep_open(key, data, files_of(root, pages, data, options), began)
    return data


def _open(root: Path, pages: PageSet, options: DecodeOptions) -> DataSet:
    splits, problems, excluded = _decode_splits(root, pages, options, read_exclusions(options.exclude))
    refuse_or_tell(root, problems, options.on_error)
    if options.multi_page == "first" and (n := sum(decoded.n_multi_page for _, decoded in splits)):
        warn_once(
            f"Of {count_of(n, 'file')} in {root} only the first page is taken; data.multi_page=all takes all.",
            logging.INFO,
        )
    usable = [_usable(split, decoded) for split, decoded in splits]
    corrections = None
    if options.corrections is not None:
        corrected, left_out, counts = correct(splits[0][0], pages.targets, options.corrections, excluded.has)
        uncorrected = _fingerprint(sorted(_contents(usable[0].digests, usable[0].pages, pages.targets)))
        corrections = {**counts, "uncorrected": uncorrected}
        usable[0] = _usable(corrected, splits[0][1], left_out)
        done = ", ".join(f"{n} {what}" for what, n in counts.items())
        warn_once(f"Labels corrected by {options.corrections}: {done}", logging.INFO)
    if not len(usable[0].pages):
        raise DataError(f"Expected training pages in {root}, got none that can be used.")
    usable = [split for split in usable if len(split.pages)]
    digests = [digest for split in usable for digest in split.digests]
    pairs: list[tuple[int, int]] = []
    train, test = usable[0].pages, usable[1] if len(usable) > 1 else None
    if options.near_duplicates is not None:
        hashes = np.concatenate([split.hashes for split in usable])
        assert train.labels is not None
        labels = np.append(train.labels, np.full(len(hashes) - len(train), -1))
        pairs = known_pairs(hashes, digests, options.near_duplicates, options.cache_dir, labels)
        inside = [(a, b) for a, b in pairs if b < len(train)]
        if inside:
            train = replace(train, groups=merge_groups(len(train), train.groups, inside))
    kept, test_images = (test.pages, test.images) if test is not None else (None, None)
    checked = replace(pages, train=train, test=kept, problems=[], listed=pages.with_pages)
    data = DataSet(checked, usable[0].images, test_images, problems, pairs, digests, corrections)
    return drop_rare_classes(data, options.n_folds) if options.rare_classes == "drop" else data


def drop_rare_classes(data: DataSet, n_folds: int) -> DataSet:
    """A data set without the classes that have fewer pages than folds, in training and test; a warning names them.

    Raises:
        DataError: Fewer than 2 classes are left.
    """
    pages, train, test = data.pages, data.pages.train, data.pages.test
    assert train.labels is not None
    n = len(pages.targets)
    rare = rare_classes(train.labels, train.groups, n_folds, n, pages.emptied)
    if not rare:
        return data
    names = some(f"{pages.class_names[label]} ({count})" for label, count in rare.items())
    kept = [label for label in range(n) if label not in rare]
    if len(kept) < 2:
        raise DataError(
            f"Expected at least 2 classes with {n_folds} pages each, got fewer: data.rare_classes=drop would leave out "
            f"{names}. Add pages, or use fewer folds."
        )
    parts = [of_classes(part, kept) for part in (train, test) if part is not None]
    warn_once(f"Left out the classes with fewer pages than validation.folds={n_folds}, in the test too: {names}.")
    rows = np.concatenate([parts[0][1], *(len(train) + part for _, part in parts[1:])])
    place = {int(row): i for i, row in enumerate(rows)}
    left = replace(
        pages,
        targets=[pages.targets[label] for label in kept],
        class_names=[pages.class_names[label] for label in kept],
        train=parts[0][0],
        test=parts[1][0] if test is not None else None,
        listed=frozenset(),
    )
    return replace(
        data,
        pages=left,
        train_images=data.train_images.take(parts[0][1]),
        test_images=None if data.test_images is None else data.test_images.take(parts[1][1]),
        pairs=[(place[a], place[b]) for a, b in data.pairs if a in place and b in place],
        digests=[data.digests[row] for row in rows],
    )


def _decode_splits(
    root: Path, pages: PageSet, options: DecodeOptions, excluded: Exclusions
) -> tuple[list[tuple[Pages, DecodedPages]], list[Problem], Exclusions]:
    """Training pages and test pages without those to leave out, decoded; what cannot be used; what is left out."""
    problems = [Problem.of(text) for text in pages.problems]
    splits = [pages.train, *([pages.test] if pages.test else [])]  # no test page may be usable
    files = [(split, *expand(split, options.multi_page)) for split in splits]
    if options.exclude is not None:
        seen = [problem.page for problem in problems]
        for part in (part for given, found, _ in files for part in (given, found)):
            seen += [*part.ids, *(_place(root, part, i) for i in range(len(part)))]
        excluded = excluded.among(seen)
        if unknown := excluded.unknown(seen):
            warn_once(f"{options.exclude}, in data.exclude, names pages that are not in the data set: {some(unknown)}.")
    decoded: list[tuple[Pages, DecodedPages]] = []
    for split, expanded, uncounted in files:
        problems += [
            Problem(_place(root, split, i), text, "counting pages")
            for i, text in uncounted.items()
            if not excluded.has(split.ids[i])
        ]
        kept = expanded
        if options.exclude is not None:
            names = [(name, _place(root, expanded, i)) for i, name in enumerate(expanded.ids)]
            kept = expanded.take([i for i, pair in enumerate(names) if not excluded.has(*pair)])
        found = load_pages(
            kept.paths,
            options.size,
            options.cache_dir,
            numbers=kept.numbers,
            channels=options.channels,
            limit_gb=options.cache_gb,
        )
        problems += [Problem(_place(root, kept, i), text, "decoding") for i, text in sorted(found.problems.items())]
        decoded.append((kept, found))
    return decoded, [problem for problem in problems if not excluded.covers(problem)], excluded


def _place(root: Path, pages: Pages, index: int) -> str:
    """The file of a page below the root, with its number where it is one of several."""
    path, number = pages.paths[index], pages.numbers[index] if pages.numbers else 0
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    is_one_of_several = number or (pages.ids[index].endswith("#1") and not path.name.endswith("#1"))
    return f"{shown.as_posix()}#{number + 1}" if is_one_of_several else shown.as_posix()


@dataclass(frozen=True)
class _Split:
    """The pages of training or test that can be used."""

    pages: Pages
    images: PageArray
    digests: list[str]
    hashes: NDArray[np.int8]


def _usable(pages: Pages, decoded: DecodedPages, left_out: frozenset[int] = frozenset()) -> _Split:
    """Leave out the pages that could not be decoded, and others."""
    rows = [i for i in range(len(pages)) if i not in decoded.problems and i not in left_out]
    images, digests = PageArray(decoded.images, rows, decoded.aspects), [decoded.digests[i] for i in rows]
    return _Split(pages.take(rows), images, digests, decoded.hashes[rows])
