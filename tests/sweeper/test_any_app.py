"""examples/any_hydra_app, in an environment of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

PROJECT = Path(__file__).parent.parent.parent
EXAMPLE = PROJECT / "examples" / "any_hydra_app"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's folder after its search, with all that was imported in `imported.txt`."""
    folder = tmp_path_factory.mktemp("example") / "app"
    shutil.copytree(EXAMPLE, folder)
    run(folder)
    return folder


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-X", "importtime", "app.py", "-m", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "imported.txt").write_text(done.stderr)
    return done.stdout


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="app", storage=f"sqlite:///{folder}/multirun/app/study.db").trials


def test_the_example_is_searched_to_its_total_and_bad_trials_are_pruned(folder: Path) -> None:
    found = trials(folder)
    assert len(found) == 10
    assert {trial.state for trial in found} == {TrialState.COMPLETE, TrialState.PRUNED}
    run(folder)
    assert [trial.state for trial in trials(folder)] == [trial.state for trial in found], (
        "the same command runs no more"
    )


def test_it_imports_no_torch(folder: Path) -> None:
    imported = {line.rpartition("|")[2].strip() for line in (folder / "imported.txt").read_text().splitlines()}
    assert {"hydra", "optuna", "docclf.sweeper"} <= imported
    assert not imported & {"torch", "pytorch_lightning", "timm", "PIL", "pandas", "wandb"}


def test_the_document_shows_it_as_it_is() -> None:
    page = (PROJECT / "docs" / "how-to" / "sweeper.md").read_text(encoding="utf-8")
    assert (EXAMPLE / "app.py").read_text(encoding="utf-8") in page
    assert (EXAMPLE / "conf" / "config.yaml").read_text(encoding="utf-8") in page
