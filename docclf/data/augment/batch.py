"""Augmentation of whole batches, on the device that trains."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from docclf.data.augment import wear
from docclf.data.augment.warp import random_warps, warp


def resize(pages: Tensor, size: int, aspects: Tensor | None = None) -> Tensor:
    """Reduce a batch to the training size without augmentation.

    Args:
        pages: uint8 of shape (n, height, width, channels), squeezed.
        size: Height and width of the result in pixels.
        aspects: Width of each page over its height, shape (n,): pages get their proportions back, with white at two
            sides (letterbox). None leaves them squeezed.

    Returns:
        float32 of shape (n, channels, size, size) in [0, 1].
    """
    if aspects is not None:
        return torch.cat([_letterbox(page, size, aspect) for page, aspect in zip(pages, aspects.tolist(), strict=True)])
    return _interpolate(pages, (size, size))


def _interpolate(pages: Tensor, size: tuple[int, int]) -> Tensor:
    if pages.device.type == "cpu":  # where bytes are reduced about 10 times as fast as floats
        return F.interpolate(pages.permute(0, 3, 1, 2), size, mode="bilinear", antialias=True).float().div_(255)
    return F.interpolate(_to_float(pages), size, mode="bilinear", antialias=True)


def _letterbox(page: Tensor, size: int, aspect: float) -> Tensor:
    """One page of shape (height, width, channels) on white, shape (1, channels, size, size)."""
    height, width = (max(1, round(size * min(1.0, share))) for share in (1 / aspect, aspect))
    left, top = (size - width) // 2, (size - height) // 2
    sides = (left, size - width - left, top, size - height - top)
    return F.pad(_interpolate(page[None], (height, width)), sides, value=1.0)


def _effects(most: Mapping[str, float]) -> list[Callable[[Tensor], Tensor]]:
    """Those that are on, in the order in which a page meets them: paper, light, camera, file."""
    effects: list[tuple[Callable[..., Tensor], dict[str, float]]] = [
        (wear.fade, {"amount": min(most["fading"], 1.0)}),
        (wear.stain, {"amount": min(most["stains"], 1.0)}),
        (wear.crease, {"amount": most["creases"]}),
        (wear.erase, {"amount": most["erasing"]}),
        (wear.relight, {"brightness": most["brightness"], "contrast": most["contrast"]}),
        (wear.shade, {"amount": most["shading"]}),
        (wear.cast_shadow, {"amount": min(most["shadow"], 1.0)}),
        (wear.blur, {"amount": most["blur"]}),
        (wear.add_noise, {"amount": most["noise"]}),
        (wear.quantise_blocks, {"amount": most["jpeg"]}),
    ]
    return [partial(effect, **amounts) for effect, amounts in effects if any(amounts.values())]


class BatchAugment:
    """Random changes of geometry, light, paper and file, drawn for each page, applied to a batch at once.

    All but `strength`, `mixup` and `cutmix` are largest values or shares of pages, see `docclf.data.augment.warp` and
    `docclf.data.augment.wear`; 0 switches one off, at no cost.

    Args:
        strength: Factor on every one of them.
        degrees, quarter_turns, flips, crop, perspective: See `docclf.data.augment.warp.random_warps`.
        brightness, contrast: See `docclf.data.augment.wear.relight`.
        shading, shadow, fading, blur, noise, jpeg, creases, stains, erasing: See `docclf.data.augment.wear`.
        mixup, cutmix: Beta distribution's parameter of timm's `Mixup`; one of the two is drawn for each batch.
    """

    def __init__(
        self,
        *,
        strength: float = 1.0,
        degrees: float = 0.0,
        quarter_turns: float = 0.0,
        flips: float = 0.0,
        crop: float = 0.0,
        perspective: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        shading: float = 0.0,
        shadow: float = 0.0,
        fading: float = 0.0,
        blur: float = 0.0,
        noise: float = 0.0,
        jpeg: float = 0.0,
        creases: float = 0.0,
        stains: float = 0.0,
        erasing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        given = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        self.identity = f"{type(self).__name__} {sorted(given.items())}"
        """Says all that the changes depend on, but for random numbers."""
        most = {key: strength * value for key, value in given.items()}
        largest = {"degrees": math.inf, "quarter_turns": 1.0, "flips": 1.0, "crop": 0.9, "perspective": 0.9}
        self._geometry = {key: min(most[key], limit) for key, limit in largest.items()}
        self._effects = _effects(most)
        self._mixing = {"mixup_alpha": mixup, "cutmix_alpha": cutmix}

    def view(
        self, pages: Tensor, size: int, aspects: Tensor | None = None, *, letterbox: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Augment a batch and reduce it to the training size.

        Args:
            pages: uint8 of shape (n, height, width, channels), squeezed.
            size: Height and width of the result in pixels.
            aspects: Width of each page over its height, shape (n,); None for 1.
            letterbox: Give pages their proportions back, with white around them.

        Returns:
            float32 of shape (n, channels, size, size), about [0, 1], and the aspect ratios, the other way round where a
            page lies on its side. Random numbers are torch's global ones.
        """
        aspects = torch.ones(len(pages), device=pages.device) if aspects is None else aspects
        if any(self._geometry.values()):
            matrices = random_warps(len(pages), **self._geometry, device=pages.device)
            images = warp(_to_float(pages), _to_page(matrices, aspects) if letterbox else matrices, size, letterbox)
            aspects = torch.where(matrices[:, 0, 1].abs() > matrices[:, 0, 0].abs(), 1 / aspects, aspects)
        else:
            images = resize(pages, size, aspects if letterbox else None)
        for effect in self._effects:
            images = effect(images)
        return images, aspects

    def mix(self, images: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        """Blend pages and their labels, where `mixup` or `cutmix` asks for it.

        Args:
            images: Of shape (n, channels, size, size), changed in place.
            labels: int64 of shape (n,).
            n_classes: Number of classes.

        Returns:
            The images, and labels as they are or as probabilities of shape (n, n_classes).
        """
        even = len(images) // 2 * 2  # timm pairs the first with the last, the second with the last but one
        if not any(self._mixing.values()) or not even:
            return images, labels
        from timm.data.mixup import Mixup

        mixer = Mixup(**self._mixing, label_smoothing=0.0, num_classes=n_classes)  # type: ignore[no-untyped-call]
        images[:even], mixed = mixer(images[:even], labels[:even])
        rest = F.one_hot(labels[even:], n_classes).to(mixed.dtype)
        return images, torch.cat([mixed, rest])


def _to_page(matrices: Tensor, aspects: Tensor) -> Tensor:
    """Homographies into squeezed pages instead of their letterboxes."""
    sides = torch.stack([aspects.reciprocal(), aspects, torch.ones_like(aspects)], dim=1).clamp_min(1.0)
    return sides[:, :, None] * matrices


def _to_float(pages: Tensor) -> Tensor:
    return pages.permute(0, 3, 1, 2).float().div_(255)
