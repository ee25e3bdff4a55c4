"""What frozen features say of a page, against NumPy on the maps of a net."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from docclf.models.frozen.features import FrozenBackbone
from docclf.models.frozen.pooling import PooledStages


def net_of(name: str, side: int) -> PooledStages:
    net = FrozenBackbone(name, side, pretrained=False).build()
    assert isinstance(net, PooledStages)
    return net


def maps_of(net: PooledStages, images: torch.Tensor) -> list[NDArray[np.float64]]:
    """Of each stage that counts, of shape (n, channels, places)."""
    _, stages = net.net.forward_intermediates((images - net.mean) / net.std, indices=net._stages(), output_fmt="NCHW")
    return [stage.flatten(2).double().numpy() for stage in stages]


@torch.inference_mode()
@pytest.mark.parametrize(("name", "side"), [("test_efficientnet", 64), ("test_vit", 160)])
def test_second_order_features_are_deviations_and_correlations_over_the_page(name: str, side: int) -> None:
    net, images = net_of(name, side), torch.rand(3, 3, side, side)
    found = net(images).numpy()[:, net.n_first_order :]
    stages = maps_of(net, images)
    deviations = np.concatenate([stage.std(axis=2) for stage in stages], axis=1)
    n = deviations.shape[1]
    np.testing.assert_allclose(found[:, :n], deviations, rtol=1e-3, atol=1e-5)
    for stage in stages[:-1]:
        channels = stage.shape[1]
        assert channels <= 48 or name == "test_vit"
        if channels > 48:
            places, number = np.arange(channels) + 0.5, np.arange(1, 49)[:, None]
            stage = np.cos(np.pi * places * number / channels) @ stage
        pairs = np.triu_indices(stage.shape[1], 1)
        expected = np.stack([np.corrcoef(page)[pairs] for page in stage])
        variances = stage.var(axis=2)
        varies = variances > 0.05 * variances.mean(axis=1, keepdims=True)
        both = varies[:, pairs[0]] & varies[:, pairs[1]]  # others are drawn towards 0
        part, n = found[:, n : n + len(pairs[0])], n + len(pairs[0])
        assert both.sum() > 100 and np.abs(part).max() <= 1.001
        np.testing.assert_allclose(part[both], expected[both], atol=0.03)
        assert (np.abs(part) <= np.abs(expected) + 1e-3)[~both].all()
    assert n == found.shape[1]


@torch.inference_mode()
def test_an_empty_page_and_one_of_another_batch_have_the_same_numbers() -> None:
    """A channel that does not vary correlates with none, where 0 / 0 would be, and rounding errors decide nothing."""
    net = net_of("test_efficientnet", 64)
    pages = torch.cat([torch.ones(1, 3, 64, 64), torch.zeros(1, 3, 64, 64), torch.rand(2, 3, 64, 64)])
    together = net(pages)
    alone = torch.cat([net(page[None]) for page in pages])
    assert bool(together.isfinite().all())
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
