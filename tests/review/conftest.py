"""A run on pages of which two labels are wrong, and the command that reviews them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hydra.utils import execution_whitelist
from omegaconf import DictConfig, OmegaConf
from review_command import WRONG, Review

from docclf.safety.targets import whitelist
from docclf.train import train


@pytest.fixture(scope="session")
def first_run(pages_root: Path, tiny_config: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages with wrong labels and the run on them: logistic regression on pixels, half a second."""
    place = tmp_path_factory.mktemp("review")
    shutil.copytree(pages_root, place / "pages")
    table = place / "pages" / "train.csv"
    text = table.read_text(encoding="utf-8")
    for page, (wrong, own) in WRONG.items():
        assert f"{page},{own}" in text
        text = text.replace(f"{page},{own}", f"{page},{wrong}")
    table.write_text(text, encoding="utf-8")
    cfg = tiny_config.copy()
    cfg.data.root = str(place / "pages")
    cfg.model.name, cfg.model.tune = "pixels", "head"
    run = place / "run"
    (run / ".hydra").mkdir(parents=True)
    OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
    (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"cwd": str(place)}}}))
    with execution_whitelist(whitelist()):
        train(cfg, run)
    return place


@pytest.fixture
def place(first_run: Path, tmp_path: Path) -> Path:
    """A copy, whose run is `run`."""
    shutil.copytree(first_run / "run", tmp_path / "run")
    return tmp_path


@pytest.fixture
def review(place: Path) -> Iterator[Callable[..., Review]]:
    """Starts the command: `review("run")`."""
    begun: list[Review] = []

    def start(*arguments: str) -> Review:
        begun.append(Review(*arguments, cwd=place))
        return begun[-1]

    yield start
    for one in begun:
        one.kill()
