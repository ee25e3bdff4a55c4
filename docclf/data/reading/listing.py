"""The pages of a folder or a CSV file in the order in which they are predicted, with what is known of their classes."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from docclf.data.formats import IMAGE_SUFFIXES, is_page_file
from docclf.data.reading.classes import SAMPLE, is_no_label, why_no_labels
from docclf.data.reading.folders import find_files, tell_left_out
from docclf.data.reading.multi_page import count_each
from docclf.data.reading.names import count_of, nearest, normal, some
from docclf.data.reading.tables import PageFinder, delimiter_of, read_table
from docclf.errors import ConfigError, DataError, safe_text

log = logging.getLogger(__name__)

_TEST = "test"
_SAMPLE_COLUMNS = ("ID", "target")


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page to predict."""

    id: str  # what the user calls it
    path: Path | None  # its file; None where there is none
    number: int = 0  # which page of its file, from 0
    label: str = ""  # what the user says of its class: a target, or the name of a folder; empty without a word
    problem: str = ""  # why it cannot be read; empty where nothing is known against it


@dataclass(frozen=True)
class Listing:
    """Pages to predict."""

    pages: list[ListedPage]  # in the order of the rows to write
    source: Path  # the folder or CSV file that names them
    columns: tuple[str, ...] = ()  # of a sample submission; empty where there is none
    rows: Sequence[dict[str, str]] = ()  # of the sample submission, one a page
    delimiter: str = ","  # of the sample submission

    def labels(self, targets: Sequence[str], class_names: Sequence[str]) -> NDArray[np.int64]:
        """Class index of each page, int64 of shape (n,); -1 where it is not known.

        The names of classes are understood as well as targets, whichever way their letters are composed. Of a folder,
        other names are no labels.

        Raises:
            DataError: A CSV file names other classes.
        """
        index = {normal(name): i for i, name in enumerate(class_names)}
        index |= {normal(target): i for i, target in enumerate(targets)}
        given = {page.id: page.label for page in self.pages}
        is_listed = self.source.is_file() and any(given.values())
        if is_listed and (why := why_no_labels(given, [*index], self.source.with_name(SAMPLE))):
            log.warning(f"The targets in {self.source} are taken for place-holders, since {why}: no page is scored.")
            return np.full(len(self.pages), -1)
        found = [index.get(normal(page.label), -1) for page in self.pages]
        none = {page.label for page in self.pages if is_no_label(page.label, index)} if is_listed else {""}
        others = sorted({page.label for page, label in zip(self.pages, found, strict=True) if label < 0} - none)
        if others and self.source.is_file():
            raise DataError(
                f"Expected targets in {self.source} out of the model's {some(targets)}, got "
                f"{some(f'{other}{nearest(other, index)}' for other in others)}. "
                "Without the column target, pages are predicted and not scored."
            )
        if others and max(found) >= 0:
            log.warning(f"Folders that are called like no class, their pages are not scored: {some(others)}")
        if is_listed and -1 in found:
            log.warning(
                f"{count_of(found.count(-1), 'page')} of {len(found)} in {self.source} without a label: not scored"
            )
        return np.asarray(found, dtype=np.int64)


def list_pages(root: Path, *, sample_submission: Path | None = None, multi_page: str = "first") -> Listing:
    """Find the pages to predict.

    Args:
        root: A CSV file with the column ID and optionally target, or a folder. Of a folder with sample_submission.csv
            or else test.csv, the pages are those of that file. Of any other, they are all page files below it, called
            by their paths, and the first folder, or the one below test/, says the class.
        sample_submission: CSV file with the columns ID and target, which lists the pages of the folder `root`.
        multi_page: `first` takes the first page of a TIFF or PDF, `all` takes all of them, called NAME#1, NAME#2 ...

    Raises:
        ConfigError: With `multi_page`, there are more pages than rows of the sample submission.
        DataError: There are no pages, or a CSV file is damaged or lacks a column.
    """
    usual = root if root.name == SAMPLE else root / SAMPLE
    sample = sample_submission or (usual if usual.is_file() else None)
    if not root.is_dir() and not root.is_file():
        raise DataError(f"Expected a folder or a CSV file at `data.root`, got {root}, which is neither.")
    if sample is not None:
        listing = _of_sample(root if root.is_dir() else root.parent, sample)
    elif root.is_file() and not is_page_file(root):
        listing = _of_csv(root)
    elif (root / "test.csv").is_file():
        listing = _of_csv(root / "test.csv")
    else:
        listing = _of_folder(root)
    if not any(page.path for page in listing.pages):
        raise DataError(_nothing(listing))
    expanded = _expand(listing.pages) if multi_page == "all" else listing.pages
    if listing.columns and len(expanded) > len(listing.pages):
        raise ConfigError(
            f"Expected one page a file with the sample submission {listing.source}, which has one row for each; "
            "got files of several with data.multi_page=all. Use data.multi_page=first."
        )
    return replace(listing, pages=expanded)


