"""Pages are decoded once, right, and never in part."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docclf.data.cache import cache_size, default_cache_dir, load_pages, read_page
from docclf.errors import DataError


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for i, suffix in enumerate(("png", "jpg", "webp", "bmp", "tif")):
        found.append(tmp_path / f"{i}.{suffix}")
        Image.new("RGB", (30, 40), (50 * i, 10, 20)).save(found[-1])
    return found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_pages_come_as_one_read_only_array_in_the_order_of_the_files(paths: list[Path], cache: Path) -> None:
    pages = load_pages(paths, 16, cache)
    assert pages.shape == (5, 16, 16, 3) and pages.dtype == np.uint8
    assert np.abs(pages[:, 8, 8].astype(int) - [[50 * i, 10, 20] for i in range(5)]).max() <= 4
    assert not pages.flags.writeable


def test_a_second_call_decodes_nothing(paths: list[Path], cache: Path) -> None:
    first = load_pages(paths, 16, cache)
    (file,) = cache.iterdir()
    written = file.stat().st_mtime_ns
    again = load_pages(paths, 16, cache)
    assert file.stat().st_mtime_ns == written and list(cache.iterdir()) == [file]
    assert np.array_equal(first, again)


def test_a_changed_file_is_decoded_anew_even_if_it_is_as_large_as_before(paths: list[Path], cache: Path) -> None:
    load_pages(paths, 16, cache)
    bitmap = paths[3]
    before = bitmap.stat()
    Image.new("RGB", (30, 40), "white").save(bitmap)
    os.utime(bitmap, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert bitmap.stat().st_size == before.st_size
    assert load_pages(paths, 16, cache)[3].min() == 255
    assert len(list(cache.iterdir())) == 2


def test_another_order_or_size_is_another_array(paths: list[Path], cache: Path) -> None:
    pages = load_pages(paths, 16, cache)
    assert np.array_equal(load_pages(paths[::-1], 16, cache), pages[::-1])
    assert load_pages(paths, 24, cache).shape == (5, 24, 24, 3)


def test_every_unreadable_file_is_named_and_nothing_is_left_behind(paths: list[Path], cache: Path) -> None:
    empty, truncated, text = paths[0], paths[1], paths[3]
    empty.write_bytes(b"")
    Image.effect_noise((200, 200), 90).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:4000])
    text.write_text("not an image")
    with pytest.raises(DataError) as refused:
        load_pages(paths, 16, cache)
    assert "got 3 of 5 that are not" in str(refused.value)
    assert all(f"\n  {path}: " in str(refused.value) for path in (empty, truncated, text))
    assert str(paths[2]) not in str(refused.value)
    assert list(cache.iterdir()) == []


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCCLF_CACHE", "/somewhere")
    assert default_cache_dir() == Path("/somewhere")
    monkeypatch.delenv("DOCCLF_CACHE")
    assert default_cache_dir() == tmp_path / "docclf"


@pytest.mark.parametrize(
    ("image_size", "margin", "size"), [(96, 1.15, 112), (96, 1.0, 96), (1, 1.0, 8), (32, 1.15, 40)]
)
def test_pages_are_kept_a_margin_larger(image_size: int, margin: float, size: int) -> None:
    assert cache_size(image_size, margin) == size


# One page


def halves(left: int | tuple[int, ...], right: int | tuple[int, ...], mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (64, 64), right)
    image.paste(Image.new(mode, (32, 64), left), (0, 0))  # a bare value is pasted wrong into 16-bit images
    return image


def colours(path: Path) -> list[list[int]]:
    """Colour in the middle of the left and of the right half."""
    page = read_page(path, 16)
    assert page.shape == (16, 16, 3) and page.dtype == np.uint8
    return [page[8, 3].tolist(), page[8, 12].tolist()]


def test_the_orientation_of_a_camera_is_undone(tmp_path: Path) -> None:
    image = halves((0, 0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: left becomes top
    image.save(tmp_path / "turned.jpg", exif=exif)
    page = read_page(tmp_path / "turned.jpg", 16)
    assert page[3].max() < 20 and page[12].min() > 235


@pytest.mark.parametrize(
    ("mode", "left", "right", "suffix", "expected"),
    [
        ("RGB", (200, 30, 10), (0, 0, 255), "png", [[200, 30, 10], [0, 0, 255]]),
        ("RGBA", (200, 30, 10, 255), (0, 0, 0, 0), "png", [[200, 30, 10], [255, 255, 255]]),
        ("RGBA", (0, 0, 0, 128), (0, 0, 0, 255), "webp", [[127, 127, 127], [0, 0, 0]]),
        ("LA", (40, 255), (0, 0), "png", [[40, 40, 40], [255, 255, 255]]),
        ("L", 40, 220, "png", [[40, 40, 40], [220, 220, 220]]),
        ("1", 0, 1, "tif", [[0, 0, 0], [255, 255, 255]]),
        ("CMYK", (0, 255, 255, 0), (0, 0, 0, 0), "jpg", [[255, 0, 0], [255, 255, 255]]),
        ("I;16", 0x4000, 0xC000, "png", [[64, 64, 64], [192, 192, 192]]),
        ("I;16", 0x4000, 0xC000, "tif", [[64, 64, 64], [192, 192, 192]]),
    ],
)
def test_pages_of_every_mode_become_rgb_on_white(
    tmp_path: Path, mode: str, left: int, right: int, suffix: str, expected: list[list[int]]
) -> None:
    path = tmp_path / f"page.{suffix}"
    halves(left, right, mode).save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert np.abs(np.subtract(colours(path), expected)).max() <= 3


def test_a_palette_keeps_its_colours_and_its_transparent_one_is_white(tmp_path: Path) -> None:
    image = halves(0, 1, "P")
    image.putpalette([200, 30, 10, 0, 0, 0])
    image.save(tmp_path / "opaque.png")
    assert colours(tmp_path / "opaque.png") == [[200, 30, 10], [0, 0, 0]]
    image.save(tmp_path / "clear.png", transparency=1)
    assert colours(tmp_path / "clear.png") == [[200, 30, 10], [255, 255, 255]]
