"""A study whose file was lost or replaced beside the folders of its trials: nothing of these is overwritten."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slowly import slowly


@pytest.fixture(scope="module")
def searched(new_toy: Callable[[], Any]) -> Any:
    """A search of three trials, and beside it its file when it had one."""
    toy = new_toy()
    toy.run("n_trials=1")
    shutil.copy(toy.folder / "study.db", toy.cwd / "older.db")
    toy.run("n_trials=3")
    return toy


@pytest.mark.parametrize("loss", ["gone", "empty", *slowly("older", "emptied by another")])
def test_folders_that_the_study_does_not_know_are_not_overwritten(searched: Any, toy: Any, loss: str) -> None:
    shutil.copytree(searched.cwd, toy.cwd, dirs_exist_ok=True)
    file, copy = toy.folder / "study.db", toy.cwd / "older.db"
    before = toy.files(0, 1, 2)
    for path in toy.folder.glob("study.db*"):
        path.unlink()
    if loss == "empty":
        file.touch()
    elif loss == "older":
        shutil.copy(copy, file)
    elif loss == "emptied by another":
        shutil.copy(copy, file)
        from optuna import delete_study

        delete_study(study_name="toy", storage=toy.storage)
    output = toy.run("n_trials=4", code=1).output
    assert "Expected a study that knows the trials" in output
    assert ("beyond: 1, 2." if loss == "older" else "beyond: 0, 1, 2.") in output
    assert "Traceback" not in output
    assert toy.files(0, 1, 2) == before


@pytest.mark.slow
def test_put_back_it_goes_on(toy: Any, tmp_path: Path) -> None:
    toy.run("n_trials=2")
    shutil.move(toy.folder / "study.db", tmp_path / "kept.db")
    toy.run("n_trials=3", code=1)
    shutil.move(tmp_path / "kept.db", toy.folder / "study.db")
    toy.run("n_trials=3")
    assert toy.states() == ["COMPLETE"] * 3
