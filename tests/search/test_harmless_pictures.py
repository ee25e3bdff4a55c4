"""Pictures that cannot be drawn cost a warning, once, and no trial."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docclf.results.pictures import write_confusion, write_examples


@pytest.mark.slow
@pytest.mark.parametrize("top_k", [0, 1])
def test_a_search_without_pictures_comes_to_its_end(search: Any, top_k: int) -> None:
    search.cwd.mkdir(parents=True, exist_ok=True)
    (search.cwd / "matplotlibrc").write_text("text.usetex: True\n")  # which needs a program that is not here
    # In a Python of its own: the server of tests/shared/forked.py has read matplotlib's settings elsewhere.
    process = search.start("search.n_trials=2", f"finalists.top_k={top_k}", "report=true")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "Traceback" not in output, output
    assert search.states == ["COMPLETE"] * 2
    assert output.count("Pictures could not be drawn, everything else goes on") == 1
    assert (search.folder / "best" / "oof.csv").is_file() and (search.folder / "report.html").is_file()
    assert not list(search.folder.rglob("confusion.png"))


@pytest.mark.parametrize("broken", ["a file where a folder is to be", "a folder where the file is to be"])
def test_a_disk_that_takes_no_picture_is_told_of_once(
    broken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / broken / "picture.png"
    if broken.startswith("a file"):
        path.parent.touch()
    else:
        path.mkdir(parents=True)
        (path / "x").touch()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            write_confusion(path, np.array([0, 1]), np.array([0, 1]), ["a", "b"])
        write_examples(path, {"a": [np.zeros((8, 8, 3), np.uint8)]})
    assert caplog.text.count("Pictures could not be drawn") in (1, 2)  # one a reason, which may name the temporary file
