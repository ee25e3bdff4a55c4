"""Pictures hold what they should, and class names of any script; a warning of a missing glyph fails, as any does."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from docclf.metrics.calibration import Reliability
from docclf.results import pictures
from docclf.results.pictures import (
    font_families,
    shorten,
    shorten_start,
    write_captioned,
    write_confusion,
    write_examples,
    write_reliability,
)


def draw_names(names: Sequence[str]) -> None:
    """What `write_confusion` does, with the warnings that it keeps to itself."""
    pictures._confusion(np.array([0, 1]), np.array([0, 1]), names).savefig(io.BytesIO())


@pytest.mark.parametrize(
    "names",
    [
        ["invoice", "letter of intent"],
        ["계약서", "영수증"],
        ["請求書", "カタカナ ひらがな"],
        ["发票", "收據"],
        ["счёт", "τιμολόγιο"],
        ["영수증 🧾", "ใบแจ้งหนี้"],
        ["चालान", "ரசீது"],
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
    draw_names(names)


def test_names_of_any_length_leave_room_for_the_matrix(tmp_path: Path) -> None:
    """The first letters count, and what cannot be drawn well is drawn without a warning."""
    drawn = []
    for name in ("start " * 60, "start " * 5, "W" * 300, "영" * 300, "\ufdfd" * 30, "a\nb" * 50):
        path = tmp_path / "c.png"
        write_confusion(path, np.array([0, 1]), np.array([0, 1]), [name, "b"])
        with Image.open(path) as picture:
            blue = np.asarray(picture.convert("RGB")).astype(int)
        drawn.append(int(((blue[..., 2] > 80) & (blue[..., 0] < 40)).sum()))
    assert min(drawn[i] for i in (0, 1, 2, 3, 5)) > 5000, "pixels of the diagonal"
    longer = [tmp_path / f"{i}.png" for i in range(2)]
    for path, end in zip(longer, ("x", "y"), strict=True):
        write_confusion(path, np.array([0, 1]), np.array([0, 1]), ["start " * 60 + end, "b"])
    assert longer[0].read_bytes() == longer[1].read_bytes()


# No font that comes along has this: a hieroglyph.
WITHOUT_GLYPHS = ["\U00013000"]


@pytest.mark.parametrize("name", WITHOUT_GLYPHS)
def test_a_name_without_a_glyph_would_be_noticed(name: str) -> None:
    with pytest.warns(UserWarning, match="missing from font"):
        draw_names([name, "b"])


@pytest.mark.parametrize("name", WITHOUT_GLYPHS)
def test_a_user_is_not_told_of_a_missing_glyph(tmp_path: Path, name: str) -> None:
    page = np.zeros((8, 8, 3), dtype=np.uint8)
    write_confusion(tmp_path / "1.png", np.array([0, 1]), np.array([0, 1]), [name, "b"])
    write_examples(tmp_path / "2.png", {name: [page]})
    write_captioned(tmp_path / "3.png", [page], [[name]])
    assert len(list(tmp_path.iterdir())) == 3


def test_a_user_is_told_of_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures.Figure, "savefig", lambda self, path, dpi: warnings.warn("else", stacklevel=1))
    with pytest.warns(UserWarning, match="else"):
        write_confusion(tmp_path / "c.png", np.array([0, 1]), np.array([0, 1]), ["a", "b"])


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


def test_of_very_many_classes_the_matrix_alone_is_drawn() -> None:
    truth = np.arange(300)
    axes = pictures._confusion(truth, truth, [f"class {i}" for i in truth]).axes[0]
    assert len(axes.get_yticklabels()) < 50 and not axes.texts
    few = truth[:200]
    axes = pictures._confusion(few, few, [f"class {i}" for i in few]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"class {i}" for i in few]
    assert [text.get_text() for text in axes.texts] == ["1"] * 200


def test_every_font_is_registered_once() -> None:
    from matplotlib import font_manager

    families = font_families()
    assert len(families) > 20 and font_families() == families
    for family in families[1:]:
        entries = [entry for entry in font_manager.fontManager.ttflist if entry.name == family]
        assert 400 in [entry.weight for entry in entries], "or matplotlib would log that it found no normal one"


@pytest.mark.parametrize("channels", [1, 3])
def test_examples_of_a_class_stand_in_a_row(tmp_path: Path, channels: int) -> None:
    pages = {
        name: [np.full((16, 16, channels), grey, dtype=np.uint8) for grey in greys]
        for name, greys in {"영수증": [10, 60, 110], "b": [160]}.items()
    }
    write_examples(tmp_path / "e.png", pages)
    with Image.open(tmp_path / "e.png") as picture:
        shown = np.asarray(picture.convert("L"))
    rows, columns = (np.array([0.35, 0.85]), (np.arange(3) + 0.5) / 3)
    seen = shown[np.ix_((rows * shown.shape[0]).astype(int), (columns * shown.shape[1]).astype(int))]
    assert seen.ravel().tolist() == pytest.approx([10, 60, 110, 160, 255, 255], abs=1)


def test_many_classes_stand_in_columns_and_their_pages_in_order(tmp_path: Path) -> None:
    n = 120
    write_examples(tmp_path / "e.png", {f"k{i}": [np.full((8, 8, 1), i + 1, dtype=np.uint8)] * 2 for i in range(n)})
    with Image.open(tmp_path / "e.png") as picture:
        shown = np.asarray(picture.convert("L"))
    assert shown.shape == (50 * 170, 3 * 280)
    places = [(i % 50 * 170 + 90, i // 50 * 280 + 70) for i in range(n)]
    assert [int(shown[place]) for place in places] == list(range(1, n + 1))


def test_no_more_classes_are_drawn_than_a_picture_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_MOST_PICTURED", 3)
    write_examples(tmp_path / "e.png", {f"k{i}": [np.zeros((8, 8, 1), np.uint8)] for i in range(9)})
    with Image.open(tmp_path / "e.png") as picture:
        width, height = picture.size
    assert width == 240 and abs(height - 3 * 170) <= 1, "matplotlib 3.10 rounds down"


@pytest.mark.parametrize("length", [28, 300])
def test_captions_keep_the_start_of_names_and_the_end_of_files(length: int, tmp_path: Path) -> None:
    page = np.full((8, 8, 3), 90, dtype=np.uint8)

    def drawn(name: str, file: str) -> bytes:
        write_captioned(tmp_path / "c.png", [page] * 6, [[name, file]] * 6)
        with Image.open(tmp_path / "c.png") as picture:
            assert picture.size == (1000, 2 * 218) and picture.getpixel((100, 308)) == (90, 90, 90)
        return (tmp_path / "c.png").read_bytes()

    filling = "m" * length
    once = drawn(f"a{filling}x", f"a{filling}x")
    assert once != drawn(f"b{filling}x", f"a{filling}x") and once != drawn(f"a{filling}x", f"a{filling}y")
    is_whole = length < 30
    assert (once != drawn(f"a{filling}y", f"a{filling}x")) is is_whole
    assert (once != drawn(f"a{filling}x", f"b{filling}x")) is is_whole


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("", 4, ""),
        ("abcd", 4, "abcd"),
        ("abcde", 4, "…cde"),
        ("가나", 4, "가나"),
        ("가나다", 4, "… 다"),
        ("가나다", 5, "…나다"),
        ("a가나다", 6, "… 나다"),
        ("ab/가 나", 5, "…  나"),
    ],
)
def test_a_shortened_text_fits_and_keeps_its_end(text: str, columns: int, expected: str) -> None:
    assert shorten_start(text, columns) == expected
    assert shorten(text[::-1], columns) == expected[::-1]


@pytest.mark.parametrize(("name", "shown"), [("a\n b\t", "a b"), ("a\x1b[2Jb", "a\ufffd[2Jb"), ("\u1100\u1161", "가")])
def test_a_name_is_shown_in_one_line(name: str, shown: str) -> None:
    assert shorten(name, 30) == shown


# Reliability


def make_bins(n: int, accuracy: float, empty: int = 0) -> Reliability:
    """Bins of equal counts and one accuracy, the first of them empty."""
    count = np.where(np.arange(n) < empty, 0, 10)
    filled = np.where(count > 0, 1.0, np.nan)
    return Reliability(count, filled * (np.arange(n) + 0.5) / n, filled * accuracy)


BEFORE, AFTER = (255, 127, 14), (31, 119, 180)  # Matplotlib's C1 and C0


def heights(path: Path, colour: tuple[int, int, int]) -> tuple[list[int], list[int]]:
    """Columns of a picture that have a colour below its legend: their rows in the curve and in the bars."""
    with Image.open(path) as picture:
        found = (np.asarray(picture.convert("RGB")) == colour).all(axis=2)
    found[:90] = False  # the legend
    curve, bars = found[:435], found[445:]
    return np.flatnonzero(curve.any(axis=1)).tolist(), np.flatnonzero(bars.any(axis=0)).tolist()


def test_curves_are_as_high_as_the_accuracy_and_bars_stand_where_pages_are(tmp_path: Path) -> None:
    write_reliability(tmp_path / "r.png", make_bins(15, 0.25), make_bins(15, 0.75, empty=12), (0.2, 0.04))
    assert [path.name for path in tmp_path.iterdir()] == ["r.png"]
    low, low_bars = heights(tmp_path / "r.png", BEFORE)
    high, high_bars = heights(tmp_path / "r.png", AFTER)
    axes = 10, 431  # the rows of 1 and 0
    assert np.mean(low) == pytest.approx(axes[1] - 0.25 * (axes[1] - axes[0]), abs=3)
    assert np.mean(high) == pytest.approx(axes[1] - 0.75 * (axes[1] - axes[0]), abs=3)
    assert min(low_bars) < 75 and max(low_bars) > 450, "from 0 to 1"
    assert min(high_bars) > 56 + 0.79 * 429, "in the last three of 15 bins alone"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (make_bins(15, 0.5, empty=15), make_bins(15, 0.5, empty=15)),
        (make_bins(1, 1.0), make_bins(1, 0.0)),
        (make_bins(10, 0.5, empty=9), make_bins(30, 0.5)),
    ],
    ids=["no pages", "one bin", "other numbers of bins"],
)
def test_any_bins_are_drawn_without_a_warning(tmp_path: Path, before: Reliability, after: Reliability) -> None:
    write_reliability(tmp_path / "r.png", before, after, (float("nan"), 0.0))
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.size == (500, 600)


def test_the_errors_are_in_the_legend(tmp_path: Path) -> None:
    def legend(*errors: float) -> NDArray[np.uint8]:
        write_reliability(tmp_path / "r.png", make_bins(15, 0.1), make_bins(15, 0.1), (errors[0], errors[1]))
        with Image.open(tmp_path / "r.png") as picture:
            return np.asarray(picture.convert("L"))[10:90]

    once = legend(0.123, 0.045)
    assert (once == legend(0.1231, 0.0449)).all()
    assert (once != legend(0.456, 0.045)).any() and (once != legend(0.123, 0.078)).any()
