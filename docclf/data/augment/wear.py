"""What light, paper and files do to a page: each a function of a batch, drawn anew for every page.

Images are float32 of shape (n, channels, size, size) in about [0, 1], and stay so. `amount` is a largest value, or a
fraction of pages where it says so; random numbers are torch's global ones.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from docclf.data.augment.warp import uniform


def relight(images: Tensor, brightness: float, contrast: float) -> Tensor:
    """Add up to `brightness`, and scale about the middle grey by 1 plus or minus up to `contrast`."""
    shape = (len(images), 1, 1, 1)
    factor = 1 + uniform(shape, contrast, images.device)
    shift = uniform(shape, brightness, images.device) + 0.5 * (1 - factor)
    changed: Tensor = images * factor + shift
    return changed


def shade(images: Tensor, amount: float) -> Tensor:
    """Light that changes linearly over the page, by up to `amount` at its edges."""
    ramp = torch.linspace(-1, 1, images.shape[-1], device=images.device)
    across, down = uniform((2, len(images), 1, 1, 1), amount, images.device)
    shaded: Tensor = images + across * ramp + down * ramp[:, None]
    return shaded


def cast_shadow(images: Tensor, amount: float) -> Tensor:
    """Darken one side of a soft edge, as a hand or a phone does, by up to `amount`."""
    n, device = len(images), images.device
    distance = _distance_to_lines(images)
    softness = 0.05 + 0.25 * torch.rand(n, 1, 1, device=device)
    dark = torch.sigmoid(distance / softness * 4)[:, None]
    return images * (1 - amount * torch.rand(n, 1, 1, 1, device=device) * dark)


def fade(images: Tensor, amount: float) -> Tensor:
    """Ink that has paled: up to `amount` of the way to white."""
    return torch.lerp(images, torch.ones_like(images), amount * torch.rand(len(images), 1, 1, 1, device=images.device))


def blur(images: Tensor, amount: float) -> Tensor:
    """Up to `amount` of a 3 x 3 mean; above 1, of one after the other."""
    share = amount * torch.rand(len(images), 1, 1, 1, device=images.device)
    for _ in range(math.ceil(amount)):
        mean = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        images = torch.lerp(images, mean, share.clamp(0, 1))
        share = share - 1
    return images


def add_noise(images: Tensor, amount: float) -> Tensor:
    """Gaussian noise of a standard deviation up to `amount`."""
    deviation = amount * torch.rand(len(images), 1, 1, 1, device=images.device)
    return torch.addcmul(images, torch.randn_like(images), deviation)


def crease(images: Tensor, amount: float) -> Tensor:
    """A fold across the page: a line that is up to `amount` darker on one side and lighter on the other."""
    distance = _distance_to_lines(images)[:, None]
    width = 2.0 / images.shape[-1]
    edge = -distance / width * torch.exp(0.5 - 0.5 * (distance / width) ** 2)
    return images + amount * torch.rand(len(images), 1, 1, 1, device=images.device) * edge


def stain(images: Tensor, amount: float) -> Tensor:
    """A blot of some colour, up to `amount` opaque, up to a third of the page wide."""
    n, channels, _, size = images.shape
    device = images.device
    steps = torch.linspace(-1, 1, size, device=device)
    centre = uniform((2, n, 1, 1), 1.0, device)
    radius = 0.1 + 0.25 * torch.rand(n, 1, 1, device=device)
    distance = ((steps - centre[0]) ** 2 + (steps[:, None] - centre[1]) ** 2).sqrt()
    cover = torch.sigmoid((radius - distance) * 20)[:, None] * amount * torch.rand(n, 1, 1, 1, device=device)
    colour = 0.2 + 0.6 * torch.rand(n, channels, 1, 1, device=device)
    return torch.lerp(images, colour.expand_as(images), cover.expand_as(images))


def erase(images: Tensor, amount: float) -> Tensor:
    """Cover a rectangle of up to `amount` of each side with one grey, on every second page."""
    n, device = len(images), images.device
    steps = torch.linspace(-1, 1, images.shape[-1], device=device)
    x, y = uniform((2, n, 1, 1), 1.0, device)
    width, height = amount * torch.rand((2, n, 1, 1), device=device)
    inside = ((steps - x).abs() < width) & ((steps[:, None] - y).abs() < height)
    inside &= torch.rand(n, 1, 1, device=device) < 0.5
    grey = torch.rand(n, 1, 1, 1, device=device)
    return torch.where(inside[:, None], grey, images)


def quantise_blocks(images: Tensor, amount: float) -> Tensor:
    """The blocks of JPEG: 8 x 8 cosines, rounded to steps of up to `amount`, coarser for higher frequencies.

    What the size leaves over at the right and the bottom, less than a block, stays as it is.
    """
    n, channels, _, size = images.shape
    device = images.device
    side = size // 8 * 8
    cosines = _cosines().to(device)
    blocks = images[..., :side, :side].reshape(n, channels, side // 8, 8, side // 8, 8).transpose(3, 4)
    index = torch.arange(8, device=device)
    step = (amount / 8 * torch.rand(n, 1, 1, 1, 1, 1, device=device)) * (1 + index + index[:, None]) + 1e-6
    coefficients = cosines @ blocks @ cosines.T
    rounded = cosines.T @ (torch.round(coefficients / step) * step) @ cosines
    result = images.clone()
    result[..., :side, :side] = rounded.transpose(3, 4).reshape(n, channels, side, side)
    return result


@functools.cache
def _cosines() -> Tensor:
    """The orthonormal 8-point cosine transform, shape (8, 8)."""
    k = torch.arange(8.0)
    matrix = torch.cos(torch.pi / 8 * (k + 0.5) * k[:, None]) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def _distance_to_lines(images: Tensor) -> Tensor:
    """Signed distance of every pixel to a random line through the page, which is 2 wide; shape (n, size, size)."""
    n, device = len(images), images.device
    steps = torch.linspace(-1, 1, images.shape[-1], device=device)
    angle = torch.rand(n, 1, 1, device=device) * 2 * torch.pi
    offset = uniform((n, 1, 1), 0.8, device)
    return angle.cos() * steps + angle.sin() * steps[:, None] - offset
