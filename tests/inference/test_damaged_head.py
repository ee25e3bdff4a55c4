"""A head whose folder names other classes than it was fitted to."""

from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig

from docclf.errors import DataError
from docclf.inference.folder import load_ensemble
from docclf.train import train


def test_a_head_for_other_classes_is_refused(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.model.tune, cfg.refit = "head", "folds"
    train(cfg, tmp_path)
    described = yaml.safe_load((tmp_path / "model" / "model.yaml").read_text(encoding="utf-8"))
    load_ensemble(tmp_path / "model")
    described["targets"], described["class_names"] = described["targets"][:2], described["class_names"][:2]
    (tmp_path / "model" / "model.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    with pytest.raises(DataError, match="a head for 2 classes was expected, not 3"):
        load_ensemble(tmp_path / "model")
