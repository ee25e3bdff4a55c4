"""Pages decoded in threads, a few batches ahead of who takes them: nothing is kept, however many there are."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docclf import n_cores
from docclf.data.formats import has_more_pages, read_with_aspect
from docclf.data.reading.listing import ListedPage
from docclf.data.reading.problems import reason

# Of a page: its image and aspect ratio, or why it cannot be read; whether its file has others
_Read = tuple[NDArray[np.uint8] | None, float, str, bool]
_AHEAD = 2  # batches that wait decoded while one is taken


@dataclass(frozen=True)
class Batch:
    """Some pages that follow each other."""

    pages: Sequence[ListedPage]  # all of them
    images: NDArray[np.uint8]  # those that could be read, uint8 of shape (n, size, size, channels)
    aspects: NDArray[np.float32]  # width of each of these over its height, float32 of shape (n,)
    problems: list[str]  # why a page cannot be read, one a page; empty for those in `images`
    has_more: list[bool]  # whether the file of a page that is its first has others, one a page


def read_batches(pages: Sequence[ListedPage], batch_size: int, *, size: int, channels: int) -> Iterator[Batch]:
    """Decode pages in their order. Pillow warns of oddities: see `docclf.data.formats.quiet_decoders`.

    Args:
        batch_size: Pages of each batch but the last.
        size: Height and width in pixels that each page is reduced to; its proportions are not kept.
        channels: 3 for RGB, 1 for grey.
    """
    waiting: deque[tuple[Sequence[ListedPage], list[Future[_Read]]]] = deque()
    pool = ThreadPoolExecutor(n_cores())
    try:
        for start in range(0, len(pages), batch_size):
            some = pages[start : start + batch_size]
            waiting.append((some, [pool.submit(_read, page, size, channels) for page in some]))
            if len(waiting) > _AHEAD:
                yield _gather(*waiting.popleft(), shape=(size, size, channels))
        while waiting:
            yield _gather(*waiting.popleft(), shape=(size, size, channels))
    finally:  # also where the taker stops in between
        pool.shutdown(cancel_futures=True)


def _read(page: ListedPage, size: int, channels: int) -> _Read:
    if page.path is None or page.problem:
        return None, 1.0, page.problem or "no file", False
    try:
        image, aspect = read_with_aspect(page.path, size, page=page.number, channels=channels)
    except Exception as error:  # decoders of damaged files raise almost anything
        return None, 1.0, reason(error), False
    return image, aspect, "", page.number == 0 and has_more_pages(page.path)


def _gather(pages: Sequence[ListedPage], results: Sequence[Future[_Read]], *, shape: tuple[int, ...]) -> Batch:
    images, aspects, problems, has_more = zip(*(result.result() for result in results), strict=True)
    read = [image for image in images if image is not None]
    found = [aspect for image, aspect in zip(images, aspects, strict=True) if image is not None]
    stacked = np.stack(read) if read else np.empty((0, *shape), np.uint8)
    return Batch(pages, stacked, np.array(found, np.float32), list(problems), list(has_more))
