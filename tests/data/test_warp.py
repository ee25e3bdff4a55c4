"""Pages are turned, mirrored, cut and seen in perspective: exactly, where that needs no new pixels."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from docclf.data.augment.warp import random_warps, uniform, warp

NOTHING = {"degrees": 0.0, "quarter_turns": 0.0, "flips": 0.0, "crop": 0.0, "perspective": 0.0}
CPU = torch.device("cpu")


def warps(n: int = 500, seed: int = 0, **ranges: float) -> Tensor:
    torch.manual_seed(seed)
    return random_warps(n, **{**NOTHING, **ranges}, device=CPU)


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(64, 3, 21, 21)


def which(changed: Tensor, candidates: list[Tensor]) -> list[int]:
    """For each image the one candidate that it equals."""
    found = []
    for i in range(len(changed)):
        equal = [k for k, candidate in enumerate(candidates) if torch.allclose(changed[i], candidate[i], atol=1e-4)]
        assert len(equal) == 1, f"image {i} equals {equal}"
        found += equal
    return found


def test_no_change_is_none(images: Tensor) -> None:
    assert torch.equal(warps(3), torch.eye(3).expand(3, 3, 3))
    assert torch.allclose(warp(images, warps(64), 21), images, atol=1e-5)


def test_quarter_turns_are_exact(images: Tensor) -> None:
    changed = warp(images, warps(64, quarter_turns=1.0), 21)
    turns = which(changed, [torch.rot90(images, k, (2, 3)) for k in range(4)])
    assert set(turns) == {1, 2, 3}, "every page is turned, by each of the three"


def test_flips_are_exact_and_of_both_kinds(images: Tensor) -> None:
    changed = warp(images, warps(64, flips=0.5), 21)
    assert set(which(changed, [images, images.flip(3), images.flip(2), images.flip((2, 3))])) == {0, 1, 2, 3}


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_share_of_the_pages_is_turned_or_mirrored(share: float) -> None:
    turned = warps(4000, quarter_turns=share)[:, 0, 0] < 0.5
    assert turned.float().mean() == pytest.approx(share, abs=0.03)
    mirrored = warps(4000, flips=share)[:, [0, 1], [0, 1]] < 0
    assert mirrored.float().mean(dim=0).tolist() == pytest.approx([share, share], abs=0.03)


@pytest.mark.parametrize("degrees", [1.0, 15.0, 90.0])
def test_turns_reach_either_way_up_to_the_limit(degrees: float) -> None:
    matrices = warps(4000, degrees=degrees)
    angles = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert angles.abs().max() <= degrees + 1e-3
    assert angles.min() < -0.99 * degrees and angles.max() > 0.99 * degrees and angles.mean().abs() < 0.05 * degrees


@pytest.mark.parametrize("crop", [0.2, 0.9])
def test_crops_lie_within_the_page_and_reach_its_edges(crop: float) -> None:
    matrices = warps(4000, crop=crop)
    corners = torch.tensor([[-1.0, -1, 1], [1, 1, 1]])
    moved = matrices @ corners.T
    assert moved[:, :2].abs().max() <= 1 + 1e-5
    sides = (moved[:, 0, 1] - moved[:, 0, 0]) / 2
    assert sides.min() == pytest.approx(1 - crop, abs=0.01) and sides.max() == pytest.approx(1, abs=0.01)


def test_perspective_keeps_the_centre_and_moves_the_corners_by_its_share() -> None:
    matrices = warps(4000, perspective=0.3)
    points = matrices @ torch.tensor([[0.0, 0, 1], [1, 0, 1], [0, 1, 1]]).T
    moved = points[:, :2] / points[:, 2:]
    assert moved[..., 0].abs().max() == 0
    assert moved[:, 0, 1].min() == pytest.approx(1 / 1.15, abs=0.01)
    assert moved[:, 0, 1].max() == pytest.approx(1 / 0.85, abs=0.01)


def test_what_lies_outside_is_the_page_s_edge() -> None:
    page = torch.full((50, 1, 16, 16), 0.75)
    page[:, :, 4:12, 4:12] = 0.25
    changed = warp(page, warps(50, degrees=45, perspective=0.9), 16)
    assert changed.min() >= 0.25 - 1e-5 and changed.max() <= 0.75 + 1e-5


@pytest.mark.parametrize(("side", "size"), [(21, 21), (40, 32), (32, 40), (7, 1), (1, 7)])
def test_images_come_out_in_the_size_that_is_asked_for(side: int, size: int) -> None:
    page = torch.rand(2, 1, side, side)
    assert warp(page, warps(2, degrees=10), size).shape == (2, 1, size, size)


@pytest.mark.parametrize("ranges", [{key: 0.4} for key in NOTHING], ids=str)
def test_each_page_is_warped_differently_and_the_same_from_the_same_seed(ranges: dict[str, Any]) -> None:
    assert torch.equal(warps(8, **ranges), warps(8, **ranges))
    assert not torch.equal(warps(8, **ranges), warps(8, seed=1, **ranges))
    assert len(torch.unique(warps(200, **ranges), dim=0)) >= 3


def test_uniform_numbers_lie_between_minus_and_plus_the_limit() -> None:
    torch.manual_seed(0)
    numbers = uniform((1000, 2), 3.0, CPU)
    assert (
        numbers.shape == (1000, 2)
        and numbers.abs().max() <= 3
        and numbers.std() == pytest.approx(3 / math.sqrt(3), rel=0.05)
    )
