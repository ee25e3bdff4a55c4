"""Data sets of pages of one grey each, so that every page can be told apart after it was decoded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from docclf.data.augment.views import PageViews, digest_of
from docclf.data.cache.decoded import PageArray, make_options
from docclf.data.dataset import DataSet, open_data_set
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv


def picture(path: Path, grey: int) -> None:
    """A page of one grey."""
    Image.new("L", (20, 30), grey).save(path)


def write(path: Path, *rows: str) -> None:
    path.write_text("\n".join(rows), encoding="utf-8")


def opened(root: Path, reader: Callable[[Path], Any] = read_csv, **options: Any) -> DataSet:
    settings = {"near_duplicates": None, "cache_dir": root.parent / "cache", **options}
    return open_data_set(root, reader, make_options(16, 1.0, **settings))


def views_of_test_pages(data: PageDataModule) -> PageViews:
    """They, as a model sees them."""
    assert data.dataset.test_images is not None
    digest = digest_of(data.dataset.digests[len(data.labels) :])
    return replace(data.train_views, images=data.dataset.test_images, digest=digest)


def greys(images: PageArray | None) -> list[int]:
    assert images is not None
    return [int(page[8, 8, 0]) for page in images[np.arange(len(images))]]
