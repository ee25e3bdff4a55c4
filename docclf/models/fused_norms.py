"""Batch normalisation in the convolutions before it: the same numbers, sooner by up to a third on a CPU."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

# Whose weights are what they compute with: of others, as standardised convolutions, they are not.
_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)
_TOLERANCE = 1e-3  # of the largest number; fusing was seen to change 1e-6 of it


@torch.no_grad()
def fuse_batch_norm(net: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """A net in evaluation mode for predictions alone; it itself where nothing can be fused.

    Args:
        net: Takes images of shape (n, channels, height, width) and returns numbers; it is left as it is.
        shape: Channels, height and width of its images.
    """
    tensors = itertools.chain(net.parameters(), net.buffers())
    device = next((tensor.device for tensor in tensors), torch.device("cpu"))
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    fused = copy.deepcopy(net).eval()
    expected, pairs = _followers(fused, images)
    if not pairs:
        return net
    for convolution, norm, name in pairs:
        weights = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
        convolution.weight, convolution.bias = fuse_conv_bn_weights(convolution.weight, convolution.bias, *weights)
        parent, _, own = name.rpartition(".")
        setattr(fused.get_submodule(parent), own, nn.Sequential(*norm.children()))  # what comes after, as a ReLU
    found = fused(images)
    gap = (found - expected).abs().max()
    # More where the output of a convolution goes elsewhere too.
    return fused if gap <= _TOLERANCE * expected.abs().max() else net


def _followers(net: nn.Module, images: Tensor) -> tuple[Tensor, list[tuple[Any, Any, str]]]:
    """A net's output, and its convolutions with the batch normalisation that gets theirs, and its name."""
    made: dict[int, tuple[nn.Module, Tensor]] = {}  # outputs are kept, or another gets the same address
    pairs: list[tuple[Any, Any, str]] = []

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        made[id(output)] = module, output

    def pair(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and id(inputs[0]) in made:  # what comes by keyword is left as it is
            pairs.append((made[id(inputs[0])][0], module, name))

    hooks = [module.register_forward_hook(note) for module in net.modules() if type(module) in _CONVOLUTIONS]
    for name, module in net.named_modules():
        if type(module) in _NORMS and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(lambda *args, name=name: pair(name, *args)))
    expected: Tensor = net(images)
    for hook in hooks:
        hook.remove()
    return expected, pairs
