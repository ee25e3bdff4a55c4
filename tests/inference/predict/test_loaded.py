"""A trained model called from Python, as the command predicts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import CLASS_NAMES, TARGETS

import docclf
from docclf.data.formats import read_with_aspect
from docclf.errors import ConfigError, DataError
from docclf.inference.loaded import _file_of

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


@pytest.mark.parametrize("mode", ["HSV", "La", "RGBa", "PA", "YCbCr", "LAB", "RGBX", "I", "I;16B", "I;16L", "I;16N"])
def test_pictures_of_modes_that_no_file_has_are_taken(model: Path, mode: str) -> None:
    loaded = docclf.load_model(model, device="cpu")
    size = (30, 40)
    via = {"La": "LA", "RGBa": "RGBA"}.get(mode, "RGB")
    light = Image.new(via, size, "white")
    odd = Image.new(mode, size, 65535) if mode.startswith("I") else light.convert("P" if mode == "PA" else mode)
    found = loaded([odd.convert(mode) if mode == "PA" else odd, Image.new("RGB", size, "white")]).probabilities
    np.testing.assert_allclose(found[0], found[1], atol=0.02)


def _closed() -> Image.Image:
    image = Image.new("RGB", (5, 5))
    image.close()
    return image


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (Image.new("RGB", (0, 5)), r"got page 1, counted from 0, Image .*it has 0 x 5 pixels"),
        (_closed(), r"got page 1, counted from 0, Image .*closed image"),
        ("none.png", r"got page 1, counted from 0, none\.png: FileNotFoundError"),
        (None, r"got page 1, counted from 0, NoneType None\. Say model\(\['page\.png'\]\)"),
        (b"GIF89a", r"got page 1, counted from 0, bytes b'GIF89a'\. Say"),
        (np.zeros((3, 3)), r"page 1, counted from 0, ndarray .*Say model\(\[PIL\.Image\.fromarray\(page\)\]\)"),
    ],
)
def test_a_page_that_cannot_be_taken_is_called_by_its_place(model: Path, page: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        docclf.load_model(model, device="cpu")([Image.new("RGB", (5, 5)), page])  # type: ignore[list-item]


@pytest.mark.parametrize("pages", [None, 3, "page.png", b"x", {"page.png": 1}, Image.new("L", (5, 5))])
def test_what_is_no_list_of_pages_is_refused(model: Path, pages: object) -> None:
    with pytest.raises(DataError, match=r"Expected a list of paths or Pillow images, got .*Say model\(\[page\]\)"):
        docclf.load_model(model, device="cpu")(pages)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", [None, "meta", "gpu", "cuda:99", 3.5])
def test_a_device_that_there_is_not_is_refused(model: Path, device: object) -> None:
    with pytest.raises(ConfigError, match=r"`device` to be auto or one of this machine, got .*Say device='auto'"):
        docclf.load_model(model, device=device)  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("is_loaded", [False, True])
def test_an_opened_fax_has_the_shape_of_its_page(orientation: int, is_loaded: bool, tmp_path: Path) -> None:
    path = tmp_path / "fax.tif"
    Image.new("1", (172, 107)).save(path, compression="group4", dpi=(204, 98), tiffinfo={274: orientation})
    opened = Image.open(path)
    if is_loaded:
        opened.load()
    aspect = read_with_aspect(path, 16)[1]
    assert aspect == pytest.approx(0.772 if orientation == 1 else 1 / 0.772, rel=2e-3)
    assert read_with_aspect(_file_of(opened), 16)[1] == pytest.approx(aspect, rel=1e-3)


@pytest.mark.parametrize("kind", ["fax", "transparent", "palette"])
def test_an_opened_picture_says_what_its_file_does(model: Path, kind: str, tmp_path: Path) -> None:
    page = Image.new("RGB", (64, 80), "black")
    page.paste("white", (8, 8, 60, 20))
    path = tmp_path / ("page.tif" if kind == "fax" else "page.png")
    if kind == "fax":
        page.convert("1").save(path, compression="group4")
    elif kind == "transparent":
        page.save(path, transparency=(0, 0, 0))
    else:
        page.quantize(4).save(path, transparency=0)
    loaded = docclf.load_model(model, device="cpu")
    opened = Image.open(path)
    with_file = loaded([path]).probabilities
    np.testing.assert_allclose(loaded([opened]).probabilities, with_file, atol=1e-5)
    if kind == "fax":
        np.testing.assert_allclose(loaded([opened.convert("RGB")]).probabilities, with_file, atol=1e-5)
