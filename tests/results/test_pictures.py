"""Class names of any script show in pictures; the suite turns matplotlib's missing-glyph warning into an error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docclf.results.pictures import font_families, write_confusion


@pytest.mark.parametrize(
    "names",
    [
        ["invoice", "letter of intent"],
        ["계약서", "영수증"],
        ["請求書", "カタカナ ひらがな"],
        ["发票", "收據"],
        ["счёт", "τιμολόγιο"],
        ["$^$ & a_b", "100 % {sure}"],
    ],
    ids=lambda names: names[0],
)
def test_names_of_any_script_are_drawn(tmp_path: Path, names: list[str]) -> None:
    write_confusion(tmp_path / "confusion.png", np.array([0, 0, 1]), np.array([0, 1, 1]), names)
    with Image.open(tmp_path / "confusion.png") as picture:
        picture.load()
        assert len(np.unique(np.asarray(picture))) > 10
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_without_a_glyph_would_be_noticed(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="missing from font"):
        write_confusion(tmp_path / "confusion.png", np.array([0, 1]), np.array([0, 1]), ["\U00013000", "b"])


def test_the_diagonal_is_dark_where_all_is_right(tmp_path: Path) -> None:
    """Looked up in the pixels: right predictions of two classes, and the same counts swapped."""
    shares = []
    for predicted in ([0, 0, 1, 1], [1, 1, 0, 0]):
        write_confusion(tmp_path / "c.png", np.array([0, 0, 1, 1]), np.array(predicted), ["a", "b"])
        with Image.open(tmp_path / "c.png") as picture:
            blue = np.asarray(picture.convert("RGB")).astype(int)
        rows, columns = np.nonzero((blue[..., 2] > 80) & (blue[..., 0] < 40))
        upper_left = (rows < rows.mean()) == (columns < columns.mean())
        shares.append(upper_left.mean())
    assert shares[0] > 0.95 and shares[1] < 0.05


def test_many_classes_and_absent_ones_are_drawn(tmp_path: Path) -> None:
    truth = np.arange(40)
    write_confusion(tmp_path / "c.png", truth, truth[::-1].copy(), [f"class {i}" for i in range(60)])
    with Image.open(tmp_path / "c.png") as picture:
        assert 2000 < picture.width == picture.height <= 3000


def test_the_font_of_east_asia_is_registered_once() -> None:
    from matplotlib import font_manager

    families = font_families()
    assert len(families) == 2 and font_families() == families
    entries = [entry for entry in font_manager.fontManager.ttflist if entry.name == families[1]]
    assert len(entries) == 1
