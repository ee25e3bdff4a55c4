"""Batch normalisation that is fused into convolutions: the same numbers, and only where that is so."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from docclf.models.frozen.pooling import Pixels
from docclf.models.fused_norms import fuse_batch_norm, fuse_in_training


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


def gradients(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    net.zero_grad()
    net(images).square().sum().backward()
    return {name: weight.grad for name, weight in net.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("is_copied", [False, True])
@pytest.mark.parametrize("name", ["test_resnet", "tf_efficientnet_lite0", "test_byobnet"])
def test_nets_that_train_with_fixed_statistics_get_the_same_gradients(name: str, is_copied: bool) -> None:
    given = with_statistics(timm.create_model(name, num_classes=5)).double()
    net = copy.deepcopy(given)
    fuse_in_training(net, (3, 64, 64))
    net = copy.deepcopy(net) if is_copied else net
    assert net.state_dict().keys() == given.state_dict().keys()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and all("forward" in vars(norm) for norm in norms)
    images = torch.rand(3, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for _ in range(2):  # the second after a step, with other weights
        expected, found = gradients(given, images), gradients(net, images)
        assert found.keys() == expected.keys()
        for key, value in found.items():
            assert torch.allclose(value, expected[key], atol=1e-9 * float(expected[key].abs().max())), key
        with torch.no_grad():
            for one in (given, net):
                for name, weight in one.named_parameters():
                    weight -= 0.001 * expected[name].sign()


@pytest.mark.parametrize("make", [Twice, Shared])
def test_nets_that_fusing_would_change_train_as_they_did(make: type[nn.Module]) -> None:
    net = with_statistics(make())
    images = torch.rand(2, 3, 16, 16)
    expected = net(images)
    fuse_in_training(net, (3, 16, 16))
    assert torch.equal(net(images), expected) and not [m for m in net.modules() if "forward" in vars(m)]


@pytest.mark.parametrize("name", ["test_vit", "test_nfnet", "test_efficientnet_evos"])
def test_nets_without_batch_normalisation_stay(name: str) -> None:
    net = timm.create_model(name, num_classes=5).eval()
    assert fuse_batch_norm(net, (3, 160, 160)) is net


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
