"""A trained model called from Python, as the command predicts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import CLASS_NAMES, TARGETS

import docclf
from docclf.errors import DataError

Rows = Callable[..., list[list[str]]]


@pytest.fixture
def files(pages_root: Path) -> list[Path]:
    return sorted((pages_root / "test").iterdir())


def test_it_says_what_the_command_writes(model: Path, run_predict: Rows, files: list[Path]) -> None:
    loaded = docclf.load_model(model, device="cpu")
    found = loaded(files)
    rows = {row[0]: row for row in run_predict(files[0].parent)}
    assert loaded.targets == TARGETS and loaded.class_names == CLASS_NAMES
    assert found.targets == [rows[file.name][1] for file in files]
    assert found.names == [CLASS_NAMES[TARGETS.index(target)] for target in found.targets]
    written = np.array([rows[file.name][3 : 3 + len(TARGETS)] for file in files], np.float32)
    np.testing.assert_allclose(found.probabilities, written, atol=2e-6)


def test_it_takes_pictures_of_any_mode(model: Path, files: list[Path]) -> None:
    loaded = docclf.load_model(model, device="cpu")
    pictures = [Image.open(file) for file in files]
    for picture in pictures:
        picture.load()  # which closes its file
    np.testing.assert_allclose(loaded(pictures).probabilities, loaded([*map(str, files)]).probabilities, atol=1e-6)
    odd = [Image.new(mode, (30, 40)) for mode in ("1", "L", "P", "RGBA", "LA", "I;16", "CMYK", "F")]
    assert loaded(odd).probabilities.shape == (8, 3)
    assert loaded([]).probabilities.shape == (0, 3) and loaded([]).names == []


def test_a_page_that_cannot_be_read_is_named(model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "나쁜 page.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"나쁜 page\.png"):
        docclf.load_model(model, device="cpu")([bad])
    with pytest.raises(DataError, match="no folder"):
        docclf.load_model(tmp_path / "none")
