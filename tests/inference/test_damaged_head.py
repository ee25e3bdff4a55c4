"""Heads that do not fit their description: refused before a page is predicted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import Tensor

from docclf.errors import DataError
from docclf.inference.description import join_models
from docclf.inference.folder import load_ensemble, save_weights
from docclf.inference.predictor import Predictor
from docclf.train import train


@pytest.fixture(scope="module")
def whole(tiny_config: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head alone, of three classes."""
    cfg, run = tiny_config.copy(), tmp_path_factory.mktemp("run")
    cfg.model.tune, cfg.refit = "head", "folds"
    train(cfg, run)
    load_ensemble(run / "model")
    return run / "model"


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(whole, tmp_path / "m")


def rewrite(folder: Path, **changes: Any) -> None:
    described = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    described["head"] |= changes.pop("head", {})
    (folder / "model.yaml").write_text(yaml.safe_dump({**described, **changes}), encoding="utf-8")


def change(path: Path, way: Callable[[Tensor], Tensor], *names: str) -> None:
    weights = load_file(path)
    changed = {name: way(weights[name]).clone() for name in names or weights}
    save_weights(path, {**weights, **changed})


def test_a_head_for_other_classes_is_refused(model: Path) -> None:
    rewrite(model, targets=["0", "7"], class_names=["0", "7"])
    with pytest.raises(DataError, match="size mismatch for weight"):
        load_ensemble(model)


def test_a_backbone_that_is_larger_than_its_file_is_refused_before_it_is_made(model: Path) -> None:
    rewrite(model, backbone="resnet152")
    with pytest.raises(DataError, match=r"expected 58,143,808 weights of resnet152 in backbone\.safetensors, got "):
        load_ensemble(model)


@pytest.mark.parametrize("facts", [{"aspect": False}, {"stages": False}, {"sides": [32, 32]}])
def test_a_head_for_other_features_is_refused(facts: dict[str, Any], model: Path) -> None:
    rewrite(model, head=facts)
    with pytest.raises(DataError, match="size mismatch for "):
        load_ensemble(model)


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"sides": []}, "expected `head.sides` to be sides of images"),
        ({"fraction": 2}, "expected `head.fraction` to be at least 0 and at most 1, got 2"),
        ({"fraction": float("nan")}, "expected `head.fraction` to be a number"),
        ({"stages": "no"}, "expected `head.stages` to be true or false, got 'no'"),
        ({"aspect": 1}, "expected `head.aspect` to be true or false, got 1"),
    ],
)
def test_what_no_head_has_is_refused(facts: dict[str, Any], cause: str, model: Path, tmp_path: Path) -> None:
    join_models(tmp_path / "joined", [model], [1.0], temperature=1.0, source={})
    joined = yaml.safe_load((tmp_path / "joined" / "model.yaml").read_text(encoding="utf-8"))
    joined["parts"][0]["head"] |= facts
    (tmp_path / "joined" / "model.yaml").write_text(yaml.safe_dump(joined), encoding="utf-8")
    rewrite(model, head=facts)
    for folder in (model, tmp_path / "joined"):
        with pytest.raises(DataError, match=cause):
            load_ensemble(folder)


def test_weights_of_parts_are_shares(model: Path, tmp_path: Path) -> None:
    join_models(tmp_path / "joined", [model, model], [0.5, 0.4], temperature=1.0, source={})
    with pytest.raises(DataError, match=r"expected weights of the parts that sum to 1, got \[0.5, 0.4\]"):
        load_ensemble(tmp_path / "joined")


@pytest.mark.parametrize("file", ["head", "backbone"])
def test_weights_that_are_no_numbers_or_of_another_kind_are_refused(file: str, model: Path) -> None:
    path = model / f"{file}.safetensors"
    whole = path.read_bytes()
    change(path, lambda weights: weights.to(torch.int8))
    with pytest.raises(DataError, match=rf"expected torch.float32 for .* of {file}.safetensors, got I8"):
        load_ensemble(model)
    path.write_bytes(whole)
    change(path, lambda weights: weights * torch.nan if weights.is_floating_point() else weights)
    with pytest.raises(DataError, match="got NaN or infinity in"):
        load_ensemble(model)


@pytest.mark.parametrize("names", [["weight"], ["bias"], ["weight", "bias"]])
def test_a_head_of_one_row_does_not_stand_for_all_classes(names: list[str], model: Path) -> None:
    change(model / "head.safetensors", lambda weights: weights[:1], *names)
    with pytest.raises(DataError, match="size mismatch for "):
        load_ensemble(model)


def test_a_model_that_computes_no_probabilities_says_so(model: Path) -> None:
    change(model / "head.safetensors", lambda weights: torch.full_like(weights, 3e38))
    predictor = Predictor(load_ensemble(model))
    (size,) = predictor.sizes
    with pytest.raises(DataError, match=r"probabilities from the model \(.*a head on frozen features\), got NaN"):
        predictor([np.full((2, size, size, 3), 200, np.uint8)], np.ones(2, np.float32))
