"""A training whose models are kept, and what it leaves."""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

FOLDS, EPOCHS = 3, 3


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = yaml.safe_load((run / "result.yaml").read_text(encoding="utf-8"))
    return result


def weights_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "model").glob("*.safetensors"))}


def forgetful(cfg: DictConfig) -> DictConfig:
    """A training whose best epochs are not its last ones, and in which random numbers matter."""
    cfg = cfg.copy()
    cfg.validation.folds, cfg.validation.epochs = FOLDS, EPOCHS
    cfg.optimizer.lr, cfg.model.drop_rate = 1e-2, 0.2
    cfg.logger = {"_target_": "docclf.loggers.CsvLogger", "_partial_": True}
    return cfg
