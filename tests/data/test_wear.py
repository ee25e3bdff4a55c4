"""What light, paper and files do to pages: each effect alone, within its range."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from docclf.data.augment import wear

Effect = Callable[[Tensor], Tensor]

EFFECTS: dict[str, Callable[..., Tensor]] = {
    "relight": lambda images, amount: wear.relight(images, amount / 2, amount),
    "shade": wear.shade,
    "cast_shadow": wear.cast_shadow,
    "fade": wear.fade,
    "blur": wear.blur,
    "add_noise": wear.add_noise,
    "crease": wear.crease,
    "stain": wear.stain,
    "erase": wear.erase,
    "quantise_blocks": wear.quantise_blocks,
}
# By how much values may leave [0, 1] for an amount of 0.3; noise has no bound.
OUTSIDE = {"relight": 0.3, "shade": 0.6, "add_noise": 2.0, "crease": 0.31, "quantise_blocks": 1.0}


def pages(n: int = 6, channels: int = 3, size: int = 37) -> Tensor:
    """The same page n times: lines of dark text on light paper; whatever differs afterwards was drawn for each."""
    page = torch.full((1, channels, size, size), 0.9)
    page[:, :, 2::5] = 0.1
    page[:, :, :, : size // 6] = 0.8
    return page.repeat(n, 1, 1, 1)


def worn(name: str, images: Tensor, amount: float = 0.3, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return EFFECTS[name](images.clone(), amount)


@pytest.mark.parametrize("size", [8, 37, 96, 112])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EFFECTS)
def test_shape_and_dtype_stay_and_values_stay_in_range(name: str, channels: int, size: int) -> None:
    for n in (1, 5):
        images = worn(name, pages(n, channels, size))
        assert images.shape == (n, channels, size, size) and images.dtype == torch.float32
        outside = OUTSIDE.get(name, 1e-5)
        assert images.min() >= -outside and images.max() <= 1 + outside


@pytest.mark.parametrize("name", EFFECTS)
def test_each_page_is_changed_differently_and_the_same_from_the_same_seed(name: str) -> None:
    images = worn(name, pages(8))
    assert torch.equal(images, worn(name, pages(8))) and not torch.equal(images, worn(name, pages(8), seed=1))
    changed = (images - pages(8)).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.all() or (name in ("erase", "stain", "crease") and changed.sum() >= 2)
    assert len(torch.unique(images.flatten(1), dim=0)) >= changed.sum()


@pytest.mark.parametrize("name", EFFECTS)
def test_a_larger_amount_changes_more_and_none_nothing(name: str) -> None:
    plain = pages(300)
    changes = [(worn(name, plain, amount) - plain).abs().mean().item() for amount in (0.1, 0.2, 0.4)]
    assert changes[0] > 1e-4 and changes[1] > 1.2 * changes[0] and changes[2] > 1.2 * changes[1]
    assert torch.allclose(worn(name, plain, 0.0), plain, atol=1e-4)


@pytest.mark.parametrize("name", EFFECTS)
def test_the_given_images_are_left_alone(name: str) -> None:
    images = pages()
    EFFECTS[name](images, 0.3)
    assert torch.equal(images, pages())


# What each does


def flat(value: float, n: int = 400, size: int = 32) -> Tensor:
    return torch.full((n, 1, size, size), value)


def test_brightness_moves_all_values_and_contrast_spreads_them_about_the_middle() -> None:
    torch.manual_seed(0)
    shifts = wear.relight(flat(0.5), 0.2, 0.4)[:, 0, 0, 0] - 0.5
    assert shifts.abs().max() <= 0.2 and shifts.min() < -0.19 and shifts.max() > 0.19
    spread = wear.relight(torch.cat([flat(0.3, size=8), flat(0.7, size=8)], dim=3), 0.0, 0.5)[:, 0, 0, [0, -1]]
    assert spread.mean(dim=1).tolist() == pytest.approx([0.5] * 400, abs=1e-5)
    factors = (spread[:, 1] - spread[:, 0]) / 0.4
    assert factors.min() == pytest.approx(0.5, abs=0.01) and factors.max() == pytest.approx(1.5, abs=0.01)


def test_shading_is_a_slope_without_a_change_of_the_mean() -> None:
    torch.manual_seed(0)
    change = wear.shade(flat(0.5), 0.2) - 0.5
    assert change.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert change.diff(n=2, dim=3).abs().max() < 1e-5 and change.diff(n=2, dim=2).abs().max() < 1e-5
    assert 0.35 < change.abs().max() <= 0.4 + 1e-5, "both directions together, in a corner"


@pytest.mark.parametrize(("effect", "sign"), [(wear.cast_shadow, -1), (wear.fade, 1)])
def test_shadow_darkens_only_and_fading_lightens_only(effect: Effect, sign: int) -> None:
    torch.manual_seed(0)
    change = partial(effect, amount=0.6)(flat(0.5)) - 0.5
    assert (sign * change).min() >= -1e-6
    assert 0.27 < change.abs().max() <= 0.3 + 1e-5, "0.6 of the way to black or white"


def test_faded_paper_stays_white_and_a_shadow_has_a_soft_edge() -> None:
    torch.manual_seed(0)
    assert torch.allclose(wear.fade(flat(1.0), 1.0), flat(1.0))
    shadows = wear.cast_shadow(flat(1.0, size=96), 0.8)
    assert shadows.diff(dim=3).abs().max() < 0.35
    assert (shadows.amax(dim=(1, 2, 3)) - shadows.amin(dim=(1, 2, 3))).max() > 0.7


@pytest.mark.parametrize("amount", [0.5, 1.0, 1.7, 3.0])
def test_blur_keeps_flat_pages_and_softens_edges_the_more_the_larger(amount: float) -> None:
    torch.manual_seed(0)
    assert torch.allclose(wear.blur(flat(0.3, 9), amount), flat(0.3, 9), atol=1e-6)
    line = flat(0.0)
    line[..., 16] = 1.0
    heights = wear.blur(line, amount)[:, 0, 16, 16]
    lowest = {0.5: 1 - 0.5 * 2 / 3, 1.0: 1 / 3, 1.7: 0.2, 3.0: 7 / 27}[amount]
    assert lowest - 0.02 <= heights.min() and heights.max() == pytest.approx(1, abs=0.02)
    assert torch.allclose(wear.blur(line, amount).mean(dim=(1, 2, 3)), line.mean(dim=(1, 2, 3)), atol=1e-6)


def test_noise_is_centred_and_of_up_to_the_deviation() -> None:
    torch.manual_seed(0)
    noise = wear.add_noise(flat(0.5), 0.1) - 0.5
    deviations = noise.std(dim=(1, 2, 3))
    assert noise.mean().abs() < 1e-3 and 0.095 < deviations.max() < 0.11 and deviations.min() < 0.005


def test_a_crease_is_dark_on_one_side_and_light_on_the_other_along_a_line() -> None:
    torch.manual_seed(0)
    change = wear.crease(flat(0.5, size=96), 0.3) - 0.5
    touched = (change.abs() > 1e-3).float().mean(dim=(1, 2, 3))
    assert touched.max() < 0.15 and (touched > 0).float().mean() > 0.9
    across = change[touched > 0.03]
    assert (across.amax(dim=(1, 2, 3)) > 0).all() and (across.amin(dim=(1, 2, 3)) < 0).all()
    assert 0.25 < across.max() <= 0.3 + 1e-4


def test_a_stain_is_a_blot_of_one_colour_that_leaves_most_of_the_page() -> None:
    torch.manual_seed(0)
    images = wear.stain(torch.full((300, 3, 48, 48), 1.0), 0.9)
    share = (images.amin(dim=1) < 0.95).float().mean(dim=(1, 2))
    assert share.max() < 0.25 and share.mean() > 0.01
    assert images.min() >= 0.2 and (images[:, 0] - images[:, 2]).abs().max() > 0.1, "coloured"


def test_every_second_page_loses_a_rectangle_of_one_grey() -> None:
    torch.manual_seed(0)
    erased = wear.erase(flat(2.0), 0.5)  # a value that no grey has
    cover = (erased != 2.0)[:, 0]
    assert cover.flatten(1).any(dim=1).float().mean() == pytest.approx(0.5, abs=0.08)
    for image, covered in zip(erased[:, 0], cover, strict=True):
        if covered.any():
            rows, columns = covered.any(dim=1), covered.any(dim=0)
            assert torch.equal(covered, rows[:, None] & columns) and len(image[covered].unique()) == 1
            assert rows.sum() <= 16 and columns.sum() <= 16


def test_blocks_are_rounded_each_for_itself_and_what_is_no_block_stays() -> None:
    torch.manual_seed(0)
    images = torch.rand(50, 1, 21, 21)
    changed = wear.quantise_blocks(images, 0.5)
    assert torch.equal(changed[..., 16:, :], images[..., 16:, :]) and torch.equal(changed[..., 16:], images[..., 16:])
    assert (changed[..., :16, :16] - images[..., :16, :16]).abs().amax(dim=(1, 2, 3)).min() > 1e-4
    other = images.clone()
    other[..., :8, :8] = 0.5
    torch.manual_seed(0)
    torch.rand(50, 1, 21, 21)
    assert torch.allclose(wear.quantise_blocks(other, 0.5)[..., 8:16, :16], changed[..., 8:16, :16], atol=1e-5)
    small = torch.rand(2, 3, 7, 7)
    assert torch.equal(wear.quantise_blocks(small, 0.5), small)


def test_coarse_steps_leave_blocks_of_one_value() -> None:
    torch.manual_seed(3)
    changed = wear.quantise_blocks(torch.rand(40, 1, 16, 16), 400.0)
    blocks = changed.reshape(40, 2, 8, 2, 8).permute(0, 1, 3, 2, 4).reshape(-1, 64)
    assert ((blocks.amax(dim=1) - blocks.amin(dim=1)) < 1e-4).float().mean() > 0.9
