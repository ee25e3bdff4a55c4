"""What is in `model.yaml`, beside the weights of a trained classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HeadDescription:
    """What is in `model.yaml` of a head.

    Attributes:
        fraction: Its part of the mean of head and nets, in [0, 1]; at 0 its features alone count, see `docclf.doubt`.
        sides: Heights and widths in pixels of the views whose features it takes.
        stages: Whether it takes features of earlier stages.
        aspect: Whether it takes the pages' aspect ratio.
        weights: File of its weights beside `model.yaml`.
        backbone: File of the frozen backbone; None where the features are pixels.
    """

    fraction: float
    sides: list[int]
    stages: bool
    aspect: bool
    weights: str = "head.safetensors"
    backbone: str | None = "backbone.safetensors"


@dataclass(frozen=True)
class Description:
    """What is in `model.yaml`.

    Attributes:
        backbone: Name of a timm model.
        targets: What the user writes for each class, in the order of the outputs.
        class_names: What each class is called in tables and pictures.
        image_size: Height and width in pixels that the backbone sees.
        decoded_size: Height and width in pixels that pages are decoded to before.
        channels: 3 for RGB, 1 for grey.
        mean: Of each channel, to normalise pages in [0, 1] with.
        std: Of each channel, likewise.
        temperature: Divides the logits of each member; 1 leaves probabilities as they are.
        members: Files of weights of fine-tuned nets beside `model.yaml`; none where there is a head alone.
        fit: `squeeze` or `letterbox`, see `docclf.data.module.PageDataModule`.
        head: A linear classifier on frozen features, which the nets are averaged with; None without one.
        doubt: File of what says when the model is not sure, see `docclf.doubt`; None in a model of before.
        source: Where it comes from, for people.
    """

    backbone: str
    targets: list[str]
    class_names: list[str]
    image_size: int
    decoded_size: int
    channels: int
    mean: list[float]
    std: list[float]
    temperature: float = 1.0
    members: list[str] = field(default_factory=list)
    fit: str = "squeeze"
    head: HeadDescription | None = None
    doubt: str | None = None
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """All files of weights beside `model.yaml`."""
        of_head = [] if self.head is None else [self.head.weights, self.head.backbone]
        return [*self.members, *(name for name in (*of_head, self.doubt) if name is not None)]

    @property
    def mixes_head(self) -> bool:
        """Whether the probabilities are also those of a head."""
        return self.head is not None and self.head.fraction > 0


def described_by(content: Mapping[str, Any]) -> Description:
    """What a `model.yaml` says.

    Args:
        content: Of the file.

    Raises:
        Exception: It is damaged; dataclasses have one each for that.
    """
    found = {**content}
    head = HeadDescription(**found.pop("head")) if found.get("head") else None
    return Description(**{**found, "head": head})