def find_page(root: Path, page: str) -> tuple[Path, int]:
    """File of a training page, and which of its pages it is, from 0.

    Args:
        root: `data.root`.
        page: ID of the page: its path below the root or below `root/train`, with `#N` for page N of a file.

    Raises:
        FileNotFoundError: It is not there, or the ID leads out of the root.
    """
    finder = PageFinder(root, ("train",))
    file, _, last = page.rpartition("#")
    named = {page: 0} | ({file: int(last) - 1} if last.isdecimal() else {})
    inside = [name for name in named if not PureWindowsPath(name).anchor]  # which knows both signs
    for find in (finder.find_as_is, finder.find):
        for name in inside:
            if (path := find(name)) is not None:
                return path, named[name]
    raise FileNotFoundError(f"Expected the page {page} below {root}, got no such file.")


def _of_folder(root: Path) -> Listing:
    if root.is_file():
        return Listing([_page_of_file(root, root)], root)
    found = find_files(root)
    tell_left_out(root, found)
    return Listing([_page_of_file(root, path) for path in found.pages], root)


def _page_of_file(root: Path, path: Path) -> ListedPage:
    parts = path.relative_to(root).parts if path != root else (path.name,)
    name = "/".join(parts)
    if safe_text(name) != name:
        return ListedPage(safe_text(name), path, problem="the name is not UTF-8, rename it")
    folders = parts[1:-1] if parts[0].lower() == _TEST else parts[:-1]
    return ListedPage(name, path, label=folders[0] if folders else "")


def _of_csv(path: Path) -> Listing:
    rows = read_table(path, ("ID",))
    return Listing(_pages_of_rows(path.parent, path, rows), path)


def _of_sample(root: Path, path: Path) -> Listing:
    if not path.is_file():
        raise DataError(f"Expected a CSV file at `data.sample_submission`, got {path}, which is none.")
    rows = read_table(path, _SAMPLE_COLUMNS)
    columns = tuple(rows[0] if rows else ())
    pages = [replace(page, label="") for page in _pages_of_rows(root, path, rows)]  # its targets are place-holders
    return Listing(pages, path, columns, rows, delimiter_of(path, _SAMPLE_COLUMNS))


def _pages_of_rows(root: Path, source: Path, rows: Iterable[dict[str, str]]) -> list[ListedPage]:
    finder = PageFinder(root, list(dict.fromkeys((source.stem, _TEST))))  # train.csv names pages in train/
    pages = []
    for row in rows:
        name, target = row["ID"], row.get("target", "")
        path = finder.find(name) if name else None
        problem = "no ID" if not name else "" if path else finder.missing(name)
        pages.append(ListedPage(name, path, label=target, problem=problem))
    return pages


def _expand(pages: Sequence[ListedPage]) -> list[ListedPage]:
    """An entry for every page of a file."""
    expanded = []
    counts = count_each([None if page.problem else page.path for page in pages])
    for page, n in zip(pages, counts, strict=True):
        if isinstance(n, str):
            expanded.append(replace(page, problem=n))
        elif n == 1:
            expanded.append(page)
        else:
            expanded += [replace(page, id=f"{page.id}#{i + 1}", number=i) for i in range(n)]
    return expanded


def _nothing(listing: Listing) -> str:
    if listing.source.is_dir() or not listing.pages:
        kinds = f" of {', '.join(sorted(IMAGE_SUFFIXES))}" if listing.source.is_dir() else ""
        return f"Expected pages{kinds} in {listing.source}, got none."
    first = listing.pages[0]
    return (
        f"Expected the pages of {listing.source} beside it or in a folder of its name, got none of all "
        f"{len(listing.pages)}; the first is {first.id}: {first.problem}."
    )
