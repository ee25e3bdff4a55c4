"""The built wheel, unpacked where no checkout is near."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", "site", wheel]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "site"


def run(site: Path, cwd: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "docclf.train", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, capture_output=True, check=True)
    return done.stdout


def test_an_installed_docclf_has_its_config_and_its_sweeper_in_any_folder(site: Path, tmp_path: Path) -> None:
    assert str(site / "docclf" / "conf") in run(site, tmp_path, "hparams_search=optuna", "--info", "searchpath")
    assert "_target_: docclf.sweeper.plugin.DocclfSweeper" in run(
        site, tmp_path, "hparams_search=optuna", "--cfg", "all"
    )


def test_a_wheel_carries_neither_tests_nor_benchmarks(site: Path) -> None:
    top = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert top - {"bin", "__pycache__"} == {"docclf"}
    assert (site / "docclf" / "conf" / "train.yaml").is_file()
