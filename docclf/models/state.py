"""Files of plain values and arrays: safetensors, with JSON in its header. Opening one runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

SUFFIX = ".safetensors"
_HEADER = "docclf"
# The one key of a mapping in JSON that stands for what JSON has not.
_TENSOR, _ARRAY, _TUPLE, _MAPPING = "$tensor", "$array", "$tuple", "$mapping"


def save_state(path: Path, state: Any) -> None:
    """Write a state: numbers, texts, None, tensors and arrays, in any depth of mappings, lists and tuples.

    Raises:
        TypeError: It holds something else.
    """
    tensors: dict[str, Tensor] = {}
    header = json.dumps(_to_json(state, tensors))
    write_tensors(path, tensors, {_HEADER: header})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str] | None = None) -> None:
    """Write safetensors that others may read as far as the umask says, and not the user alone."""
    path.touch()
    mode = path.stat().st_mode
    save_file(dict(tensors), path, header)
    path.chmod(mode)


def load_state(path: Path) -> Any:
    """Read a state, on the CPU.

    Raises:
        Exception: It is damaged, or none; safetensors and JSON have one each for what may be wrong.
    """
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[_HEADER])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    return _from_json(header, tensors)


def _to_json(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, np.ndarray):
        return {_ARRAY: _to_json(torch.from_numpy(np.array(value, order="C")), tensors)[_TENSOR]}
    if isinstance(value, Tensor):
        # Optimizers compute on what lies in memory as the weights do, channels last for example.
        strides = value.stride()
        order = sorted(range(value.ndim), key=lambda axis: -strides[axis])
        dense = value.detach().cpu().permute(order)
        name = str(len(tensors))
        tensors[name] = dense.clone(memory_format=torch.contiguous_format)
        return {_TENSOR: [name, *order]}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _to_json(child, tensors) for key, child in value.items()}
        return {_MAPPING: [[_to_json(key, tensors), _to_json(child, tensors)] for key, child in value.items()]}
    if isinstance(value, list | tuple):
        children = [_to_json(child, tensors) for child in value]
        return children if isinstance(value, list) else {_TUPLE: children}
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} cannot be kept")


def _from_json(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_from_json(child, tensors) for child in value]
    if not isinstance(value, dict):
        return value
    first: tuple[str, Any] = next(iter(value.items()), ("", None))
    kind, content = first
    if kind in (_TENSOR, _ARRAY):
        name, *order = content
        found = tensors[name].permute([order.index(axis) for axis in range(len(order))])
        return found if kind == _TENSOR else found.numpy().copy()
    if kind == _TUPLE:
        return tuple(_from_json(content, tensors))
    if kind == _MAPPING:
        return {_from_json(key, tensors): _from_json(child, tensors) for key, child in content}
    return {key: _from_json(child, tensors) for key, child in value.items()}


class StateIO(TorchCheckpointIO):
    """Lightning's checkpoints as states, where their files are called so; others as Lightning writes them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if Path(path).suffix == SUFFIX:
            save_state(Path(path), checkpoint)
        else:
            super().save_checkpoint(checkpoint, path, storage_options)

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:
        """What a state holds; no other file is opened.

        Raises:
            Exception: See `load_state`.
        """
        checkpoint: dict[str, Any] = load_state(Path(path))
        return checkpoint
