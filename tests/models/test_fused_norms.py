"""Batch normalisation that is fused into convolutions: the same numbers, and only where that is so."""

import pytest
import timm
import torch
from torch import Tensor, nn

from docclf.models.frozen.pooling import Pixels
from docclf.models.fused_norms import fuse_batch_norm


def with_statistics(net: nn.Module) -> nn.Module:
    """A net whose batch normalisation does something, as that of a trained one."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def norms(net: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def outputs(*nets: nn.Module) -> list[Tensor]:
    with torch.no_grad():
        return [net(torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))) for net in nets]


@pytest.mark.parametrize("name", ["test_resnet", "tf_efficientnet_lite0", "mobilenetv2_100", "test_byobnet"])
def test_fused_nets_compute_the_same(name: str) -> None:
    net = with_statistics(timm.create_model(name, num_classes=5))
    before, state = norms(net), net.state_dict()
    fused = fuse_batch_norm(net, (3, 64, 64))
    assert before > 0 == norms(fused)
    expected, found = outputs(net, fused)
    assert torch.allclose(found, expected, atol=1e-5 * float(expected.abs().max()))
    assert norms(net) == before and state.keys() == net.state_dict().keys()


@pytest.mark.parametrize("name", ["test_vit", "test_nfnet", "test_efficientnet_evos"])
def test_nets_without_batch_normalisation_stay(name: str) -> None:
    net = timm.create_model(name, num_classes=5).eval()
    assert fuse_batch_norm(net, (3, 160, 160)) is net


class Twice(nn.Module):
    """Batch normalisation of a convolution whose output goes elsewhere too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.conv(images)
        return found + self.norm(found)


class Shared(nn.Module):
    """One convolution with two batch normalisations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norms = nn.Conv2d(3, 4, 3), nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])

    def forward(self, images: Tensor) -> Tensor:
        return sum((norm(self.conv(images)) for norm in self.norms), torch.zeros(()))


@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalisation_without_scales_is_fused_too(affine: bool) -> None:
    net = with_statistics(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=affine), nn.ReLU()))
    fused = fuse_batch_norm(net, (3, 64, 64))
    expected, found = outputs(net, fused)
    assert (norms(net), norms(fused)) == (1, 0) and torch.allclose(found, expected, atol=1e-5)


def test_a_net_of_constants_alone_is_looked_at_where_they_are() -> None:
    pixels = Pixels(64).to("meta")  # any device but the CPU
    assert fuse_batch_norm(pixels, (3, 64, 64)) is pixels


@pytest.mark.parametrize("make", [Twice, Shared])
def test_nets_that_fusing_would_change_stay(make: type[nn.Module]) -> None:
    net = with_statistics(make())
    assert fuse_batch_norm(net, (3, 16, 16)) is net


def test_the_seeds_of_a_training_do_not_move() -> None:
    torch.manual_seed(3)
    net = Twice()
    expected = torch.rand(1)
    torch.manual_seed(3)
    Twice()
    fuse_batch_norm(net, (3, 16, 16))
    assert torch.equal(torch.rand(1), expected)
