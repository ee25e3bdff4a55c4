"""The folder of a search that has ended."""

import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image
from results.report.studies import NAME, new_study, trial, write_config, write_run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pages, and a finished search of 12 trials with finalists in `multirun/서류 1`."""
    place = tmp_path_factory.mktemp("project")
    root = place / "pages"
    (root / "train").mkdir(parents=True)
    for i in range(40):
        shade = 5 * i
        Image.new("RGB", (60, 80), (shade, 255 - shade, 90)).save(root / "train" / f"page {i}.png")
    folder = place / "multirun" / "서류 1"
    folder.mkdir(parents=True)
    storage = f"sqlite:///{folder / 'study.db'}"
    states = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED]
    study = new_study([trial(i, states[i % 3]) for i in range(12)], storage=storage, study_name=NAME)
    for made in study.trials:
        here = folder / str(made.number)
        if made.state == TrialState.COMPLETE:
            write_run(here, root, right=0.5, seed=made.number)
        else:
            write_config(here, lr=5e-3)
        (here / "train.log").write_text("the log <of> the trial")
    best = study.best_trial
    known = {"folds": [0.7, 0.8], "expected_score": {"macro_f1": 0.74, "low": 0.6, "high": 0.85}}
    finals = [
        trial(0, user_attrs={"finalist": "0 seed=1", "role": "baseline", "folds": [0.4, 0.5]}, values=[0.45]),
        trial(1, user_attrs={"finalist": f"{best.number} seed=1", **known}, values=[0.75]),
    ]
    finalists = new_study(finals, storage=storage, study_name=f"{NAME}-finalists")
    finalists.set_user_attr("current", ["0 seed=1", f"{best.number} seed=1"])
    for number, right in ((0, 0.4), (1, 0.9)):
        write_run(folder / "finalists" / str(number), root, right=right, seed=number)
    return place


@pytest.fixture
def search(project: Path, tmp_path: Path) -> tuple[optuna.Study, Path]:
    """A copy of the search, to be written to."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "multirun" / "서류 1"
    for path in folder.rglob("hydra.yaml"):
        path.write_text(path.read_text().replace(str(project), str(tmp_path)))
    return optuna.load_study(study_name=NAME, storage=f"sqlite:///{folder / 'study.db'}"), folder
