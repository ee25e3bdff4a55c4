"""Batches are changed page by page, within their ranges, and the same from the same seed."""

import pytest
import torch
from torch import Tensor

from docclf.data.augment import BatchAugment, resize

LIGHT = {"degrees": 5, "crop": 0.2}
SCAN = {"degrees": 10, "crop": 0.2, "brightness": 0.1, "contrast": 0.2, "shading": 0.15, "blur": 0.5, "noise": 0.05}
EACH = [{key: value} for key, value in SCAN.items()]


@pytest.fixture
def pages() -> Tensor:
    """The same page four times: whatever differs afterwards was drawn for each."""
    torch.manual_seed(0)
    page = torch.randint(0, 256, (1, 40, 40, 3), dtype=torch.uint8)
    page[:, 10:30, 10:30] = 255
    return page.repeat(4, 1, 1, 1)


def augmented(pages: Tensor, seed: int = 1, **ranges: float) -> Tensor:
    torch.manual_seed(seed)
    return BatchAugment(**ranges)(pages, 32)


@pytest.mark.parametrize("ranges", [{}, LIGHT, SCAN, *EACH], ids=str)
def test_pages_become_float_images_of_the_training_size(pages: Tensor, ranges: dict[str, float]) -> None:
    images = augmented(pages, **ranges)
    assert images.shape == (4, 3, 32, 32) and images.dtype == torch.float32
    assert images.isfinite().all()
    margin = 4 * sum(ranges.get(key, 0.0) for key in ("brightness", "contrast", "shading", "noise"))
    assert images.min() >= -margin and images.max() <= 1 + margin


@pytest.mark.parametrize("ranges", [LIGHT, SCAN, *EACH], ids=str)
def test_every_range_changes_each_page_differently_and_the_same_from_the_same_seed(
    pages: Tensor, ranges: dict[str, float]
) -> None:
    images = augmented(pages, **ranges)
    assert torch.equal(images, augmented(pages, **ranges))
    assert not torch.equal(images, augmented(pages, seed=2, **ranges))
    plain = resize(pages, 32)
    for i in range(4):
        assert (images[i] - plain[i]).abs().max() > 1e-3
        assert all((images[i] - images[j]).abs().max() > 1e-4 for j in range(i))


@pytest.mark.parametrize("ranges", [LIGHT, SCAN], ids=str)
def test_strength_0_only_resizes(pages: Tensor, ranges: dict[str, float]) -> None:
    assert torch.equal(augmented(pages, strength=0, **ranges), resize(pages, 32))


def test_strength_widens_every_range(pages: Tensor) -> None:
    plain = resize(pages, 32)
    changes = [(augmented(pages, strength=s, brightness=0.1) - plain).abs().mean() for s in (0.5, 1, 2)]
    assert changes[1] / changes[0] == pytest.approx(2, rel=1e-3) and changes[2] / changes[1] == pytest.approx(
        2, rel=1e-3
    )


def test_resizing_keeps_colours_in_their_place() -> None:
    page = torch.zeros(1, 40, 20, 3, dtype=torch.uint8)
    page[:, :20, :, 0] = 255
    image = resize(page, 10)[0]
    assert image[0, :4].min() == 1 and image[0, 6:].max() == 0 and image[1:].max() == 0


def test_a_turn_of_the_page_keeps_its_middle_and_a_crop_enlarges_it() -> None:
    page = torch.full((64, 40, 40, 3), 255, dtype=torch.uint8)
    page[:, 16:24, 16:24] = 0
    turned = augmented(page, degrees=10)
    assert turned[:, :, 15:17, 15:17].max() < 0.1 and turned[:, :, 0, 0].min() > 0.99
    cropped = augmented(page, crop=0.5)
    dark = (cropped < 0.5).float().mean(dim=(1, 2, 3))
    assert 2 < dark.max() / 0.2**2 < 4.2 and dark.min() > 0
