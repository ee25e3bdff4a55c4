"""Batches are changed page by page, within their ranges, and the same from the same seed."""

from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

import docclf
from docclf.data.augment.batch import BatchAugment, resize

OPTIONS = {
    name: {
        key: value
        for key, value in OmegaConf.to_container(OmegaConf.load(docclf.CONF_DIR / "augment" / f"{name}.yaml")).items()
        if key not in ("defaults", "_target_")
    }
    for name in ("light", "scan", "photo")
}
RANGES = [
    key
    for key in OmegaConf.load(docclf.CONF_DIR / "augment" / "none.yaml")
    if key not in ("_target_", "strength", "mixup", "cutmix")
]
AMOUNT = {"degrees": 10.0, "quarter_turns": 1.0, "flips": 1.0, "erasing": 0.9}
EACH = [{key: AMOUNT.get(key, 0.4)} for key in RANGES]
BRIGHT = ("brightness", "contrast", "shading", "noise", "creases", "jpeg")  # these leave [0, 1]


def page(size: int = 40, channels: int = 3) -> Tensor:
    torch.manual_seed(0)
    drawn = torch.randint(0, 256, (1, size, size, channels), dtype=torch.uint8)
    drawn[:, size // 4 : size // 2, size // 4 :] = 255
    return drawn


@pytest.fixture
def pages() -> Tensor:
    """The same page four times: whatever differs afterwards was drawn for each."""
    return page().repeat(4, 1, 1, 1)


def augmented(pages: Tensor, seed: int = 1, size: int = 32, **ranges: float) -> Tensor:
    torch.manual_seed(seed)
    return BatchAugment(**ranges).view(pages, size)[0]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kept", "size"), [(40, 32), (37, 30), (112, 96), (24, 24), (8, 8)])
@pytest.mark.parametrize("ranges", [{}, *OPTIONS.values()], ids=["none", *OPTIONS])
def test_pages_become_float_images_of_the_training_size(
    ranges: dict[str, float], kept: int, size: int, channels: int
) -> None:
    for n in (1, 3):
        images = augmented(page(kept, channels).repeat(n, 1, 1, 1), size=size, **ranges)
        assert images.shape == (n, channels, size, size) and images.dtype == torch.float32
        assert images.isfinite().all()
        margin = 4 * sum(ranges.get(key, 0.0) for key in BRIGHT)
        assert images.min() >= -margin - 1e-5 and images.max() <= 1 + margin + 1e-5


@pytest.mark.parametrize("ranges", EACH, ids=str)
def test_each_range_alone_changes_pages_differently_and_the_same_from_the_same_seed(
    pages: Tensor, ranges: dict[str, float]
) -> None:
    many = pages.repeat(4, 1, 1, 1)
    images = augmented(many, **ranges)
    assert images.shape == (16, 3, 32, 32)
    assert torch.equal(images, augmented(many, **ranges))
    plain = resize(many, 32)
    changed = [i for i in range(16) if (images[i] - plain[i]).abs().max() > 1e-3]
    (key,) = ranges
    assert len(changed) == 16 or (key in ("erasing", "stains", "creases") and len(changed) >= 4)
    assert not torch.equal(images, augmented(many, seed=2, **ranges)) or key == "flips"
    if key == "quarter_turns":
        assert len(torch.unique(images.flatten(1), dim=0)) == 3
    elif key != "flips":  # all of them are mirrored both ways
        assert all((images[i] - images[j]).abs().max() > 1e-5 for i in changed for j in range(i))


@pytest.mark.parametrize("ranges", [*OPTIONS.values(), *EACH], ids=str)
def test_strength_0_only_resizes(pages: Tensor, ranges: dict[str, float]) -> None:
    assert torch.equal(augmented(pages, strength=0, **ranges), resize(pages, 32))


@pytest.mark.parametrize("key", [key for key in RANGES if key not in ("quarter_turns", "flips")])
def test_strength_widens_every_range(key: str) -> None:
    smooth = torch.linspace(60, 200, 40).to(torch.uint8)[None, :, None, None].expand(200, 40, 40, 3)
    amount = {"degrees": 5.0, "erasing": 0.3}.get(key, 0.15)
    base = torch.rand(200, 40, 40, 3, generator=torch.Generator().manual_seed(0)).mul(9).to(torch.uint8) + smooth
    plain = resize(base, 40)
    changes = [(augmented(base, size=40, strength=s, **{key: amount}) - plain).abs().mean().item() for s in (0.5, 1, 2)]
    assert changes[0] > 0 and changes[1] > 1.1 * changes[0] and changes[2] > 1.1 * changes[1]


def test_strength_is_a_factor(pages: Tensor) -> None:
    for key in ("brightness", "shading", "noise"):
        once, twice = (augmented(pages, strength=s, **{key: 0.1}) - resize(pages, 32) for s in (1, 2))
        assert torch.allclose(twice, 2 * once, atol=1e-5)
    assert torch.equal(augmented(pages, strength=0.5, degrees=10), augmented(pages, degrees=5))


@pytest.mark.parametrize("strength", [1.0, 100.0])
def test_shares_end_at_all_and_crops_leave_something(pages: Tensor, strength: float) -> None:
    images = augmented(pages, strength=strength, quarter_turns=1, flips=1, crop=1, perspective=1, fading=1, stains=1)
    assert images.isfinite().all() and images.min() >= -1e-5 and images.max() <= 1 + 1e-5


def test_resizing_keeps_colours_in_their_place() -> None:
    drawn = torch.zeros(1, 40, 20, 3, dtype=torch.uint8)
    drawn[:, :20, :, 0] = 255
    image = resize(drawn, 10)[0]
    assert image[0, :4].min() == 1 and image[0, 6:].max() == 0 and image[1:].max() == 0


def test_a_turn_of_the_page_keeps_its_middle_and_a_crop_enlarges_it() -> None:
    drawn = torch.full((64, 40, 40, 3), 255, dtype=torch.uint8)
    drawn[:, 16:24, 16:24] = 0
    turned = augmented(drawn, degrees=10)
    assert turned[:, :, 15:17, 15:17].max() < 0.1 and turned[:, :, 0, 0].min() > 0.99
    cropped = augmented(drawn, crop=0.5)
    dark = (cropped < 0.5).float().mean(dim=(1, 2, 3))
    assert 2 < dark.max() / 0.2**2 < 4.2 and dark.min() > 0


def test_pages_are_given_as_they_are_kept_and_stay_so(pages: Tensor) -> None:
    before = pages.clone()
    augmented(pages, **OPTIONS["photo"])
    assert torch.equal(pages, before)


# Blending pages


def blended(n: int, **options: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pages each of one value of their own, their labels, and both blended."""
    images = torch.arange(1.0, n + 1)[:, None, None, None].expand(n, 3, 16, 16) / n
    labels = torch.arange(n) % 3
    mixed, targets = BatchAugment(**options).mix(images.clone(), labels, 3)
    return images, labels, mixed, targets


@pytest.mark.parametrize("n", [2, 3, 8, 9])
@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}], ids=str)
def test_blended_labels_are_probabilities_of_the_pages_that_were_blended(n: int, options: dict[str, float]) -> None:
    images, labels, mixed, targets = blended(n, **options)
    assert mixed.shape == images.shape and targets.shape == (n, 3) and targets.dtype == torch.float32
    assert targets.sum(dim=1).tolist() == pytest.approx([1.0] * n, abs=1e-5)
    even = n // 2 * 2
    for i in range(even):
        partner = even - 1 - i
        share = ((mixed[i].mean() - images[partner].mean()) / (images[i] - images[partner]).mean()).item()
        expected = torch.zeros(3)
        expected[labels[i]] += share
        expected[labels[partner]] += 1 - share
        assert targets[i].tolist() == pytest.approx(expected.tolist(), abs=1e-3)
    if n % 2:
        assert torch.equal(mixed[-1], images[-1]) and targets[-1].argmax() == labels[-1] and targets[-1].max() == 1


def test_cutmix_pastes_a_rectangle_and_mixup_lays_pages_over_one_another() -> None:
    np.random.seed(0)  # timm's random numbers
    seen = [len(blended(8, cutmix=1.0)[2][0].unique()) for _ in range(20)]
    assert max(seen) == 2
    assert all(len(blended(8, mixup=1.0)[2][0].unique()) == 1 for _ in range(20))


def test_blending_is_the_same_from_the_same_seed() -> None:
    def draw(seed: int) -> Tensor:
        np.random.seed(seed)
        return torch.stack([blended(8, mixup=1.0, cutmix=1.0)[2] for _ in range(5)])

    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))


@pytest.mark.parametrize(("n", "options"), [(8, {}), (1, {"mixup": 1.0})])
def test_without_blending_or_with_one_page_all_stays(n: int, options: dict[str, float]) -> None:
    images, labels, mixed, targets = blended(n, **options)
    assert torch.equal(mixed, images) and torch.equal(targets, labels)
