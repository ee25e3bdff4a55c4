"""The same training with each way to keep its models."""

from pathlib import Path
from typing import Any

import pytest
from hydra.utils import execution_whitelist
from kept_weights import forgetful
from omegaconf import DictConfig

from docclf.models.classifier import PageClassifier
from docclf.safety.targets import whitelist
from docclf.train import train
from docclf.training.folds.trainer import FoldTrainer


@pytest.fixture(scope="session")
def steps() -> list[int]:
    """Of the optimizer, in each training of `runs`."""
    return []


@pytest.fixture(scope="session")
def runs(tiny_config: DictConfig, tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> dict[str, Path]:
    """The same training with refit=folds, refit=all and refit=false."""
    root, fit = tmp_path_factory.mktemp("runs"), FoldTrainer.fit

    def counted(*args: Any, **options: Any) -> PageClassifier:
        model = fit(*args, **options)
        steps.append(model.global_step)
        return model

    for refit in ("folds", "all", False):
        cfg = forgetful(tiny_config)
        cfg.refit, cfg.keep_checkpoints = refit, "none"  # which concerns searches alone
        with execution_whitelist(whitelist()), pytest.MonkeyPatch.context() as patch:
            patch.setattr(FoldTrainer, "fit", counted)
            train(cfg, root / str(refit))
    return {path.name: path for path in root.iterdir()}
