"""Trained nets and heads as one classifier, and several classifiers as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from docclf.inference.description import Description, InputFormat
from docclf.models.frozen.features import MultiScaleFeatures, Passes


class FrozenHead(torch.nn.Module):
    """A linear classifier on frozen features of pages."""

    def __init__(self, views: MultiScaleFeatures, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.views, self.linear = views, linear


class FoldEnsemble(torch.nn.Module):
    """The mean of its members' probabilities; with a head, each member's are averaged with those of the head before.

    Args:
        nets: timm backbones.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, nets: Sequence[torch.nn.Module], description: Description, head: FrozenHead | None = None
    ) -> None:
        super().__init__()
        self.nets, self.description, self.head = torch.nn.ModuleList(nets), description, head
        for name in ("mean", "std"):
            values = torch.tensor(getattr(description, name), dtype=torch.float32)
            self.register_buffer(name, values.reshape(-1, 1, 1), persistent=False)
        self.eval()

    def features(self, images: Tensor, aspects: Tensor, passes: Passes | None = None) -> Tensor:
        """Frozen features of pages, see `docclf.models.frozen.features.MultiScaleFeatures`; there must be a head."""
        assert self.head is not None
        found: Tensor = self.head.views(images, aspects, passes)
        return found

    def forward(
        self,
        images: Tensor,
        aspects: Tensor | None = None,
        *,
        calibrated: bool = False,
        passes: Passes | None = None,
    ) -> Tensor:
        """Class probabilities of shape (n, n_classes); rows sum to 1.

        The temperature was fitted to out-of-fold predictions, each of one member alone, and so it is each member's. A
        mean is less confident already: divided by it again, it would be far too unsure. Where a temperature
        can be fitted to the mean itself, on further pages, that is better than either (arXiv 2007.08792).

        Args:
            images: Of shape (n, channels, image_size, image_size) in [0, 1].
            aspects: Width of each page over its height, shape (n,); None for 1.
            calibrated: At the temperature of the description.
            passes: See `docclf.models.frozen.features.MultiScaleFeatures`.
        """
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        temperature = self.description.temperature if calibrated else 1.0
        logits = [net(normalised).float() for net in self.nets]
        if self.head is not None and self.description.mixes_head:
            assert self.description.head is not None
            aspects = torch.ones_like(images[:, 0, 0, 0]) if aspects is None else aspects
            own, fraction = self.head.linear(self.features(images, aspects, passes)), self.description.head.fraction
            logits = [_mean_logits(one, own, fraction) for one in logits] or [own]
        return torch.stack([(one / temperature).softmax(dim=1) for one in logits]).mean(dim=0)


class TrialEnsemble(torch.nn.Module):
    """The weighted mean of several models' probabilities, which may see pages at other sizes and in other proportions.

    Those that share a frozen backbone and see pages alike share its features.

    Args:
        parts: The models, as `description.parts` has them.
    """

    def __init__(self, parts: Sequence[FoldEnsemble], description: Description) -> None:
        super().__init__()
        self.parts, self.description = torch.nn.ModuleList(parts), description
        self.eval()

    def forward(self, *inputs: Tensor, calibrated: bool = False) -> Tensor:
        """Class probabilities of shape (n, n_classes); rows sum to 1.

        Args:
            inputs: Images as for `FoldEnsemble`, one for each of `description.views`, and last the aspect ratios of
                the pages; without these, all are 1.
            calibrated: At the temperature of the description, which was fitted to the mean.
        """
        views = self.description.views
        aspects = inputs[len(views)] if len(inputs) > len(views) else None
        seen: dict[InputFormat, tuple[Tensor, Passes]] = {view: (inputs[i], {}) for i, view in enumerate(views)}
        mean = torch.zeros((), device=inputs[0].device)
        for part, described in zip(self.parts, self.description.parts, strict=True):
            images, passes = seen[described.view]
            mean = mean + described.weight * part(images, aspects, passes=passes)
        return (mean.clamp_min(1e-12).log() / self.description.temperature).softmax(dim=1) if calibrated else mean


def _mean_logits(logits: Tensor, others: Tensor, fraction: float) -> Tensor:
    """Logarithm of the mean of two sets of probabilities; `fraction` is the part of the others."""
    mean = (1 - fraction) * logits.softmax(dim=1) + fraction * others.softmax(dim=1)
    return mean.clamp_min(1e-12).log()
