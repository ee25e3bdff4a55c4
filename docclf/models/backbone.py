"""A timm backbone: its name, its weights from the hub or from a file, and what its input is normalised with."""

import difflib
import functools
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pickle import UnpicklingError
from statistics import fmean
from typing import Any
from zipfile import is_zipfile

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from docclf.errors import ConfigError
from docclf.models.weights import find_weights, read_packaged

_IMAGENET = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
_STATE_ALONE = (
    " A file that holds more than weights could run code. If it is your own, write its weights alone: "
    "torch.save(checkpoint['state_dict'], 'weights.pth')."
)


def normalisation(net: Any, channels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel that a net was made for; grey gets the colours' mean.

    A timm backbone says so; of another net it is what ImageNet's pictures have, as torchvision's expect.
    """
    known = getattr(net, "pretrained_cfg", _IMAGENET)
    mean, std = (list(map(float, known[key])) for key in ("mean", "std"))
    return (mean, std) if len(mean) == channels else ([fmean(mean)] * channels, [fmean(std)] * channels)


def make_own_net(
    make: Callable[..., torch.nn.Module], n_classes: int, image_size: int, channels: int
) -> torch.nn.Module:
    """A net that is not timm's.

    Args:
        make: Makes it, from `num_classes` and, where it names these arguments, `image_size` and `channels`.
    """
    if isinstance(make, partial):  # Hydra's refuses nets of a class that has another name, as functions return them
        make = partial(make.func, *make.args, **make.keywords)
    named = inspect.signature(make).parameters
    more = {"image_size": image_size, "channels": channels}
    return make(num_classes=n_classes, **{key: value for key, value in more.items() if key in named})


def make_net(backbone: str, n_classes: int, image_size: int, channels: int, **options: Any) -> Any:
    """A timm backbone for images of one size.

    Args:
        **options: Further arguments of `timm.create_model`.
    """
    if has_one_size(backbone):
        options["img_size"] = image_size
    return timm.create_model(backbone, num_classes=n_classes, in_chans=channels, **options)


@functools.cache
def count_parameters(backbone: str, n_classes: int, image_size: int, channels: int) -> int:
    """Parameters of a timm backbone, which is made without numbers for it; 0 where timm cannot make it so."""
    try:
        with torch.device("meta"):
            net = make_net(backbone, n_classes, image_size, channels)
    except Exception:  # of a net that computes with numbers while it is made
        return 0
    return sum(parameter.numel() for parameter in net.parameters())


def count_flops(see: Callable[[], object]) -> int:
    """Floating-point operations of a forward pass."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        see()
    return int(counter.get_total_flops())


def has_one_size(backbone: str) -> bool:
    """Whether a timm backbone is built for one size of images."""
    pretrained_cfg = timm.get_pretrained_cfg(backbone)
    return pretrained_cfg is not None and bool(pretrained_cfg.fixed_input_size)


def with_weights(
    name: str,
    shape: tuple[int, int, int],
    *,
    own: Callable[..., torch.nn.Module] | None = None,
    pretrained: bool | str = False,
    checkpoint_path: str | None = None,
    **options: Any,
) -> tuple[Any, bool]:
    """A net with the weights that are asked for, random ones without any, and whether they are trained ones.

    Args:
        name: Of a timm model.
        shape: Number of classes, image size and channels.
        own: Makes a net that takes its place, see `make_own_net`; its weights are trained where `pretrained` is True.
        pretrained: See `docclf.models.weights.find_weights`.
        checkpoint_path: Likewise.
        **options: Further arguments of `timm.create_model`.

    Raises:
        ConfigError: timm has no such model, or the weights cannot be had.
    """
    if own is not None:
        return make_own_net(own, *shape), pretrained is True
    require_known(name)
    make = partial(make_net, name, *shape, **options)
    weights = find_weights(name, pretrained=pretrained, checkpoint_path=checkpoint_path)
    if weights.kind == "file":
        return _create_from_file(make, name, str(checkpoint_path)), True
    if weights.kind == "package":
        assert weights.path is not None
        state = read_packaged(weights.path, list(timm.create_model(name).state_dict()))
        return make(pretrained=True, pretrained_cfg_overlay={"state_dict": state}), True
    return (_create_from_hub(make, name), True) if weights.kind == "hub" else (make(pretrained=False), False)


def _create_from_hub(make: Callable[..., Any], name: str) -> Any:
    try:
        return make(pretrained=True)
    except Exception as error:  # of the hub, of the network, or timm's own
        make(pretrained=False)  # what is wrong without weights too, is raised as it is
        raise ConfigError(
            f"Expected weights of `{name}` from timm's hub, got none: they could not be downloaded ({_cause(error)}). "
            "Say model.checkpoint_path=FILE for weights that are here, or model.pretrained=false."
        ) from error


def _create_from_file(make: Callable[..., Any], name: str, checkpoint_path: str) -> Any:
    expected = f"Expected weights of `{name}`, the `model.name`, in `model.checkpoint_path`, got"
    try:
        weights = timm.models.load_state_dict(checkpoint_path, weights_only=True)
    except Exception as error:  # pickle, safetensors and torch have one each for what may be wrong
        has_more = isinstance(error.__cause__ or error, UnpicklingError) and is_zipfile(checkpoint_path)
        raise ConfigError(
            f"{expected} {checkpoint_path}, which cannot be read ({_cause(error)}). Give the whole file of a state "
            f"dict, .safetensors or .pth.{_STATE_ALONE if has_more else ''}"
        ) from error
    cause = ""
    for state, source in _candidates(make, weights, checkpoint_path):
        try:
            net = make(pretrained=True, pretrained_cfg_overlay=_overlay(name, source, state))
        except Exception as error:  # of timm, torch and the model's own filter of weights
            make(pretrained=False)  # as above
            cause = cause or f" ({_cause(error)})"
            continue
        # timm skips weights of other names in silence. The first ones may have been fitted to other channels, and
        # scales and biases may begin alike in every model.
        some = itertools.islice((p for p in net.parameters() if p.ndim > 1), 8)
        if any(torch.equal(p, w) for p in some for w in state.values() if isinstance(w, Tensor)):
            return net
    raise ConfigError(
        f"{expected} those of another model, {checkpoint_path}{cause}. Say the `model.name` that they are of, or "
        "another file: a run of docclf keeps those of its backbone in model/*.safetensors."
    )


def _candidates(
    make: Callable[..., Any], weights: Mapping[str, Any], checkpoint_path: str
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Weights that a file may hold, and what timm is to know of them: its own names, or these behind a prefix.

    Lightning calls the weights of a module `net.conv_stem.weight`, `model.conv_stem.weight` or the like.
    """
    yield weights, {"file": checkpoint_path}
    names = list(make(pretrained=False).state_dict())
    ends = [key.removesuffix(f".{name}") for name in names[:1] for key in weights if key.endswith(f".{name}")]
    found = {end: sum(f"{end}.{name}" in weights for name in names) for end in ends}
    if found and max(found.values()) > len(names) / 2:
        prefix = f"{max(found, key=lambda end: found[end])}."
        state = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        yield state, {"state_dict": state}


def _overlay(name: str, source: dict[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """What timm is to know of weights."""
    overlay = dict(source)
    pretrained_cfg = timm.get_pretrained_cfg(name)
    if pretrained_cfg is not None and (classifier := weights.get(f"{pretrained_cfg.classifier}.weight")) is not None:
        overlay["num_classes"] = len(classifier)  # timm leaves a classifier of other classes out, and supposes 1000
    return overlay


def _cause(error: Exception) -> str:
    """An exception in one line, which names the first of many weights or classes and leaves the others out."""
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 200, placeholder=' ...')}"


def require_known(name: str) -> None:
    """See that timm has a model.

    Raises:
        ConfigError: It has none of this name.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.5)
    elif tag and name not in (tagged := timm.list_models(f"{architecture}.*", include_tags=True)):
        near = tagged
    else:
        return
    raise ConfigError(
        f"Expected the name of a timm model in `model.name`, got `{name}`. "
        f"{'Nearest: ' + ', '.join(near) + '. ' if near else ''}"
        "All names: python -c 'import timm; print(timm.list_models())'"
    )
