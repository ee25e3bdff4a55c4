"""What is in `model.yaml`, the description of a model's folder, and how several models become one folder."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from docclf.files import link, replacing
from docclf.safety.untrusted import inside, read_yaml

FOLDER = "model"
NAME = "model.yaml"
DOUBT = "doubt.npz"
_MOST_BYTES = 8_000_000
# What the parts of an ensemble have in common.
_SHARED = ("targets", "class_names", "channels")


class InputFormat(NamedTuple):
    """How a model sees a page: decoded to a square, then reduced, squeezed or with its proportions (`letterbox`)."""

    decoded_size: int
    image_size: int
    fit: str


@dataclass(frozen=True)
class HeadDescription:
    """What is in `model.yaml` of a head."""

    fraction: float  # its part of the mean of head and nets, in [0, 1]; at 0 its features alone count, for `doubt.py`
    sides: list[int]  # heights and widths in pixels of the views whose features it takes
    stages: bool  # whether it takes features of earlier stages
    aspect: bool  # whether it takes the pages' aspect ratio
    sqrt: bool = False  # whether it takes the signed square roots of the features
    second_order: bool = False  # whether it takes features of second order
    weights: str = "head.safetensors"  # file of its weights beside `model.yaml`
    backbone: str | None = "backbone.safetensors"  # file of the frozen backbone; None where the features are pixels


@dataclass(frozen=True)
class Description:
    """What is in `model.yaml`."""

    backbone: str  # name of a timm model
    targets: list[str]  # what the user writes for each class, in the order of the outputs
    class_names: list[str]  # what each class is called in tables and pictures
    image_size: int  # height and width in pixels that the backbone sees
    decoded_size: int  # height and width in pixels that pages are decoded to before
    channels: int  # 3 for RGB, 1 for grey
    mean: list[float]  # of each channel, to normalise pages in [0, 1] with
    std: list[float]  # of each channel, likewise
    # divides the logits of each member, or of the mean of `parts`; 1 leaves probabilities as they are
    temperature: float = 1.0
    # files of weights of fine-tuned nets beside `model.yaml`; none where there is a head alone
    members: list[str] = field(default_factory=list)
    fit: str = "squeeze"  # `squeeze` or `letterbox`, see `docclf.data.module.PageDataModule`
    # a linear classifier on frozen features, which the nets are averaged with; None without one
    head: HeadDescription | None = None
    # file that says when the model is not sure, see `doubt.py`; None in parts and earlier releases
    doubt: str | None = None
    source: dict[str, Any] = field(default_factory=dict)  # where it comes from, for people
    # of an ensemble of trials its models, whose probabilities are averaged at temperature 1; what stands beside them of
    # backbone, sizes and normalisation is that of the first one
    parts: list[Description] = field(default_factory=list)
    weight: float = 1.0  # of a part, its fraction of that mean, in (0, 1]
    # what makes the fine-tuned nets where they are not timm's, as `model` of the config; None for timm's
    own: dict[str, Any] | None = None

    @property
    def files(self) -> list[str]:
        """All files of weights beside `model.yaml`, each once."""
        of_head = [] if self.head is None else [self.head.weights, self.head.backbone]
        mine = [*self.members, *(name for name in (*of_head, self.doubt) if name is not None)]
        return list(dict.fromkeys([*mine, *(name for part in self.parts for name in part.files)]))

    @property
    def mixes_head(self) -> bool:
        """Whether the probabilities are also those of a head."""
        return self.head is not None and self.head.fraction > 0

    @property
    def view(self) -> InputFormat:
        """How it sees a page, where it has no parts."""
        return InputFormat(self.decoded_size, self.image_size, self.fit)

    @property
    def views(self) -> list[InputFormat]:
        """All ways in which it sees a page, each once."""
        return list(dict.fromkeys(part.view for part in self.parts)) or [self.view]

    @property
    def takes_aspects(self) -> bool:
        """Whether the aspect ratios of the pages matter to it."""
        own = self.head is not None and self.mixes_head and self.head.aspect
        return own or any(part.takes_aspects for part in self.parts)

    def __str__(self) -> str:
        """In words: backbone, nets and head."""
        if self.parts:
            kinds = Counter(f"{part}, {part.image_size} px" for part in self.parts)
            texts = (f"{n} x {text}" if n > 1 else text for text, n in kinds.items())
            return f"an ensemble of {len(self.parts)} models ({'; '.join(texts)})"
        nets = f", {len(self.members)} members" if len(self.members) > 1 else ""
        own = self.own or {}
        name = (own.get("net") or own).get("_target_") if self.members else None
        return f"{name or self.backbone}{nets}{', a head on frozen features' if self.mixes_head else ''}"


def read_description(folder: Path) -> Description:
    """Read `model.yaml` of a folder.

    Raises:
        Exception: It is damaged, or names files that are not beside it; YAML and dataclasses have one each for that.
    """
    described = _described(read_yaml(folder / NAME, _MOST_BYTES))
    for name in described.files:
        inside(folder, name, is_plain=True)
    return described


def _described(found: Mapping[str, Any]) -> Description:
    shared = {key: found[key] for key in _SHARED}
    parts = [_described({**shared, **part}) for part in found.get("parts") or ()]
    head = HeadDescription(**found["head"]) if found.get("head") else None
    return Description(**{**found, "head": head, "parts": parts})


def write_description(folder: Path, description: Description) -> None:
    """Write `model.yaml`, with which the folder is a model: its weights come before."""
    found = asdict(description)
    if not found["parts"]:
        del found["parts"], found["weight"]
    for part in found.get("parts", ()):
        for key in (*_SHARED, "parts"):
            del part[key]
    for one in (found, *found.get("parts", ())):
        if one["own"] is None:
            del one["own"]
    with replacing(folder / NAME) as partial:
        partial.write_text(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), encoding="utf-8")


def join_models(
    folder: Path,
    models: Sequence[Path],
    weights: Sequence[float],
    *,
    temperature: float,
    source: Mapping[str, Any],
    doubt: Mapping[str, Any] | None = None,
) -> None:
    """Write one model's folder that averages others. Files are linked where the disk allows it, equal ones kept once.

    Args:
        folder: Where; what was there goes.
        models: Folders of models of the same classes, none of which has parts.
        weights: Of each, above 0; they sum to 1.
        temperature: Divides the logarithm of the mean.
        source: See `Description`.
        doubt: Arrays of the file of that name. What the models have of it goes, and so do heads that serve it alone.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts, known = [], dict[str, str]()
    for i, (model, weight) in enumerate(zip(models, weights, strict=True)):
        part = replace(read_description(model), doubt=None)
        part = part if part.mixes_head else replace(part, head=None)
        names = {}
        for name in part.files:
            digest = hashlib.sha256((model / name).read_bytes()).hexdigest()
            if digest not in known:
                known[digest] = f"{i}-{name}"
                link(model / name, folder / known[digest])
            names[name] = known[digest]
        head = part.head
        if head is not None:
            own = None if head.backbone is None else names[head.backbone]
            head = replace(head, weights=names[head.weights], backbone=own)
        parts.append(replace(part, members=[names[name] for name in part.members], head=head, weight=weight))
    if doubt is not None:
        np.savez(folder / DOUBT, **dict(doubt))
    whole = replace(parts[0], members=[], head=None, weight=1.0, parts=parts, doubt=None if doubt is None else DOUBT)
    write_description(folder, replace(whole, temperature=temperature, source=dict(source)))
