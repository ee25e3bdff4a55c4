"""Plain values and arrays in files that run nothing when they are opened."""

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from docclf.models.state import load_state, save_state


def kept(value: Any, folder: Path) -> Any:
    save_state(folder / "a.safetensors", value)
    return load_state(folder / "a.safetensors")


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "x"], "b": {}, "c": [], "d": ()},
        {1: "a", (2, "b"): {None: 0.5}, "$tensor": [1], "$mapping": {}},
        {"betas": (0.9, 0.999), "nested": [(1, [2, (3,)])]},
        {"letters": "서식 \n ${x}", "large": 2**70},
        [1, 2],
        "text",
        None,
    ],
)
def test_plain_values_come_back_as_they_were(value: Any, tmp_path: Path) -> None:
    assert kept(value, tmp_path) == value


def test_what_json_has_not_comes_back_too(tmp_path: Path) -> None:
    found = kept({"nan": math.nan, "low": -math.inf, "ordered": OrderedDict(a=1), "one": np.float32(0.5)}, tmp_path)
    assert (
        math.isnan(found["nan"]) and found["low"] == -math.inf and found["ordered"] == {"a": 1} and found["one"] == 0.5
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8, torch.float64])
def test_tensors_come_back_bit_by_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = (torch.arange(48).reshape(2, 3, 4, 2) % 3).to(dtype)
    given = {
        "plain": tensor,
        "again": tensor,
        "view": tensor[0],
        "last": tensor.contiguous(memory_format=torch.channels_last),
        "turned": tensor.transpose(0, 3),
        "strided": tensor[:, ::2],
        "scalar": tensor[0, 0, 0, 0],
        "empty": tensor[:0],
    }
    found = kept(given, tmp_path)
    for name, one in given.items():
        assert found[name].dtype == dtype and torch.equal(found[name], one), name
    assert found["last"].stride() == given["last"].stride(), "as the weights lie in memory"
    assert found["plain"].is_contiguous()


def test_arrays_come_back_as_arrays_that_can_be_written(tmp_path: Path) -> None:
    given = {"a": np.arange(6).reshape(2, 3), "b": np.full((2, 2), np.nan, np.float32).T, "c": np.array(1.5)}
    found = kept(given, tmp_path)
    for name, one in given.items():
        assert found[name].dtype == one.dtype and found[name].shape == one.shape
        assert np.array_equal(found[name], one, equal_nan=True)
    found["a"][0, 0] = 7


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 1, Path("x"), {"a": [b"x"]}, np.array(["a"])])
def test_anything_else_cannot_be_kept(value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_state(tmp_path / "a.safetensors", value)
    assert not (tmp_path / "a.safetensors").exists()
