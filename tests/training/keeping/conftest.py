"""The same training with each way to keep its models."""

from pathlib import Path

import pytest
from hydra.utils import execution_whitelist
from kept_weights import forgetful
from omegaconf import DictConfig

from docclf.safety.targets import whitelist
from docclf.train import train


@pytest.fixture(scope="session")
def runs(tiny_config: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same training with refit=folds, refit=all and refit=false."""
    root = tmp_path_factory.mktemp("runs")
    for refit in ("folds", "all", False):
        cfg = forgetful(tiny_config)
        cfg.refit, cfg.keep_checkpoints = refit, "none"  # which concerns searches alone
        with execution_whitelist(whitelist()):
            train(cfg, root / str(refit))
    return {path.name: path for path in root.iterdir()}
