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
    fused = copy.deepcopy(net).eval()
    images = _images(net, shape)
    expected, pairs = _followers(fused, images)
    if not pairs:
        return net
    for convolution, norm, name in pairs:
        convolution.weight, convolution.bias = _fused_weights(convolution, norm)
        parent, _, own = name.rpartition(".")
        setattr(fused.get_submodule(parent), own, nn.Sequential(*norm.children()))  # what comes after, as a ReLU
    return fused if _is_same(fused(images), expected) else net


@torch.no_grad()
def fuse_in_training(net: nn.Module, shape: tuple[int, int, int]) -> None:
    """Have a net train and validate so; its weights keep values, names and gradients.

    Args:
        net: Trains with the statistics that it has: its batch normalisation is in evaluation mode whenever it computes.
        shape: Channels, height and width of its images.
    """
    was_training, images = net.training, _images(net, shape)
    expected, pairs = _followers(net.eval(), images)
    fused = [(convolution, norm) for convolution, norm, _ in pairs if norm.weight is not None]
    for convolution, norm in fused:
        convolution.forward, norm.forward = _Fused(convolution, norm), nn.Sequential(*norm.children()).forward
    if not _is_same(net(images), expected):
        for module in itertools.chain(*fused):
            vars(module).pop("forward", None)  # of a convolution with two of them, once
    net.train(was_training)


class _Fused:
    """A convolution with the batch normalisation after it, of the weights that both have at the time."""

    def __init__(self, convolution: Any, norm: Any) -> None:
        self.convolution, self.norm = convolution, norm
        self.twin = copy.deepcopy(convolution)
        del self.twin.weight, self.twin.bias

    def __call__(self, images: Tensor) -> Tensor:
        norm, bias = self.norm, self.convolution.bias
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        self.twin.weight = self.convolution.weight * scale.reshape(-1, 1, 1, 1)
        self.twin.bias = norm.bias + ((0.0 if bias is None else bias) - norm.running_mean) * scale
        computed: Tensor = self.twin(images)
        return computed


def _images(net: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """Two to try a net with."""
    tensors = itertools.chain(net.parameters(), net.buffers())
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    return images.to(next((tensor for tensor in tensors if tensor.is_floating_point()), images))


def _fused_weights(convolution: Any, norm: Any) -> tuple[nn.Parameter, nn.Parameter]:
    weights = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    return fuse_conv_bn_weights(convolution.weight, convolution.bias, *weights)


def _is_same(found: Tensor, expected: Tensor) -> bool:
    """More differs where the output of a convolution goes elsewhere too."""
    return bool((found - expected).abs().max() <= _TOLERANCE * expected.abs().max())


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
