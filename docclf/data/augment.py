"""Augmentation of whole batches, on the device that trains."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(pages: Tensor, size: int) -> Tensor:
    """Reduce a batch to the training size without augmentation.

    Args:
        pages: uint8 of shape (n, height, width, 3).
        size: Height and width of the result in pixels.

    Returns:
        float32 of shape (n, 3, size, size) in [0, 1].
    """
    if pages.device.type == "cpu":  # where bytes are reduced about 10 times as fast as floats
        return F.interpolate(pages.permute(0, 3, 1, 2), size, mode="bilinear", antialias=True).float().div_(255)
    return F.interpolate(_to_float(pages), size, mode="bilinear", antialias=True)


class BatchAugment:
    """Random changes of geometry and light, drawn for each page, applied to a batch at once.

    Args:
        strength: Factor on every range below; 0 switches all off.
        degrees: Rotation up to this many degrees either way.
        crop: Side of the crop, at least 1 minus this share of the page's.
        brightness: Added light up to this, of [0, 1].
        contrast: Factor of 1 plus or minus up to this.
        shading: Light that changes linearly over the page, up to this much at its edges.
        blur: Up to this share of a 3 x 3 mean.
        noise: Standard deviation of Gaussian noise up to this, of [0, 1].
    """

    def __init__(
        self,
        *,
        strength: float = 1.0,
        degrees: float = 0.0,
        crop: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        shading: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        self.degrees, self.crop = strength * degrees, strength * crop
        self.brightness, self.contrast, self.shading = strength * brightness, strength * contrast, strength * shading
        self.blur, self.noise = strength * blur, strength * noise

    def __call__(self, pages: Tensor, size: int) -> Tensor:
        """Augment a batch and reduce it to the training size.

        Args:
            pages: uint8 of shape (n, height, width, 3).
            size: Height and width of the result in pixels.

        Returns:
            float32 of shape (n, 3, size, size), about [0, 1]. Random numbers are torch's global ones.
        """
        images = self._move(pages, size) if self.degrees or self.crop else resize(pages, size)
        return self._relight(images)

    def _move(self, pages: Tensor, size: int) -> Tensor:
        n, device = len(pages), pages.device
        side = 1 - self.crop * torch.rand(n, device=device)
        angle = torch.deg2rad(_uniform(n, self.degrees, device))
        theta = torch.zeros(n, 2, 3, device=device)
        theta[:, 0, 0] = theta[:, 1, 1] = side * angle.cos()
        theta[:, 1, 0] = side * angle.sin()
        theta[:, 0, 1] = -theta[:, 1, 0]
        theta[:, :, 2] = _uniform((n, 2), 1.0, device) * (1 - side)[:, None]
        grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
        return F.grid_sample(_to_float(pages), grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _relight(self, images: Tensor) -> Tensor:
        n, device = len(images), images.device
        if self.brightness or self.contrast:
            factor = 1 + _uniform((n, 1, 1, 1), self.contrast, device)
            shift = _uniform((n, 1, 1, 1), self.brightness, device) + 0.5 * (1 - factor)
            images = torch.addcmul(shift, images, factor)
        if self.shading:
            ramp = torch.linspace(-1, 1, images.shape[-1], device=device)
            across, down = _uniform((2, n, 1, 1, 1), self.shading, device)
            images = images + across * ramp + down * ramp[:, None]
        if self.blur:
            share = self.blur * torch.rand(n, 1, 1, 1, device=device)
            images = torch.lerp(images, F.avg_pool2d(images, 3, 1, 1, count_include_pad=False), share)
        if self.noise:
            deviation = self.noise * torch.rand(n, 1, 1, 1, device=device)
            images = torch.addcmul(images, torch.randn_like(images), deviation)
        return images


def _to_float(pages: Tensor) -> Tensor:
    return pages.permute(0, 3, 1, 2).float().div_(255)


def _uniform(shape: int | tuple[int, ...], limit: float, device: torch.device) -> Tensor:
    return (2 * torch.rand(shape, device=device) - 1) * limit
