"""With `validation.robust=true` each fold is scored on its pages as they are too, and nothing else changes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from slowly import slowly

from docclf.errors import ConfigError
from docclf.train import train

WORN = ("validation.augment", "photo")


def run(cfg: DictConfig, folder: Path, **changes: Any) -> tuple[Any, dict[str, Any]]:
    changed = cfg.copy()
    for key, value in changes.items():
        OmegaConf.update(changed, key.replace("__", "."), value)
    value = train(changed, folder)
    return value, yaml.safe_load((folder / "result.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("tune", ["head", *slowly("all")])
@pytest.mark.parametrize("pretrained", [False])
def test_both_scores_are_those_of_two_runs(cfg: DictConfig, tmp_path: Path, tune: str, pretrained: bool) -> None:
    same = {"model__tune": tune, "model__head__views": 1, "optimizer__lr": 3e-3}
    _, robust = run(cfg, tmp_path / "robust", validation__augment="photo", validation__robust=True, **same)
    _, worn = run(cfg, tmp_path / "worn", validation__augment="photo", **same)
    _, clean = run(cfg, tmp_path / "clean", **same)
    assert robust["folds"] == worn["folds"] != clean["folds"]
    assert robust["folds_clean"] == pytest.approx(clean["folds"])
    assert robust["metrics"]["macro_f1_clean"] == pytest.approx(clean["mean"])
    assert "folds_clean" not in worn and "macro_f1_clean" not in worn["metrics"]


def test_either_can_be_the_objective(cfg: DictConfig, tmp_path: Path) -> None:
    given: dict[str, Any] = {"validation__augment": "photo", "validation__robust": True, "model__tune": "head"}
    value, result = run(cfg, tmp_path, search__objective=["macro_f1", "macro_f1_clean"], **given)
    assert value == (result["mean"], result["metrics"]["macro_f1_clean"])


def test_it_wants_an_augmentation(cfg: DictConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Say validation\.augment=photo, or scan"):
        run(cfg, tmp_path, validation__robust=True)


def test_the_objective_wants_it(cfg: DictConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Expected validation\.robust=true with search\.objective=macro_f1_clean"):
        run(cfg, tmp_path, search__objective="macro_f1_clean")
