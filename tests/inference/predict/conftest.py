"""A model to predict with, and the prediction."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig
from predict_files import COLUMNS, read
from small_models import save_model

from docclf.predict import predict

Compose = Callable[..., DictConfig]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a model of two members."""
    run = tmp_path_factory.mktemp("run")
    save_model(run / "model")
    return run


@pytest.fixture
def run_predict(compose_config: Compose, model: Path, tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Predicts in process into `tmp_path`, expects a number of unreadable pages, and returns the rows."""

    def call(root: Path, *overrides: str, unreadable: int = 0, run: Path = model) -> list[list[str]]:
        cfg = compose_config(f"run='{run}'", f"data.root='{root}'", "device=cpu", *overrides, config="predict")
        assert predict(cfg, tmp_path) == unreadable
        header, *rows = read(tmp_path / cfg.output)
        assert header == COLUMNS
        return rows

    return call
