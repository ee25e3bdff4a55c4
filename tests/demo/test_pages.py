"""Drawn pages: readable, of many shapes, and hard to tell apart by their pixels alone."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from slowly import slowly

from docclf.demo import draw_pages
from docclf.demo.dataset import LAYOUTS
from docclf.demo.photo import photo, scan

Pages = tuple[NDArray[np.float64], NDArray[np.int64]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "pages"
    draw_pages(root, workers=1, pages_per_class=12, test_pages_per_class=6)
    return root


def small(root: Path, split: str) -> Pages:
    """24 x 24 grey pixels of each page, and its class."""
    with (root / f"{split}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pixels = np.empty((len(rows), 576))
    for place, row in enumerate(rows):
        with Image.open(root / split / row["ID"]) as image:
            pixels[place] = np.asarray(image.convert("L").resize((24, 24))).ravel()
    return pixels, np.array([int(row["target"]) for row in rows])


def looks(path: Path) -> tuple[str | None, str, tuple[int, int]]:
    with Image.open(path) as image:
        return image.format, image.mode, image.size


@pytest.mark.slow
def test_pixels_alone_do_not_tell_the_classes_apart(root: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    (train, labels), (test, truth) = small(root, "train"), small(root, "test")
    assert 1 / len(LAYOUTS) < f1_score(labels, cross_val_predict(model, train, labels, cv=3), average="macro") < 0.5
    assert f1_score(truth, model.fit(train, labels).predict(test), average="macro") < 0.5


@pytest.mark.slow
def test_pages_of_a_class_differ_and_none_is_empty(root: Path) -> None:
    pixels, labels = small(root, "train")
    assert pixels.std(axis=1).min() > 2
    for target in range(len(LAYOUTS)):
        first, *others = pixels[labels == target]
        assert min(np.abs(first - other).mean() for other in others) > 2, target


def test_pages_are_jpeg_and_png_in_colour_and_grey_upright_and_on_their_side(tmp_path: Path) -> None:
    draw_pages(root := tmp_path / "pages", workers=1, pages_per_class=3, test_pages_per_class=1)
    formats, modes, sizes = zip(*map(looks, (root / "train").iterdir()), strict=True)
    assert set(formats) == {"JPEG", "PNG"} and set(modes) == {"L", "RGB"}
    assert {width > height for width, height in sizes} == {True, False}
    assert min(map(max, sizes)) >= 450 and max(map(max, sizes)) <= 720
    assert all(300 <= max(looks(path)[2]) <= 420 for path in (root / "test").iterdir())


@pytest.mark.parametrize("layout", [*list(LAYOUTS)[:3], *slowly(*list(LAYOUTS)[3:])])
def test_every_layout_draws_and_is_photographed_for_many_seeds(layout: str) -> None:
    for index in range(8):
        rng = np.random.default_rng([99, index])
        image = scan(LAYOUTS[layout](rng).image, rng)
        assert np.asarray(image).std() > 2
        assert np.asarray(photo(image, rng)).std() > 2
