"""Files that hold several pages."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from docclf import n_cores
from docclf.data.cache.contents import with_progress
from docclf.data.formats import count_pages, quiet_decoders
from docclf.data.pages import Pages
from docclf.data.reading.problems import reason


def count_each(paths: Sequence[Path | None]) -> list[int | str]:
    """How many pages each file has, or why that is not known; 1 where there is no file."""

    def count(path: Path | None) -> int | str:
        try:
            return (count_pages(path) or "the file has no pages") if path is not None else 1
        except Exception as error:  # decoders of damaged files raise almost anything
            return reason(error)

    with quiet_decoders(), ThreadPoolExecutor(n_cores()) as pool:
        return list(with_progress(pool.map(count, paths), "Counting pages", len(paths)))


def expand(pages: Pages, multi_page: str) -> tuple[Pages, dict[int, str]]:
    """One entry for every page of a file, called NAME#1, NAME#2 ..., and why the pages of other files are not counted.

    Args:
        pages: An entry a file.
        multi_page: `first` leaves them as they are, `all` expands them; all pages of a file are one group.

    Returns:
        The entries, and the reasons by the index of the file among `pages`.
    """
    if multi_page == "first":
        return pages, {}
    counts = count_each(pages.paths)
    if all(count == 1 for count in counts):
        return pages, {}
    rows = [(i, number) for i, n in enumerate(counts) if isinstance(n, int) for number in range(n)]
    several = pages.take([i for i, _ in rows])
    named = zip(several.ids, rows, strict=True)
    ids = [name if counts[i] == 1 else f"{name}#{number + 1}" for name, (i, number) in named]
    numbers = [number for _, number in rows]
    problems = {i: n for i, n in enumerate(counts) if isinstance(n, str)}
    return replace(several, ids=ids, groups=several.groups or several.ids, numbers=numbers), problems
