"""Pages with their proportions: white where a page is not, and aspect ratios that follow when it is turned."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from docclf.data.augment.batch import BatchAugment, resize
from docclf.data.cache.decoded import load_pages
from docclf.data.module import PageDataModule
from docclf.data.readers import read_csv


def black(n: int, side: int = 80) -> Tensor:
    return torch.zeros(n, side, side, 3, dtype=torch.uint8)


def marked(side: int = 80) -> Tensor:
    """A grey page, dark above and at the left, so that every turn of it can be told."""
    page = torch.full((1, side, side, 3), 150, dtype=torch.uint8)
    page[:, : side // 4], page[:, :, : side // 5] = 20, 90
    return page


@pytest.mark.parametrize(
    ("aspect", "top", "left"),
    [(0.5, 0, 16), (2.0, 16, 0), (0.75, 0, 8), (4 / 3, 8, 0), (1.0, 0, 0), (0.01, 0, 31), (100.0, 31, 0), (0.7, 0, 9)],
)
def test_white_is_at_two_sides_and_the_page_in_between(aspect: float, top: int, left: int) -> None:
    (image,) = resize(black(1), 64, torch.tensor([aspect]))
    assert image.shape == (3, 64, 64)
    inside = torch.zeros(64, 64, dtype=torch.bool)
    height, width = (max(1, round(64 * min(1, share))) for share in (1 / aspect, aspect))
    inside[top : top + height, left : left + width] = True
    assert torch.equal(image == 0, inside.expand(3, -1, -1)) and torch.equal(image == 1, ~inside.expand(3, -1, -1))


def test_each_page_of_a_batch_gets_its_own_proportions_and_is_reduced_as_it_is_without() -> None:
    pages = torch.randint(0, 256, (3, 80, 80, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    aspects = torch.tensor([0.5, 1.0, 2.0])
    together = resize(pages, 64, aspects)
    for i in range(3):
        assert torch.equal(together[i : i + 1], resize(pages[i : i + 1], 64, aspects[i : i + 1]))
    assert torch.equal(together[1], resize(pages, 64)[1]), "a square page fills it"


# Augmented

STILL = BatchAugment(degrees=1e-4)  # a warp that moves nothing


@pytest.mark.parametrize("aspect", [0.5, 0.75, 1.0, 1.6])
def test_a_warp_that_moves_nothing_shows_the_page_where_it_is_without_one(aspect: float) -> None:
    aspects = torch.tensor([aspect])
    found, same = STILL.view(marked(64), 64, aspects, letterbox=True)
    expected = resize(marked(64), 64, aspects)
    assert same.tolist() == aspects.tolist()
    assert float((found - expected).abs().mean()) < 0.02, "but for the edges, which are not smoothed alike"
    white = (expected == 1).all(dim=1)
    assert (
        torch.equal((found == 1).all(dim=1), white) or float(((found == 1).all(dim=1) != white).float().mean()) < 0.02
    )


@pytest.mark.parametrize("aspect", [0.5, 0.75, 1.6])
def test_a_page_that_is_turned_keeps_its_proportions_and_its_aspect_is_the_other_way_round(aspect: float) -> None:
    torch.manual_seed(0)
    n = 40
    aspects = torch.full((n,), aspect)
    found, turned = BatchAugment(quarter_turns=1.0).view(marked(64).expand(n, -1, -1, -1), 64, aspects, letterbox=True)
    plain = resize(marked(64), 64, torch.tensor([aspect]))[0]
    kinds = set()
    for image, ratio in zip(found, turned.tolist(), strict=True):
        gaps = [float((image - plain.rot90(turns, (-2, -1))).abs().mean()) for turns in range(4)]
        turns = int(np.argmin(gaps))
        assert gaps[turns] < 0.02 and ratio == pytest.approx(1 / aspect if turns % 2 else aspect)
        kinds.add(turns)
    assert kinds == {1, 2, 3}


def test_squeezed_pages_that_are_turned_have_the_other_aspect_too() -> None:
    torch.manual_seed(0)
    images, turned = BatchAugment(quarter_turns=1.0).view(black(30), 64, torch.full((30,), 0.5))
    assert float(images.max()) == 0, "no white anywhere"
    assert {round(ratio, 3) for ratio in turned.tolist()} == {0.5, 2.0}


def test_small_turns_and_flips_leave_the_aspect_and_show_white_around() -> None:
    torch.manual_seed(0)
    aspects = torch.linspace(0.4, 2.5, 20)
    augment = BatchAugment(degrees=30, flips=0.5, perspective=0.2, crop=0.2)
    images, same = augment.view(black(20), 64, aspects, letterbox=True)
    assert torch.equal(same, aspects)
    shares = (images == 1).float().mean(dim=(1, 2, 3))
    assert float(shares[[0, -1]].min()) > 0.3, "much of it around narrow pages"
    assert ((images == 0) | (images == 1)).all(), "nothing between page and white"


def test_without_geometry_a_view_is_the_page_in_its_proportions() -> None:
    images, aspects = BatchAugment().view(marked(), 64, torch.tensor([0.5]), letterbox=True)
    assert torch.equal(images, resize(marked(), 64, torch.tensor([0.5]))) and aspects.tolist() == [0.5]
    squeezed, ones = BatchAugment().view(marked(), 64)
    assert torch.equal(squeezed, resize(marked(), 64)) and ones.tolist() == [1.0]


# In batches


@pytest.mark.parametrize("size", [(1, 25_000), (25_000, 1)])
@pytest.mark.parametrize("augment", [BatchAugment(), BatchAugment(quarter_turns=1.0)])
def test_a_page_of_one_row_or_column_is_a_line_on_white(
    tmp_path: Path, size: tuple[int, int], augment: BatchAugment
) -> None:
    Image.new("L", size, 0).save(tmp_path / "line.png")
    for _ in range(2):  # decoded, and from the cache
        pages = load_pages([tmp_path / "line.png"], 64, tmp_path / "cache")
    assert pages.problems == {} and pages.aspects[0] > 0
    aspects = torch.from_numpy(pages.aspects)
    (plain,) = resize(torch.from_numpy(pages.images.copy()), 64, aspects)
    assert int((plain[0] == 0).sum()) == 64 and int((plain[0] == 1).sum()) == 64 * 63
    (image,), turned = augment.view(torch.from_numpy(pages.images.copy()), 64, aspects, letterbox=True)
    assert bool(torch.isfinite(image).all() and torch.isfinite(turned).all()) and float(image.mean()) > 0.9


@pytest.mark.parametrize("fit", ["squeeze", "letterbox"])
def test_batches_of_validation_are_as_fit_says(pages_root: Path, fit: str) -> None:
    data = PageDataModule(str(pages_root), reader=read_csv, augment=BatchAugment(), image_size=64, fit=fit)
    data.use_split(np.arange(0, 24, 2), np.arange(1, 24, 2))
    batch = next(iter(data.val_dataloader()))
    images, labels = data.on_after_batch_transfer(batch, 0)
    assert torch.equal(images, resize(batch[0], 64, batch[2] if fit == "letterbox" else None))
    assert torch.equal(labels, batch[1])
    assert bool((images[..., :8] == 1).all() and (images[..., -8:] == 1).all()) == (fit == "letterbox")


def test_validation_pages_that_are_drawn_are_in_their_proportions_once(pages_root: Path) -> None:
    data = PageDataModule(
        str(pages_root),
        reader=read_csv,
        augment=BatchAugment(),
        validation_augment=BatchAugment(quarter_turns=1.0),
        image_size=64,
        fit="letterbox",
    )
    views = data.validation_views
    assert not views.letterbox and {round(float(ratio), 3) for ratio in views.images.aspects} == {0.75, 1.333}
    images, aspects = views(np.arange(24))
    for image, ratio in zip(images, aspects, strict=True):
        columns, rows = image[..., :7], image[:, :7]
        assert bool((columns == 1).all()) == (ratio < 1) or bool((rows == 1).all()) == (ratio > 1)
