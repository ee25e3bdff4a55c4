"""Files of every kind become right-side-up pages, and what is not a page is refused."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageChops

from docclf.data.formats import count_pages, is_page_file, quiet_decoders, read_page
from docclf.data.reading.problems import reason

Colour = int | tuple[int, ...]


def halves(left: Colour, right: Colour, mode: str = "RGB", size: int = 64) -> Image.Image:
    image = Image.new(mode, (size, size), right)
    image.paste(Image.new(mode, (size // 2, size), left), (0, 0))  # a bare value is pasted wrong into 16-bit images
    return image


def save(image: Image.Image, path: Path, **options: Any) -> None:
    """As its suffix says: also as HEIC, by a library that docclf does not have."""
    if path.suffix.lower() not in (".heic", ".heif"):
        image.save(path, **options)
        return
    pillow_heif.from_pillow(image).save(path, quality=-1, chroma=444, **options)


def colours(path: Path, page: int = 0) -> list[list[int]]:
    """Colour in the middle of the left and of the right half."""
    pixels = read_page(path, 16, page=page)
    assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    return [pixels[8, 3].tolist(), pixels[8, 12].tolist()]


@pytest.mark.parametrize(
    ("mode", "left", "right", "name", "expected"),
    [
        ("RGB", (200, 30, 10), (0, 0, 255), "a.png", [[200, 30, 10], [0, 0, 255]]),
        ("RGBA", (200, 30, 10, 255), (0, 0, 0, 0), "a.png", [[200, 30, 10], [255, 255, 255]]),
        ("RGBA", (0, 0, 0, 128), (0, 0, 0, 255), "a.webp", [[127, 127, 127], [0, 0, 0]]),
        ("RGBA", (0, 0, 0, 0), (0, 0, 0, 255), "a.tif", [[255, 255, 255], [0, 0, 0]]),
        ("LA", (40, 255), (0, 0), "a.png", [[40, 40, 40], [255, 255, 255]]),
        ("L", 40, 220, "a.png", [[40, 40, 40], [220, 220, 220]]),
        ("L", 40, 220, "a.JPG", [[40, 40, 40], [220, 220, 220]]),
        ("L", 40, 220, "a.bmp", [[40, 40, 40], [220, 220, 220]]),
        ("1", 0, 1, "a.png", [[0, 0, 0], [255, 255, 255]]),
        ("1", 0, 1, "a.bmp", [[0, 0, 0], [255, 255, 255]]),
        ("1", 0, 1, "a.tif", [[0, 0, 0], [255, 255, 255]]),
        ("CMYK", (0, 255, 255, 0), (0, 0, 0, 0), "a.jpg", [[255, 0, 0], [255, 255, 255]]),
        ("CMYK", (0, 255, 255, 0), (0, 0, 0, 0), "a.tif", [[255, 0, 0], [255, 255, 255]]),
        ("I;16", 0x4000, 0xC000, "a.png", [[64, 64, 64], [192, 192, 192]]),
        ("I;16", 0x4000, 0xC000, "a.tif", [[64, 64, 64], [192, 192, 192]]),
        ("I", 1 << 20, 1 << 22, "a.tif", [[63, 63, 63], [255, 255, 255]]),
        ("I", -50, 0xFFFF, "a.tif", [[0, 0, 0], [255, 255, 255]]),
        ("F", 0.25, 1.0, "a.tif", [[63, 63, 63], [255, 255, 255]]),
        ("F", -5.0, 300.0, "a.tiff", [[0, 0, 0], [255, 255, 255]]),
        ("F", float("nan"), 0.5, "a.tif", [[0, 0, 0], [255, 255, 255]]),
        ("F", float("inf"), 0.5, "a.tif", [[0, 0, 0], [255, 255, 255]]),
        ("F", 0.0, 0.0, "a.tif", [[0, 0, 0], [0, 0, 0]]),
        ("RGB", (200, 30, 10), (0, 0, 255), "a.jp2", [[200, 30, 10], [0, 0, 255]]),
        ("RGBA", (200, 30, 10, 255), (0, 0, 0, 0), "a.jp2", [[200, 30, 10], [255, 255, 255]]),
        ("L", 40, 220, "a.j2k", [[40, 40, 40], [220, 220, 220]]),
        ("I;16", 0x4000, 0xC000, "a.jp2", [[64, 64, 64], [192, 192, 192]]),
        ("RGB", (200, 30, 10), (0, 0, 255), "a.avif", [[200, 30, 10], [0, 0, 255]]),
        ("RGBA", (200, 30, 10, 255), (0, 0, 0, 0), "a.avif", [[200, 30, 10], [255, 255, 255]]),
        ("RGB", (200, 30, 10), (0, 0, 255), "a.heic", [[200, 30, 10], [0, 0, 255]]),
        ("RGBA", (200, 30, 10, 255), (0, 0, 0, 0), "a.HEIF", [[200, 30, 10], [255, 255, 255]]),
        ("L", 40, 220, "a.heic", [[40, 40, 40], [220, 220, 220]]),
        ("YCbCr", (81, 90, 240), (255, 128, 128), "a.tif", [[238, 14, 14], [255, 255, 255]]),
    ],
)
def test_pages_of_every_mode_become_rgb_on_white(
    tmp_path: Path, mode: str, left: Colour, right: Colour, name: str, expected: list[list[int]]
) -> None:
    if mode == "YCbCr" and Image.__version__ < "13":
        pytest.skip("Pillow before 13 does not read what it writes")
    options = {"webp": {"lossless": True}, "avif": {"subsampling": "4:4:4", "quality": 100}}.get(name[2:], {})
    save(halves(left, right, mode), tmp_path / name, **options)
    assert np.abs(np.subtract(colours(tmp_path / name), expected)).max() <= 3


def test_a_palette_keeps_its_colours_and_its_transparent_one_is_white(tmp_path: Path) -> None:
    image = halves(0, 1, "P")
    image.putpalette([200, 30, 10, 0, 0, 0])
    image.save(tmp_path / "opaque.png")
    assert colours(tmp_path / "opaque.png") == [[200, 30, 10], [0, 0, 0]]
    image.save(tmp_path / "clear.png", transparency=1)
    assert colours(tmp_path / "clear.png") == [[200, 30, 10], [255, 255, 255]]


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"quality": 30, "subsampling": 2}, {"optimize": True}], ids=str
)
def test_jpeg_of_every_kind_is_read_and_reduced_while_decoding(tmp_path: Path, options: dict[str, int]) -> None:
    halves((10, 200, 30), (240, 240, 240), size=1600).save(tmp_path / "large.jpg", **options)
    assert np.abs(np.subtract(colours(tmp_path / "large.jpg"), [[10, 200, 30], [240, 240, 240]])).max() <= 4


@pytest.mark.parametrize("halvings", [0, 1, 5])
def test_jpeg_2000_is_reduced_as_far_as_its_resolutions_go(
    tmp_path: Path, halvings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = halves((10, 200, 30), (240, 240, 240), size=1600)
    image.save(tmp_path / "large.jp2", num_resolutions=halvings + 1)
    sizes = []
    convert = Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda self, mode: sizes.append(self.size) or convert(self, mode))  # type: ignore[func-returns-value]
    assert np.abs(np.subtract(colours(tmp_path / "large.jp2"), [[10, 200, 30], [240, 240, 240]])).max() <= 4
    assert sizes == [(1600 >> halvings, 1600 >> halvings)]


def test_a_photo_of_several_pictures_has_its_main_one(tmp_path: Path) -> None:
    file = pillow_heif.from_pillow(halves("white", "white"))
    file.add_from_pillow(halves("black", "white"))
    file.save(tmp_path / "burst.heic", primary_index=1, quality=-1)
    assert colours(tmp_path / "burst.heic") == [[0, 0, 0], [255, 255, 255]]
    assert count_pages(tmp_path / "burst.heic") == 1


def test_a_photo_may_have_any_suffix(tmp_path: Path) -> None:
    save(halves("black", "white"), tmp_path / "a.heic")
    for name in ("a.jpg", "a.tif"):
        (tmp_path / name).write_bytes((tmp_path / "a.heic").read_bytes())
        assert count_pages(tmp_path / name) == 1
        assert colours(tmp_path / name) == [[0, 0, 0], [255, 255, 255]]


def test_what_a_decoder_says_is_one_line() -> None:
    assert reason(ValueError("cut\n  off\n")) == "ValueError: cut off"


CORNERS = {  # EXIF orientation: where the first pixel of the file is in the picture that is meant
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("top", "left"),
    6: ("top", "right"),
    7: ("bottom", "right"),
    8: ("bottom", "left"),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif", "heic"])
@pytest.mark.parametrize("orientation", CORNERS)
def test_the_orientation_of_a_camera_is_undone(tmp_path: Path, orientation: int, suffix: str) -> None:
    image = Image.new("RGB", (120, 160), "white")
    image.paste((0, 0, 0), (0, 0, 60, 80))
    image.paste((255, 0, 0), (60, 0, 120, 80))  # the file's first row goes on in red
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(image, tmp_path / f"turned.{suffix}", exif=exif.tobytes())
    page = read_page(tmp_path / f"turned.{suffix}", 16).astype(int)
    row, column = CORNERS[orientation]
    y, x = {"top": 4, "bottom": 11}[row], {"left": 4, "right": 11}[column]
    assert page[y, x].max() < 40, "black"
    # Orientations up to 4 keep rows as rows, the others make columns of them.
    red = page[y, 15 - x] if orientation <= 4 else page[15 - y, x]
    assert red[0] > 200 and red[1:].max() < 60


@pytest.mark.parametrize(
    ("compression", "mode"),
    [
        ("group3", "1"),
        ("group4", "1"),
        ("packbits", "L"),
        ("tiff_lzw", "RGB"),
        ("tiff_adobe_deflate", "RGB"),
        ("jpeg", "RGB"),
        ("jpeg", "L"),
    ],
)
def test_every_page_of_a_tiff_can_be_read(tmp_path: Path, compression: str, mode: str) -> None:
    pages = [halves("black", "white", "RGB"), halves("white", "black", "RGB"), halves("white", "white", "RGB")]
    first, *others = [page.convert(mode) for page in pages]
    path = tmp_path / "fax.tif"
    first.save(path, save_all=True, append_images=others, compression=compression)
    assert count_pages(path) == 3
    found = [[colour[0] > 128 for colour in colours(path, number)] for number in range(3)]
    assert found == [[False, True], [True, False], [True, True]]
    with pytest.raises(EOFError):
        read_page(path, 16, page=3)


@pytest.mark.parametrize("path", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.jp2", "a.avif", "a.heic"])
def test_other_formats_have_one_page(tmp_path: Path, path: str) -> None:
    save(halves("black", "white"), tmp_path / path)
    assert count_pages(tmp_path / path) == 1


def test_a_grey_page_has_one_channel_and_a_file_s_bytes_are_read_as_the_file_is(tmp_path: Path) -> None:
    halves((255, 0, 0), (0, 0, 255)).save(tmp_path / "a.png")
    page = read_page(tmp_path / "a.png", 16, channels=1)
    assert page.shape == (16, 16, 1)
    assert abs(int(page[8, 3, 0]) - 76) <= 1 and abs(int(page[8, 12, 0]) - 29) <= 1, "by brightness"
    assert np.array_equal(page, read_page((tmp_path / "a.png").read_bytes(), 16, channels=1))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 3000), (3000, 1), (15, 17)])
def test_tiny_and_narrow_images_become_pages_too(tmp_path: Path, width: int, height: int) -> None:
    Image.new("RGB", (width, height), (9, 99, 200)).save(tmp_path / "a.png")
    assert (read_page(tmp_path / "a.png", 24) == [9, 99, 200]).all()


NAMES = [
    "한글 문서.png",
    "📄 🧾.png",
    "  spaces, and commas; 'quotes'.png",
    "e\u0301 ﷺ ไทย.png",
    "#%?&=*.png",
    "-rf.png",
]


@pytest.mark.parametrize("name", NAMES)
def test_files_may_have_any_name(tmp_path: Path, name: str) -> None:
    halves("black", "white").save(tmp_path / name)
    assert is_page_file(tmp_path / name)
    assert colours(tmp_path / name) == [[0, 0, 0], [255, 255, 255]]


def test_paths_may_be_very_long_and_files_may_be_links(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["아주 긴 이름" * 10] * 8)
    folder.mkdir(parents=True)
    path = folder / ("x" * 240 + ".png")
    halves("black", "white").save(path)
    assert len(os.fsencode(path)) > 1600
    link = tmp_path / "link.png"
    link.symlink_to(path)
    assert is_page_file(path) and is_page_file(link)
    assert colours(path) == colours(link) == [[0, 0, 0], [255, 255, 255]]


def test_a_broken_link_is_a_page_that_cannot_be_read_and_a_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "to folder.png").symlink_to(tmp_path / "folder.png")
    names = {path.name for path in tmp_path.iterdir() if is_page_file(path)}
    assert names == {"broken.png"}
    with pytest.raises(FileNotFoundError, match=r"broken\.png"):
        read_page(tmp_path / "broken.png", 16)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.png", True),
        ("a.PDF", True),
        ("a.gif", True),
        ("a.HEIC", True),
        ("a.jp2", True),
        (".a.png", False),
        ("a", False),
    ],
)
def test_pages_are_known_by_their_suffix(tmp_path: Path, name: str, kept: bool) -> None:
    (tmp_path / name).write_bytes(b"anything")
    assert is_page_file(tmp_path / name) is kept


def test_an_image_of_400_megapixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(Image.DecompressionBombError, match="400000000 pixels"):
        read_page(tmp_path / "bomb.png", 16)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jpg", b"", "the file is empty"),
        ("a.pdf", b"", "the file is empty"),
        ("a.jpg", b"Dear Sir or Madam", "cannot identify image file$"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS: .* git lfs pull$"),
        ("a.tif", b"II*\x00\x08\x00\x00\x00", "cannot identify image file"),
        ("a.pdf", b"%PDF-1.4 and no more", "Failed to load document"),
        ("a.pdf", b"Dear Sir or Madam", "cannot identify image file"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with quiet_decoders(), pytest.raises(Exception, match=message):
        read_page(tmp_path / name, 16)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.tif", "a.pdf", "a.jp2", "a.avif", "a.heic"])
def test_half_a_file_is_refused(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    save(Image.fromarray(noise), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert read_page(content, 16).std() > 0
    with pytest.raises(Exception, match=r"\w"):
        read_page(content[: len(content) // 2], 16)


@pytest.mark.parametrize("is_inverted", [False, True])
def test_inks_of_a_jpeg_that_does_not_say_how_it_has_them_are_taken_the_lighter_way(is_inverted: bool) -> None:
    page = Image.new("RGB", (64, 64), "white")
    page.paste("black", (0, 0, 64, 8))
    inks = page.convert("CMYK")
    file = io.BytesIO()
    (ImageChops.invert(inks) if is_inverted else inks).save(file, "JPEG")
    content = file.getvalue()
    start = content.index(b"\xff\xee")
    assert content[start + 4 :].startswith(b"Adobe")
    unsaid = content[:start] + content[start + 2 + int.from_bytes(content[start + 2 : start + 4], "big") :]
    found = read_page(unsaid, 16, channels=1)
    assert found[8:].mean() > 240 and found[0].mean() < 60


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_page_of_which_nothing_could_be_seen_is_what_its_colours_are(mode: str) -> None:
    page = Image.new("L", (20, 20), 90).convert(mode)
    page.putalpha(0)
    file = io.BytesIO()
    page.save(file, "PNG")
    assert abs(float(read_page(file.getvalue(), 16).mean()) - 90) < 2
