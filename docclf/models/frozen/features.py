"""Frozen features of pages: what a backbone that is not trained sees in them, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from docclf.models.backbone import has_one_size, make_net, with_weights
from docclf.models.frozen.head import HeadOptions
from docclf.models.frozen.pooling import Pixels, PooledStages, resize_matrix
from docclf.models.process import prepare_cpu
from docclf.models.weights import Weights, find_weights

# Features of one batch of images: by backbone and side of the view, so that heads on the same ones share them.
Passes = dict[tuple[int, int], Tensor]
# A "backbone" that knows nothing: grey pixels.
PIXELS = "pixels"
_STEP = 32  # sides of smaller views are multiples of it, as strides of backbones are


@dataclass(frozen=True)
class FrozenBackbone:
    """What features come from."""

    name: str  # of a timm model, or `pixels`: 24 x 24 grey pixels
    image_size: int  # height and width in pixels of the pages
    channels: int = 3  # 3 for RGB, 1 for grey
    pretrained: bool | str = "auto"  # see `docclf.models.weights.find_weights`
    checkpoint_path: str | None = None  # likewise

    @property
    def weights(self) -> Weights:
        """Where the weights come from."""
        if self.name == PIXELS:
            return Weights("random", "none", "none")
        return find_weights(self.name, pretrained=self.pretrained, checkpoint_path=self.checkpoint_path)

    @property
    def identity(self) -> str:
        """Says all that features of a page depend on beside the page and the side of its view."""
        weights = self.weights
        seed = "" if weights.are_trained else " seed 0"
        return f"{self.name} {self.channels}ch {weights.identity}{seed}"

    def build(self) -> torch.nn.Module:
        """The backbone, in evaluation mode.

        Raises:
            ConfigError: timm has no such model, or its weights cannot be had.
        """
        prepare_cpu()
        if self.name == PIXELS:
            return Pixels(self.image_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            weights: dict[str, Any] = {"pretrained": self.pretrained, "checkpoint_path": self.checkpoint_path}
            net, _ = with_weights(self.name, (0, self.image_size, self.channels), **weights)
        return _frozen(net, self.channels)

    def sides(self, scales: Sequence[float]) -> list[int]:
        """Heights and widths in pixels of the views that scales name, each once; one for a net of one input size.

        >>> FrozenBackbone("resnet18", 320).sides([1.0, 0.7]), FrozenBackbone("pixels", 96).sides([1.0, 0.7])
        ([320, 224], [96])
        """
        found = [min(self.image_size, max(_STEP, _STEP * round(self.image_size * scale / _STEP))) for scale in scales]
        found = [self.image_size if scale == 1 else side for scale, side in zip(scales, found, strict=True)]
        return [self.image_size] if self.name == PIXELS or has_one_size(self.name) else list(dict.fromkeys(found))


class MultiScaleFeatures(torch.nn.Module):
    """Features of pages at several sizes, beside each other, and their aspect ratio.

    Args:
        image_size: Height and width of the pages in pixels.
        sides: Of the views, in pixels.
        options: Which of the features count; if the aspect ratio does, its logarithm is the last one.
    """

    def __init__(self, backbone: torch.nn.Module, image_size: int, sides: Sequence[int], options: HeadOptions) -> None:
        super().__init__()
        self.backbone, self.sides, self.options = backbone, list(sides), options
        for side in self.sides:
            self.register_buffer(f"reduce_{side}", resize_matrix(image_size, side), persistent=False)

    def forward(self, images: Tensor, aspects: Tensor, passes: Passes | None = None) -> Tensor:
        """Features of shape (n, n_features).

        Args:
            images: Of shape (n, channels, image_size, image_size) in [0, 1].
            aspects: Width over height, shape (n,).
            passes: What is known of these images; what is not is added.
        """
        passes = {} if passes is None else passes
        for side in self.sides:
            if (key := (id(self.backbone), side)) not in passes:
                passes[key] = self.backbone(reduced(images, getattr(self, f"reduce_{side}")))
        net: Any = self.backbone
        width = counted(net.n_last, net.n_first_order, self.options)
        parts = [passes[id(net), side][:, :width] for side in self.sides]
        if self.options.sqrt:
            n = net.n_first_order
            roots = [part[:, :n].sign() * part[:, :n].abs().sqrt() for part in parts]
            parts = [torch.cat([root, part[:, n:]], dim=1) for root, part in zip(roots, parts, strict=True)]
        if self.options.aspect:
            parts.append(log_aspects(aspects)[:, None])
        return torch.cat(parts, dim=1)


def reduced(images: Tensor, weights: Tensor) -> Tensor:
    """Square images at another side, by the matrix of `docclf.models.frozen.pooling.resize_matrix` for it."""
    return images if len(weights) == images.shape[-1] else torch.matmul(torch.matmul(weights, images), weights.T)


def counted(n_last: int, n_first_order: int, options: HeadOptions) -> int | None:
    """How many of a backbone's features count, the first ones; None for all."""
    if not options.stages:
        return n_last
    return None if options.second_order else n_first_order


def log_aspects(aspects: Tensor) -> Tensor:
    """Natural logarithm of width over height, within a factor of 20 either way."""
    return aspects.float().clamp(0.05, 20.0).log()  # both floats, or torch.onnx finds no operation


def make_frozen(name: str, image_size: int, channels: int) -> Pixels | PooledStages:
    """A frozen backbone without the weights that it has in a model's folder; `pixels` needs none."""
    return Pixels(image_size) if name == PIXELS else _frozen(make_net(name, 0, image_size, channels), channels)


def _frozen(net: Any, channels: int) -> PooledStages:
    return PooledStages(net, channels).eval().requires_grad_(False).to(memory_format=torch.channels_last)
