"""Files that a job keeps with its trial."""

import logging
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta

from docclf.sweeper.job.trial import JobTrial


@pytest.fixture
def trial(tmp_path: Path) -> optuna.Trial:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    return study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "그림 1.png"
    path.write_bytes(b"\x89PNG and more")
    return path


def test_an_attached_file_comes_back_byte_by_byte(trial: optuna.Trial, picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "multirun" / "artifacts"
    JobTrial(trial, folder=folder.parent).attach(picture)
    trial.study.tell(trial, 1.0)
    (found,) = get_all_artifact_meta(trial.study.trials[0], storage=trial.study._storage)
    assert (found.filename, found.mimetype) == ("그림 1.png", "image/png")
    download_artifact(
        artifact_store=FileSystemArtifactStore(folder), artifact_id=found.artifact_id, file_path=str(tmp_path / "copy")
    )
    assert (tmp_path / "copy").read_bytes() == picture.read_bytes()


@pytest.mark.parametrize("trouble", ["no folder can be made", "no such file", "the trial is finished"])
def test_what_cannot_be_attached_is_told_and_nothing_else(
    trouble: str, trial: optuna.Trial, picture: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "artifacts"
    if trouble == "no folder can be made":
        folder.write_text("a file")
    elif trouble == "no such file":
        picture.unlink()
    else:
        trial.study.tell(trial, 1.0)
    with caplog.at_level(logging.WARNING, logger="docclf"):
        JobTrial(trial, folder=folder.parent).attach(picture)
    assert "Could not attach 그림 1.png to the trial: " in caplog.text


def test_outside_a_search_nothing_is_attached(
    picture: Path, trial: optuna.Trial, caplog: pytest.LogCaptureFixture
) -> None:
    JobTrial().attach(picture)
    JobTrial(trial).attach(picture)
    assert caplog.text == "" and get_all_artifact_meta(trial, storage=trial.study._storage) == []
