"""Random geometry for a batch of pages: turns, flips, crops, perspective, as one resampling."""

import torch
import torch.nn.functional as F
from torch import Tensor


def uniform(shape: int | tuple[int, ...], limit: float, device: torch.device) -> Tensor:
    """Between minus and plus `limit`."""
    return (2 * torch.rand(shape, device=device) - 1) * limit


def random_warps(
    n: int, *, degrees: float, quarter_turns: float, flips: float, crop: float, perspective: float, device: torch.device
) -> Tensor:
    """Homographies, float32 of shape (n, 3, 3), from output to input coordinates, both in [-1, 1].

    Args:
        n: Number of pages.
        degrees: Rotation up to this many degrees either way.
        quarter_turns: Fraction of pages that are turned by 90, 180 or 270 degrees besides.
        flips: Fraction of pages that are mirrored left to right, and as many top to bottom.
        crop: Side of the crop, at least 1 minus this fraction of the page's.
        perspective: Corners move inwards or outwards by up to this fraction of the side.
    """
    side = 1 - crop * torch.rand(n, device=device)
    angle = torch.deg2rad(uniform(n, degrees, device))
    if quarter_turns:
        turned = torch.rand(n, device=device) < quarter_turns
        angle = angle + turned * torch.randint(1, 4, (n,), device=device) * (torch.pi / 2)
    matrix = torch.zeros(n, 3, 3, device=device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = side * angle.cos()
    matrix[:, 1, 0] = side * angle.sin()
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    matrix[:, :2, 2] = uniform((n, 2), 1.0, device) * (1 - side)[:, None]
    matrix[:, 2, 2] = 1
    if flips:
        mirrored = torch.rand((n, 2), device=device) < flips
        matrix[:, :, :2] = matrix[:, :, :2] * (1 - 2 * mirrored.float())[:, None, :]
    if perspective:
        # The denominator is 1 at the centre and from 1 - perspective to 1 + perspective at the edges.
        matrix[:, 2, :2] = uniform((n, 2), perspective / 2, device)
    return matrix


def warp(images: Tensor, matrices: Tensor, size: int, is_white_around: bool = False) -> Tensor:
    """Resample images through homographies.

    Args:
        images: Float of shape (n, channels, height, width).
        matrices: From output to input coordinates, shape (n, 3, 3).
        size: Height and width of the result.
        is_white_around: Whether there is white beyond an image; else its border goes on.
    """
    steps = (torch.arange(size, device=images.device) * 2 + 1) / size - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3)
    moved = points @ matrices.transpose(1, 2)
    grid = (moved[..., :2] / moved[..., 2:].clamp_min(0.1)).reshape(len(images), size, size, 2)
    warped = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.where((grid.abs() > 1).any(dim=-1)[:, None], 1.0, warped) if is_white_around else warped
