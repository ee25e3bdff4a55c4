"""A trained classifier as a folder: weights, and all that predicting with them needs.

The folder `model` of a run holds `model.yaml`, see `Description`, and a file of weights for each member. It works
anywhere: neither the run's config nor its data is needed.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from docclf.errors import DataError, NotAllowedError
from docclf.files import link, replacing, why_no_winner
from docclf.inference.description import (
    FOLDER,
    NAME,
    Description,
    HeadDescription,
    read_description,
    write_description,
)
from docclf.inference.ensemble import FoldEnsemble, FrozenHead, TrialEnsemble
from docclf.models.backbone import make_net, normalisation, require_known
from docclf.models.frozen.features import PIXELS, MultiScaleFeatures, load_backbone
from docclf.models.frozen.head import Head
from docclf.models.state import write_tensors
from docclf.safety.permission import allow_options
from docclf.safety.targets import build_model

# Of what a folder may ask for.
_MOST_SIDE, _MOST_CLASSES, _MOST_MEMBERS = 4096, 20_000, 100


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a backbone's weights as safetensors."""
    with replacing(path) as partial:
        write_tensors(partial, {key: value.detach().cpu().contiguous() for key, value in weights.items()})


def save_ensemble(
    folder: Path,
    description: Description,
    weights: Mapping[str, Mapping[str, Tensor] | Path],
    head: Head | None = None,
    backbone: Mapping[str, Tensor] | None = None,
    doubt: Mapping[str, Any] | None = None,
) -> None:
    """Write a model's folder; what an earlier model left in it goes.

    Args:
        folder: Where, usually `model` in a run's folder.
        description: Its members are set here.
        weights: Name of each member to its weights or to a file of them, which stays: until its run has come to its
            end, it may be needed again.
        head: A head that they are averaged with, or that stands alone.
        backbone: The frozen backbone that the head's features come from.
        doubt: Arrays of the file of that name.
    """
    if folder.is_symlink():  # to a model elsewhere, which stays
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)  # until all of its members are there
    for path in folder.glob("*.safetensors"):
        path.unlink()
    if head is not None:
        assert description.head is not None
        weights_of_head = {"weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)}
        save_weights(folder / description.head.weights, weights_of_head)
        if backbone is not None and description.head.backbone is not None:
            save_weights(folder / description.head.backbone, backbone)
    if doubt is not None and description.doubt is not None:
        with replacing(folder / description.doubt) as partial:
            np.savez(partial, **dict(doubt))
    for name, content in weights.items():
        if isinstance(content, Path):
            link(content, folder / f"{name}.safetensors")
        else:
            save_weights(folder / f"{name}.safetensors", content)
    write_description(folder, replace(description, members=[f"{name}.safetensors" for name in weights]))


def find_model(run: Path) -> Path:
    """The model's folder of a run, of a search (its winner), or of a folder that was exported.

    Raises:
        DataError: There is none; the message says how to make one.
    """
    for folder in (run, run / FOLDER, run / "best" / FOLDER):
        if (folder / NAME).is_file():
            return folder
    if not any((run / name).is_file() for name in ("result.yaml", "best/config.yaml")):
        what = "where there is none" if run.is_dir() else "which is no folder"
        raise DataError(
            why_no_winner(run) or f"Expected the folder of a run or search in `run`, got {run}, {what}. Name one."
        )
    what = f"Expected a trained model in {run}, got none: its run kept no weights."
    if (run / "best" / "config.yaml").is_file():
        place = shlex.quote(str(run / "best"))
        train = f"python -m docclf.train --config-dir {place} --config-name config{allow_options()}"
        raise DataError(f"{what} Train them with\n  {train}")
    raise DataError(f"{what} Give the run's command again with refit=folds or refit=all.")


def load_ensemble(folder: Path) -> FoldEnsemble | TrialEnsemble:
    """Load the model of a folder that `find_model` has found, on the CPU; a `TrialEnsemble` where it has parts.

    Raises:
        DataError: The folder is damaged, or timm does not know the backbone.
    """
    try:
        described = read_description(folder)
        if len(described.parts) > _MOST_MEMBERS:
            raise ValueError(f"at most {_MOST_MEMBERS} parts were expected, not {len(described.parts)}")
        for one in (described, *described.parts):
            _require_within_limits(one)
        if described.parts:
            backbones: dict[tuple[str | None, int], torch.nn.Module] = {}
            return TrialEnsemble([_load(folder, part, backbones) for part in described.parts], described)
        return _load(folder, described, {})
    except NotAllowedError as error:  # other code than may be called, which is not damaged
        raise DataError(f"{folder / NAME}: {error}") from error
    except Exception as error:  # YAML, safetensors, timm and torch have one each for what may be wrong
        raise DataError(
            f"Expected a whole model in {folder}, got {type(error).__name__}: {error}. Copy the folder again, "
            "or install the versions that `source` in its model.yaml names."
        ) from error


def _require_within_limits(described: Description) -> None:
    """Refuse numbers that no model of a page has, which would fill the memory of whoever opens the folder.

    Raises:
        ValueError: There are some.
        ConfigError: timm does not know the backbone; a name that stands for a place on a hub is none.
    """
    head = described.head
    sides = [described.image_size, described.decoded_size, *(head.sides if head is not None else [])]
    numbers = [described.temperature, *described.mean, *described.std, *([head.fraction] if head is not None else [])]
    if not all(type(side) is int and 8 <= side <= _MOST_SIDE for side in sides):
        raise ValueError(f"sides of images from 8 to {_MOST_SIDE} pixels were expected, not {sides[:9]}")
    if described.channels not in (1, 3) or not len(described.mean) == len(described.std) == described.channels:
        raise ValueError("1 or 3 channels were expected, with a mean and std of each")
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise ValueError("finite numbers were expected for mean, std, temperature and fraction")
    names = (described.targets, described.class_names)
    if not all(isinstance(some, list) and all(isinstance(name, str) for name in some) for some in names):
        raise ValueError("targets and class names were expected as texts in lists")
    if len(names[0]) != len(names[1]):
        raise ValueError(f"a name for each class was expected, not {len(names[1])} for {len(names[0])}")
    counts = (len(described.targets), len(described.members), len(sides))
    if not (1 <= counts[0] <= _MOST_CLASSES and max(counts[1:]) <= _MOST_MEMBERS):
        raise ValueError(f"at most {_MOST_CLASSES} classes and {_MOST_MEMBERS} members were expected, not {counts}")
    if described.backbone != PIXELS:
        require_known(str(described.backbone))


def _load(
    folder: Path, described: Description, backbones: dict[tuple[str | None, int], torch.nn.Module]
) -> FoldEnsemble:
    nets = []
    for name in described.members:
        net = _make_net(described)
        net.load_state_dict(load_file(folder / name))
        nets.append(net)
    if not nets and not described.mixes_head:
        raise ValueError("no members")
    if described.head is None:
        return FoldEnsemble(nets, described)
    key = (described.head.backbone, described.image_size)
    if key not in backbones:
        file = None if key[0] is None else folder / key[0]
        backbones[key] = load_backbone(described.backbone, described.image_size, described.channels, file)
    head = _load_head(folder, described.head, described.image_size, backbones[key])
    if head.linear.out_features != len(described.targets):
        raise ValueError(f"a head for {len(described.targets)} classes was expected, not {head.linear.out_features}")
    return FoldEnsemble(nets, described, head)


def _make_net(described: Description) -> Any:
    sizes = (len(described.targets), described.image_size, described.channels)
    return make_net(described.backbone, *sizes) if described.own is None else _make_own(described.own, *sizes).kept


def _make_own(own: Mapping[str, Any], n_classes: int, image_size: int, channels: int) -> Any:
    """The LightningModule of a model that is not timm's.

    Raises:
        ConfigError: It is other code than this process may call.
    """
    sizes = {"num_classes": n_classes, "image_size": image_size, "channels": channels}
    # Weights come from the folder alone: its description names no other file, and no place on a network.
    nowhere = {key: value for key, value in (("pretrained", False), ("checkpoint_path", None)) if key in own}
    return build_model({**own, **nowhere}, **sizes, optimizer=None, scheduler=None)


def normalisation_of(
    backbone: str, own: Mapping[str, Any] | None, n_classes: int, image_size: int, channels: int
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel that a net normalises pages in [0, 1] with.

    Args:
        backbone: Name of the timm model.
        own: What makes a net that is not timm's, see `docclf.safety.targets.own_model`.
    """
    if own is not None:
        model = _make_own(own, n_classes, image_size, channels)
        mean, std = (getattr(model, name).flatten().tolist() for name in ("mean", "std"))
        return mean, std
    if backbone == PIXELS:
        return [0.5] * channels, [0.5] * channels
    return normalisation(make_net(backbone, n_classes, image_size, channels), channels)


def _load_head(folder: Path, head: HeadDescription, image_size: int, backbone: torch.nn.Module) -> FrozenHead:
    views = MultiScaleFeatures(backbone, image_size, head.sides, has_stages=head.stages, has_aspect=head.aspect)
    weights = load_file(folder / head.weights)
    n_last = weights["weight"].shape[1] - head.aspect
    if not head.stages:
        views.backbone.n_last = n_last // len(head.sides)  # type: ignore[assignment]
    return FrozenHead(views, Head(weights["weight"].numpy(), weights["bias"].numpy()))
