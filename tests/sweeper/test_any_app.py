"""examples/any_hydra_app with docclf-sweeper, the distribution that has the sweeper and nothing else."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import optuna
import pytest
from hatchling.builders.wheel import WheelBuilder
from optuna.trial import TrialState

PROJECT = Path(__file__).parent.parent.parent
EXAMPLE = PROJECT / "examples" / "any_hydra_app"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example after its search, with docclf-sweeper in `site/`, and what was imported in `imported.txt`."""
    folder = tmp_path_factory.mktemp("example") / "app"
    shutil.copytree(EXAMPLE, folder)
    (wheel,) = WheelBuilder(str(PROJECT / "sweeper")).build(directory=str(folder), versions=["standard"])
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", "site", wheel]
    subprocess.run(command, check=True, cwd=folder)
    run(folder)
    return folder


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-X", "importtime", "app.py", "-m", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder / "site")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "imported.txt").write_text(done.stderr)
    return done.stdout


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="app", storage=f"sqlite:///{folder}/multirun/app/study.db").trials


def test_the_example_is_searched_to_its_total_and_bad_trials_are_pruned(folder: Path) -> None:
    found = trials(folder)
    assert len(found) == 10
    assert {trial.state for trial in found} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_it_imports_no_torch(folder: Path) -> None:
    imported = {line.rpartition("|")[2].strip() for line in (folder / "imported.txt").read_text().splitlines()}
    assert {"hydra", "optuna", "docclf.sweeper"} <= imported
    assert not imported & {"torch", "pytorch_lightning", "timm", "PIL", "pandas", "wandb"}
    rooms = {path.stem for path in (folder / "site" / "docclf").iterdir()}
    assert rooms & {"data", "sweeper", "training"} == {"sweeper"}


def test_it_needs_what_docclf_needs_of_the_same_releases() -> None:
    own, of_docclf = (
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
        for folder in (PROJECT / "sweeper", PROJECT)
    )
    assert set(own) < set(of_docclf)


@pytest.mark.slow
def test_it_is_installed_without_torch_in_an_empty_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-c", PROJECT / "constraints.txt", PROJECT / "sweeper"]
    done = subprocess.run(install, capture_output=True, text=True)
    if "Failed to establish a new connection" in done.stderr:
        pytest.skip("no package registry is to be had")
    assert done.returncode == 0, done.stderr
    shutil.copytree(EXAMPLE, tmp_path / "app")
    subprocess.run([python, "-W", "error", "app.py", "-m"], check=True, cwd=tmp_path / "app")
    assert len(trials(tmp_path / "app")) == 10
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([python, "-c", "import torch"], check=True, capture_output=True)


def test_the_document_shows_it_as_it_is() -> None:
    page = (PROJECT / "docs" / "how-to" / "sweeper.md").read_text(encoding="utf-8")
    assert (EXAMPLE / "app.py").read_text(encoding="utf-8") in page
    assert (EXAMPLE / "conf" / "config.yaml").read_text(encoding="utf-8") in page
