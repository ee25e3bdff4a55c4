"""What a reader of one's own may return."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docclf.data.cache.decoded import make_options
from docclf.data.dataset import open_data_set
from docclf.data.pages import Pages, PageSet
from docclf.errors import DataError


def pages(**changed: Any) -> Pages:
    """Two pages, with one attribute changed."""
    return Pages(**({"ids": ["a", "b"], "paths": [Path("a.png"), Path("b.png")], "labels": np.array([0, 1])} | changed))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: None, "Expected `data.reader` to return a docclf.data.pages.PageSet, got NoneType."),
        (lambda: [("a.png", "0")], "Expected `data.reader` to return a docclf.data.pages.PageSet, got list."),
        (lambda: pages(paths=[Path("a.png")]), "Expected as many paths as ids of pages, 2, got 1."),
        (lambda: pages(groups=["a"]), "Expected as many groups as ids of pages, 2, got 1."),
        (lambda: pages(labels=[0, 1]), "Expected labels of pages in a NumPy array of integers, got list."),
        (lambda: pages(labels=np.array(["a", "b"])), "Expected labels of pages in a NumPy array of integers, got"),
        (lambda: pages(paths=["a.png", "b.png"]), "Expected paths of pages to be of pathlib.Path, got 'a.png'."),
        (
            lambda: PageSet(["x", "y"], ["x", "y"], pages(ids=["b", "b"])),
            "Expected ids of pages to be texts that each page has alone, got 'b' 2 times.",
        ),
        (
            lambda: PageSet(["x", "y"], ["x", "y"], pages(ids=["a", ""])),
            "Expected ids of pages to be texts that each page has alone, got ''. Say path.",
        ),
        (
            lambda: PageSet(["x", "y"], ["x", "y"], pages(ids=["a", 1])),
            "Expected ids of pages to be texts that each page has alone, got 1. Say",
        ),
        (lambda: PageSet(["x", "y"], ["x", "y"], pages(labels=None)), "Expected training pages with labels"),
        (lambda: PageSet(["x", "y"], ["x"], pages()), "Expected training pages with labels, and a name for each"),
        (lambda: PageSet(["x"], ["x"], pages()), "Expected labels of pages to be indices of the 1 targets"),
    ],
)
def test_what_is_no_data_set_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        open_data_set(tmp_path, lambda root: make(), make_options(32, 1.15))
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint16, np.int64])
def test_labels_of_any_integers_are_those_that_a_loss_takes(kind: Any) -> None:
    assert getattr(pages(labels=np.array([0, 1], kind)).labels, "dtype", None) == np.int64
