"""Pages in their order, read a few batches ahead and no further."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flat_pages import picture
from processes import wait_until

from docclf.data.reading import stream
from docclf.data.reading.listing import ListedPage, list_pages
from docclf.data.reading.stream import read_batches


def make(root: Path, n: int) -> list[ListedPage]:
    for i in range(n):
        picture(root / f"{i:03}.png", i)
    return list_pages(root).pages


def test_pages_come_in_order_in_batches_with_their_problems(tmp_path: Path) -> None:
    pages = make(tmp_path, 11)
    (tmp_path / "002.png").write_bytes(b"")
    pages[9] = ListedPage("lost", None, problem="no such file")
    batches = list(read_batches(pages, 4, size=16, channels=1))
    assert [len(batch.pages) for batch in batches] == [4, 4, 3]
    assert [page for batch in batches for page in batch.pages] == pages
    assert all(batch.images.shape[1:] == (16, 16, 1) and batch.images.dtype == np.uint8 for batch in batches)
    greys = [image.ravel()[0] for batch in batches for image in batch.images]
    assert greys == [0, 1, 3, 4, 5, 6, 7, 8, 10]
    problems = [problem for batch in batches for problem in batch.problems]
    expected = [""] * 11
    expected[2], expected[9] = "ValueError: the file is empty", "no such file"
    assert problems == expected


def test_two_batches_are_read_ahead_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    done: list[Any] = []
    submit, read = ThreadPoolExecutor.submit, stream._read

    def counted(*arguments: Any) -> Any:
        result = read(*arguments)
        done.append(arguments)
        return result

    def noted(pool: ThreadPoolExecutor, *arguments: Any) -> Any:
        asked.append(arguments)
        return submit(pool, *arguments)

    monkeypatch.setattr(stream, "_read", counted)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", noted)
    batches = read_batches(make(tmp_path, 40), 4, size=16, channels=3)
    first = next(batches)
    wait_until(lambda: len(done) == len(asked))  # those that are read ahead
    for path in tmp_path.iterdir():
        path.unlink()
    rest = list(batches)
    assert [len(batch.images) for batch in (first, *rest)] == [4, 4, 4] + [0] * 7
    assert all(problem.startswith("FileNotFoundError") for batch in rest[2:] for problem in batch.problems)


def test_who_stops_in_between_leaves_no_threads(tmp_path: Path) -> None:
    pages, before = make(tmp_path, 40), threading.active_count()
    batches = read_batches(pages, 4, size=16, channels=3)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_no_pages_are_no_batches() -> None:
    assert list(read_batches([], 4, size=16, channels=3)) == []
