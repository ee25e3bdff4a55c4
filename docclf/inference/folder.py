"""A trained classifier as a folder: weights, and all that predicting with them needs.

The folder `model` of a run holds `model.yaml`, see `Description`, and a file of weights for each member. It works
anywhere: neither the run's config nor its data is needed.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from docclf.errors import ConfigError, DataError, NotAllowedError
from docclf.files import link, near_folder, replacing, why_no_winner
from docclf.inference.description import FOLDER, NAME, Description, HeadDescription, read_description, write_description
from docclf.inference.ensemble import FoldEnsemble, FrozenHead, TrialEnsemble
from docclf.inference.limits import require_within_limits
from docclf.models.backbone import count_parameters, make_net, normalisation
from docclf.models.frozen.features import PIXELS, MultiScaleFeatures, Passes, make_frozen
from docclf.models.frozen.head import FLAGS, Head, HeadOptions
from docclf.models.frozen.pooling import PooledStages
from docclf.models.fused_norms import fuse_batch_norm
from docclf.models.process import be_exact
from docclf.models.state import write_tensors
from docclf.safety.permission import allow_options
from docclf.safety.targets import build_model


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
            why_no_winner(run)
            or f"Expected the folder of a run or search in `run`, got {run}, {what}.{near_folder(run)}"
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
    be_exact()
    try:
        described = read_description(folder)
        require_within_limits(described)
        backbones: dict[tuple[str | None, int], torch.nn.Module] = {}
        passes: Passes = {}
        models = [_load(folder, one, backbones, passes) for one in described.parts or [described]]
        ensemble = TrialEnsemble(models, described) if described.parts else models[0]
        _require_finite(ensemble)
        return ensemble
    except Exception as error:  # YAML, safetensors, timm and torch have one each for what may be wrong
        said = str(error)
        if isinstance(error, NotAllowedError):  # other code than may be called, which is not damaged
            raise DataError(f"{folder / NAME}: {said}") from error
        if isinstance(error, DataError) and said.endswith("."):  # with its own way out
            raise
        if isinstance(error, ConfigError):  # whose way out is in a config
            said = said.partition(". ")[0]
        raise DataError(
            f"Expected a whole model in {folder}, got {type(error).__name__}: {said.rstrip('.')}. Copy the folder "
            "again, or install the versions that `source` in its model.yaml names."
        ) from error


def _fused(net: torch.nn.Module, described: Description) -> torch.nn.Module:
    _require_finite(net)  # here, where an infinite variance is one yet
    shape = (described.channels, described.image_size, described.image_size)
    return net if described.own is not None else fuse_batch_norm(net, shape)


def _require_finite(module: torch.nn.Module) -> None:
    for name, weights in module.named_parameters():
        if not weights.isfinite().all():
            raise ValueError(f"expected finite weights, got NaN or infinity in {name}")
    for name, values in module.named_buffers():
        if not (values < torch.inf).all():  # of a mask, -inf is right
            raise ValueError(f"expected numbers, got NaN or infinity in {name}")


def _load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load weights, if numbers with and without fractions are where a module has such: torch would take one for other.

    Raises:
        ValueError: They are not.
        RuntimeError: They have other names or shapes.
    """
    own = module.state_dict()
    with safe_open(path, "pt") as file:
        for name in own.keys() & file.keys():
            kind = file.get_slice(name).get_dtype()
            if own[name].is_floating_point() != kind.startswith(("F", "BF")):
                raise ValueError(f"expected {own[name].dtype} for {name} of {path.name}, got {kind}")
    module.load_state_dict(load_file(path))


def _require_room(path: Path, backbone: str, *sizes: int) -> None:
    """See that a file can hold the weights of a net, before that is made: a large one would fill the memory in vain.

    Raises:
        ValueError: It has not a byte for each.
    """
    if (size := path.stat().st_size) < (n := count_parameters(backbone, *sizes)):
        raise ValueError(f"expected {n:,} weights of {backbone} in {path.name}, got {size:,} bytes")


def _load(
    folder: Path, described: Description, backbones: dict[tuple[str | None, int], torch.nn.Module], passes: Passes
) -> FoldEnsemble:
    sizes = (len(described.targets), described.image_size, described.channels)
    nets = []
    for name in described.members:
        own = described.own
        if own is None:
            _require_room(folder / name, described.backbone, *sizes)
        net = make_net(described.backbone, *sizes) if own is None else _make_own(own, *sizes).kept
        _load_weights(net, folder / name)
        nets.append(_fused(net, described))
    if not nets and not described.mixes_head:
        raise ValueError("no members")
    if described.head is None:
        return FoldEnsemble(nets, described)
    key = (described.head.backbone, described.image_size)
    if key not in backbones:
        if described.backbone != PIXELS:
            _require_room(folder / str(described.head.backbone), described.backbone, 0, *sizes[1:])
        backbone = make_frozen(described.backbone, described.image_size, described.channels)
        if isinstance(backbone, PooledStages):
            _load_weights(backbone.net, folder / str(described.head.backbone))
        backbones[key] = _fused(backbone, described)
    return FoldEnsemble(nets, described, _load_head(folder, described, described.head, backbones[key], passes))


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


def _load_head(
    folder: Path, described: Description, head: HeadDescription, backbone: torch.nn.Module, passes: Passes
) -> FrozenHead:
    size, channels = described.image_size, described.channels
    options = HeadOptions(**{name: getattr(head, name) for name in FLAGS})
    views = MultiScaleFeatures(backbone, size, head.sides, options)
    with torch.no_grad():  # only a page shows how many features there are
        n_features = views(torch.zeros(1, channels, size, size), torch.ones(1), passes).shape[1]
    loaded = FrozenHead(views, torch.nn.Linear(n_features, len(described.targets)))
    _load_weights(loaded.linear, folder / head.weights)
    return loaded
