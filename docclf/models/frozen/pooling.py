"""What a backbone that is not trained says of a page, pooled over the page to numbers."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from docclf.models.backbone import normalisation

_PIXEL_SIDE = 24
_MOST_STAGES = 5
# Channels of a stage whose correlations are taken; of more, so many mixtures.
_MOST_CHANNELS = 48
_STEADY = 1e-3  # of the channels' mean variance, is added to each


class PooledStages(torch.nn.Module):
    """A timm backbone's last features, then means of its stages, then how their channels vary over the page.

    Of each stage the mean of each channel, of the last one the maximum too; and as second-order features the standard
    deviation of each channel, and of all stages but the last the correlations between channels (Gatys, Ecker and
    Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016): what is printed how, wherever it
    stands on the page.

    Args:
        net: The backbone, without a classifier.
        channels: Of its input.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: Any, channels: int) -> None:
        super().__init__()
        self.net = net
        self.n_last = self.n_first_order = 0
        """How many features the net's own classifier would take, and how many are none of second order: the first ones
        each. Known after the first pass."""
        for key, values in zip(("mean", "std"), normalisation(net, channels), strict=True):
            self.register_buffer(key, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features of shape (n, n_features), float32, for images of shape (n, channels, side, side) in [0, 1]."""
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        if not hasattr(self.net, "forward_intermediates"):
            found: Tensor = self.net.forward_head(self.net.forward_features(normalised), pre_logits=True).float()
            self.n_last = self.n_first_order = found.shape[1]
            return found
        final, stages = self.net.forward_intermediates(normalised, indices=self._stages(), output_fmt="NCHW")
        last = self.net.forward_head(final, pre_logits=True)
        means = [stage.mean(dim=(2, 3)) for stage in stages]
        first = torch.cat([last, *means, stages[-1].amax(dim=(2, 3))], dim=1)
        if self.n_last != last.shape[1]:  # torch.export warns of what changes in a forward pass
            self.n_last, self.n_first_order = last.shape[1], first.shape[1]
        centred = [stage.flatten(2) - mean[:, :, None] for stage, mean in zip(stages, means, strict=True)]
        deviations = [channels.square().mean(dim=2).sqrt() for channels in centred]
        return torch.cat([first, *deviations, *map(_correlations, centred[:-1])], dim=1).float()

    def _stages(self) -> list[int] | None:
        """All of them, or of many blocks a few at even distances and the last."""
        n = len(self.net.feature_info)
        if n <= _MOST_STAGES:
            return None
        return sorted({round((i + 1) * n / _MOST_STAGES) - 1 for i in range(_MOST_STAGES)})


def _correlations(channels: Tensor) -> Tensor:
    """Correlation of each pair of channels over the page, in [-1, 1], of shape (n, n_pairs).

    Of more than 48 channels, of as many cosine mixtures of them, which keep what is between channels about as well. A
    channel that hardly varies correlates with none, or rounding errors would decide.

    Args:
        channels: Less their means, of shape (n, n_channels, n_places).
    """
    n = channels.shape[1]
    if n > _MOST_CHANNELS:
        places, number = torch.arange(n) + 0.5, torch.arange(1, _MOST_CHANNELS + 1)[:, None]
        mixtures = (places * number * (math.pi / n)).cos() * math.sqrt(2 / n)
        channels, n = mixtures.to(channels) @ channels, _MOST_CHANNELS
    products = channels @ channels.transpose(1, 2)
    variances = products.diagonal(dim1=1, dim2=2)
    deviations = (variances + _STEADY * variances.mean(dim=1, keepdim=True) + 1e-12).sqrt()
    row, column = torch.triu_indices(n, n, offset=1)
    return (products / (deviations[:, :, None] * deviations[:, None]))[:, row, column]


class Pixels(torch.nn.Module):
    """Grey pixels of a page, 24 x 24 by area: the features of somebody who knows nothing of pictures.

    Args:
        image_size: Height and width of the pages in pixels.
    """

    weights: Tensor

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.register_buffer("weights", resize_matrix(image_size, _PIXEL_SIDE), persistent=False)
        self.n_last = self.n_first_order = _PIXEL_SIDE**2

    def forward(self, images: Tensor) -> Tensor:
        """Grey values of shape (n, 576) in [0, 1] for images of shape (n, channels, side, side) in [0, 1]."""
        grey = images.mean(dim=1)
        return (self.weights @ grey @ self.weights.T).flatten(1)


def resize_matrix(size: int, smaller: int) -> Tensor:
    """Matrix of shape (smaller, size) that reduces one side of images with an antialiased linear filter."""
    return F.interpolate(torch.eye(size)[None, None], (smaller, size), mode="bilinear", antialias=True)[0, 0]
