"""Pages worn by the library Augraphy are worn as `BatchAugment` promises, and leave nothing behind."""

import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from slowly import slowly
from torch import Tensor

from docclf.data.augment import augraphy
from docclf.data.augment.augraphy import AugraphyAugment
from docclf.data.augment.batch import BatchAugment, resize
from docclf.errors import ConfigError

SEEDS = 4  # with 6 pages each, every effect is met


def page(channels: int = 3, size: int = 112) -> Tensor:
    """Dark lines on light paper, uint8 of shape (1, size, size, channels)."""
    drawn = torch.full((1, size, size, channels), 235, dtype=torch.uint8)
    drawn[:, size // 10 : -size // 10 : 8, size // 10 : -size // 10] = 30
    return drawn


def worn(augment: AugraphyAugment, pages: Tensor, seed: int = 1, size: int = 96) -> Tensor:
    torch.manual_seed(seed)
    return augment.view(pages, size)[0]


@pytest.fixture(scope="module")
def augment() -> AugraphyAugment:
    return AugraphyAugment()


@pytest.mark.parametrize("channels", [1, *slowly(3)])
def test_the_same_seed_gives_the_same_batch_and_another_another(augment: AugraphyAugment, channels: int) -> None:
    pages = page(channels).repeat(6, 1, 1, 1)
    batches = [worn(augment, pages, seed) for seed in range(SEEDS)]
    assert not any(torch.equal(a, b) for i, a in enumerate(batches) for b in batches[:i])
    random.seed(7)  # the generators that Augraphy draws from, somewhere else
    np.random.seed(7)
    other = AugraphyAugment()  # whose effects have seen no page yet
    for seed in reversed(range(SEEDS)):
        assert torch.equal(worn(other, pages, seed), batches[seed]), seed


def test_batches_of_one_run_differ(augment: AugraphyAugment) -> None:
    pages = page().repeat(4, 1, 1, 1)
    first = worn(augment, pages)
    assert not torch.equal(first, augment.view(pages, 96)[0])


def test_every_effect_that_is_used_changes_a_page_and_the_same_from_the_same_seed() -> None:
    """Each alone, as what one of them draws would hide behind another."""
    drawn = page()[0].numpy()
    kinds = augraphy._make_effects()
    assert [len(effects) for effects in kinds] == [4, 4, 4]
    for effect in (effect for effects in kinds for effect in effects):
        results = []
        for seed in (1, 2, 3, 1):
            augraphy._seed_all(seed)
            results.append(effect(drawn.copy()))
            assert results[-1].dtype == np.uint8, effect
        assert np.array_equal(results[0], results[-1]), effect
        assert any(result.shape != drawn.shape or (result != drawn).any() for result in results), effect


@pytest.mark.parametrize(("channels", "kept", "size"), [(1, 112, 96), (3, 37, 30), (3, 24, 24), (1, 8, 8)])
def test_pages_become_float_images_of_the_training_size(
    augment: AugraphyAugment, channels: int, kept: int, size: int
) -> None:
    for n in (1, 6):
        images = worn(augment, page(channels, kept).repeat(n, 1, 1, 1), size=size)
        assert images.shape == (n, channels, size, size) and images.dtype == torch.float32
        assert images.min() >= 0 and images.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_nearly_all_pages_are_changed_each_differently_and_stay_readable(
    augment: AugraphyAugment, channels: int
) -> None:
    pages = page(channels).repeat(16, 1, 1, 1)
    before = pages.clone()
    images, plain = worn(augment, pages), resize(pages, 96)
    change = (images - plain).abs().mean(dim=(1, 2, 3))
    assert (change > 0.005).sum() >= 12  # 0.3^3 = 3 % have none of the three effects
    assert len(torch.unique(images.flatten(1), dim=0)) >= 12
    likeness = [np.corrcoef(image.flatten(), plain[0].flatten())[0, 1] for image in images.numpy()]
    assert np.median(likeness) > 0.5
    assert torch.equal(pages, before), "what is kept for the next epoch stays"


def test_strength_0_only_resizes() -> None:
    pages = page().repeat(4, 1, 1, 1)
    assert torch.equal(worn(AugraphyAugment(strength=0, degrees=10, crop=0.2), pages), resize(pages, 96))


def test_strength_is_the_share_of_pages_that_are_worn() -> None:
    shares = []
    for strength, n in ((0.3, 64), (5.0, 24)):
        pages = page(size=24).repeat(n, 1, 1, 1)
        images = worn(AugraphyAugment(strength=strength), pages, size=24)
        shares.append(((images - resize(pages, 24)).abs().amax(dim=(1, 2, 3)) > 0).float().mean().item())
    assert 0.1 < shares[0] < 0.5 and shares[1] > 0.75


def test_the_ranges_of_the_other_augmentations_apply_too() -> None:
    """All pages mirrored, at a strength at which one page of a thousand is worn."""
    pages = page()
    pages[:, :50] = 90  # so that it is not its own mirror image
    pages = pages.repeat(4, 1, 1, 1)
    mirrored, _ = BatchAugment(flips=1).view(pages, 96)
    assert torch.equal(worn(AugraphyAugment(strength=0.001, flips=1000), pages), mirrored)


def test_the_folder_of_the_command_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    augment = AugraphyAugment()
    for seed in range(SEEDS):
        worn(augment, page().repeat(6, 1, 1, 1), seed)
    assert list(tmp_path.iterdir()) == [], "no augraphy_cache"


def test_the_option_composes_and_wears_pages(compose_config: Callable[..., DictConfig]) -> None:
    augment = instantiate(compose_config("augment=augraphy", "augment.strength=0.5").augment)
    assert isinstance(augment, AugraphyAugment)
    images = worn(augment, page().repeat(4, 1, 1, 1))
    assert images.shape == (4, 3, 96, 96) and not torch.equal(images, resize(page().repeat(4, 1, 1, 1), 96))


def test_without_the_package_an_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "augraphy", None)
    with pytest.raises(ConfigError) as refused:
        AugraphyAugment()
    assert "pip install 'docclf[augraphy]'" in str(refused.value) and "augment=photo" in str(refused.value)
