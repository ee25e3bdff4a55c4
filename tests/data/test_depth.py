"""Scans of fewer bits than their files have room for are as bright as they are."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from docclf.data.formats import read_page

RAMP = np.tile(np.linspace(0, 255, 64).astype(np.int64), (64, 1))


def png(values: NDArray[Any], transparent: int | None = None) -> bytes:
    """A PNG file of 16 bits, of shape (h, w) or (h, w, channels), with a grey value that is transparent."""
    height, width = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    hidden = b"" if transparent is None else chunk(b"tRNS", struct.pack(">H", transparent))
    return head + hidden + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("transparent", "expected"), [(0, 255), (7, 0)])
def test_transparent_grey_is_white(transparent: int, expected: int, tmp_path: Path) -> None:
    values = np.full((64, 64), 30_000)
    values[:32] = 0
    (tmp_path / "a.png").write_bytes(png(values, transparent))
    page = read_page(tmp_path / "a.png", 64)
    assert (page[:30] == expected).all() and (page[34:] == 30_000 >> 8).all()


def tiff(values: NDArray[Any], compression: int) -> bytes:
    found, content = cv2.imencode(".tif", values, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    assert found
    return content.tobytes()


def raw_tiff(values: NDArray[Any], order: str = "<") -> bytes:
    """A TIFF file as it is written without a library: of shape (h, w), or of planes, (channels, h, w)."""
    planes = values.astype(values.dtype.newbyteorder(order)).reshape(-1, *values.shape[-2:])
    n, height, width = planes.shape
    form = {"u": 1, "i": 2}[values.dtype.kind]
    at = 8 + 2 + 12 * 10 + 4
    tags = {256: [width], 257: [height], 258: [8 * values.itemsize] * n, 259: [1], 262: [2 if n > 1 else 1]}
    tags |= {273: [at + 40 + i * planes[0].nbytes for i in range(n)], 277: [n], 279: [planes[0].nbytes] * n}
    tags |= {284: [2 if n > 1 else 1], 339: [form] * n}
    entries, extra = b"", b""
    for tag, numbers in tags.items():
        kind, letter = (4, "I") if tag in (273, 279) else (3, "H")
        content = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(content) > 4:
            content, extra = struct.pack(f"{order}I", at + len(extra)), extra + content
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + content.ljust(4, b"\0")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    return head + entries + b"\0" * 4 + extra.ljust(40, b"\0") + planes.tobytes()


def colours(values: NDArray[Any], channels: int) -> NDArray[Any]:
    """Grey values in so many channels, the last of 2 or 4 opaque."""
    stacked = np.repeat(values[..., None], channels, axis=2)
    if channels in (2, 4):
        stacked[..., -1] = values.max()
    return stacked


def bright(content: bytes) -> NDArray[Any]:
    page = read_page(content, 64)
    assert np.abs(page.astype(int) - RAMP[..., None]).max() <= 3
    assert len(np.unique(page)) > 60, "all grey levels are there"
    return page


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_may_hold_fewer(bits: int, channels: int) -> None:
    values = RAMP * ((1 << bits) - 1) // 255 if bits > 8 else RAMP
    bright(png(values if channels == 1 else colours(values, channels)))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compression", [1, 5, 8])  # none, LZW, deflate
def test_a_tiff_of_16_bits_may_hold_fewer(bits: int, channels: int, compression: int) -> None:
    values = (RAMP * ((1 << bits) - 1) // 255).astype(np.uint16)
    bright(tiff(values if channels == 1 else colours(values, channels), compression))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_16_bits_are_read_as_such(bits: int, order: str) -> None:
    values = (RAMP * ((1 << bits) - 1) // 255).astype(np.uint16)
    bright(raw_tiff(np.stack([values] * 3), order))


@pytest.mark.parametrize(
    ("kind", "order", "bits"),
    [("u4", "<", 32), ("i4", "<", 31), ("i4", ">", 31), ("i2", "<", 15), ("i2", ">", 15), ("i2", "<", 12)],
)
def test_the_sign_of_a_number_is_no_colour(kind: str, order: str, bits: int) -> None:
    bright(raw_tiff((RAMP * ((1 << bits) - 1) // 255).astype(kind), order))


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("i1", 0, 127), ("i1", -128, 127), ("i2", -32768, 32767), ("i2", -2048, 2047), ("i4", -(1 << 30), 1 << 30)],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_signed_numbers_have_their_range(kind: str, low: int, high: int, order: str) -> None:
    bright(raw_tiff((low + RAMP * (high - low) // 255).astype(kind), order))


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-5.0, 0.0), (-300.0, 20.0), (0.0, 1.0)])
def test_fractions_may_be_negative(low: float, high: float) -> None:
    file = io.BytesIO()
    Image.fromarray((low + RAMP / 255 * (high - low)).astype(np.float32)).save(file, "TIFF")
    bright(file.getvalue())


def test_one_dead_pixel_below_0_makes_no_page_white() -> None:
    values = RAMP.astype(np.float32)
    values[0, 0] = -1e6
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    bright(file.getvalue())


def jpeg_2000(values: NDArray[Any]) -> bytes:
    found, content = cv2.imencode(".jp2", values.astype(np.uint16), [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    assert found
    return content.tobytes()


@pytest.mark.parametrize(("bits", "apart"), [(12, 16), (14, 4), (16, 1)])
def test_a_coloured_jpeg_2000_of_16_bits_may_hold_fewer_and_is_coarser_then(bits: int, apart: int) -> None:
    ramp = RAMP.clip(20, 250)
    page = read_page(jpeg_2000(colours(ramp * ((1 << bits) - 1) // 255, 3)), 64)
    assert np.abs(page.astype(int) - ramp[..., None]).max() <= apart


@pytest.mark.parametrize("extreme", [0, 65535])  # which Pillow does not tell apart
def test_a_coloured_jpeg_2000_that_pillow_may_read_wrongly_is_refused(extreme: int) -> None:
    with pytest.raises(ValueError, match="may read white as black: save it as TIFF or PNG"):
        read_page(jpeg_2000(np.where(colours(RAMP, 3) > 127, extreme, 9999)), 64)


def test_a_tiff_whose_zero_is_white_is_no_negative(tmp_path: Path) -> None:
    Image.fromarray((4095 - RAMP * 4095 // 255).astype(np.uint16)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    bright((tmp_path / "a.tif").read_bytes())


@pytest.mark.parametrize("top", [1, 3, 15])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_mask_of_small_numbers_is_black_and_white(top: int, mode: str) -> None:
    values = np.where(RAMP > 127, top, 0).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).convert(mode).save(file, "PNG")
    page = read_page(file.getvalue(), 64)
    assert (page.min(), page.max()) == (0, 255)


@pytest.mark.parametrize("grey", [0, 1, 10, 40])
def test_a_page_of_one_dark_grey_is_what_it_is(grey: int) -> None:
    file = io.BytesIO()
    Image.new("L", (20, 30), grey).save(file, "PNG")
    assert (read_page(file.getvalue(), 16) == grey).all()


def test_a_dark_photo_is_left_alone() -> None:
    file = io.BytesIO()
    Image.fromarray((RAMP // 8).astype(np.uint8)).save(file, "PNG")
    assert read_page(file.getvalue(), 64).max() == 31


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_dead_pixel_makes_no_page_dark(bits: int, channels: int) -> None:
    values = RAMP * ((1 << bits) - 1) // 255
    values[5, 5] = 65535
    page = read_page(png(values if channels == 1 else colours(values, channels)), 64)
    assert np.abs(page.astype(int) - RAMP[..., None]).max(axis=(1, 2))[np.arange(64) != 5].max() <= 3


def test_a_dead_pixel_makes_no_page_of_32_bits_dark(tmp_path: Path) -> None:
    for mode, values in (("I", RAMP * (1 << 14)), ("F", RAMP / 255)):
        spoilt = values.astype(np.int32 if mode == "I" else np.float32)
        spoilt[5, 5] = 2**31 - 1
        Image.fromarray(spoilt).save(tmp_path / "a.tif")
        page = read_page(tmp_path / "a.tif", 64)
        assert np.abs(page.astype(int) - RAMP[..., None]).max(axis=(1, 2))[np.arange(64) != 5].max() <= 3


@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
def test_half_grey_of_16_bits_is_half_grey_in_files_of_32_too(dtype: type, tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).astype(dtype)[None].repeat(64, axis=0)
    Image.fromarray(values).save(tmp_path / "page.tif")
    found = read_page(tmp_path / "page.tif", 64, channels=1)[0, :, 0].astype(int)
    assert np.abs(found - np.linspace(0, 255, 64)).max() < 3
