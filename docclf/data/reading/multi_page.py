"""Files that hold several pages."""

from dataclasses import replace

from docclf.data.formats import count_pages, quiet_decoders
from docclf.data.page_set import Pages
from docclf.data.reading.problems import reason


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
    counts, problems = list[int](), dict[int, str]()
    for index, path in enumerate(pages.paths):
        try:
            with quiet_decoders():
                counts.append(count_pages(path))
        except Exception as error:  # decoders of damaged files raise almost anything
            counts.append(0)
            problems[index] = reason(error)
    if all(count == 1 for count in counts):
        return pages, problems
    rows = [i for i, count in enumerate(counts) for _ in range(count)]
    numbers = [number for count in counts for number in range(count)]
    several = pages.take(rows)
    ids = [f"{name}#{n + 1}" if counts[i] > 1 else name for i, n, name in zip(rows, numbers, several.ids, strict=True)]
    return replace(several, ids=ids, groups=several.groups or several.ids, numbers=numbers), problems
