"""What a file says beside its pixels refuses no page, and turns it as the camera was held."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from flat_pages import opened, picture, write
from PIL import Image, PngImagePlugin

from docclf.data.cache.decoded import load_pages
from docclf.data.formats import quiet_decoders, read_page, read_with_aspect
from docclf.data.reading.problems import limit_pixels
from docclf.errors import DataError


def tag(number: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", number, kind, count) + value.ljust(4, b"\0")[:4]


TURNED = tag(0x112, 3, 1, struct.pack("<HH", 6, 0))
OLD_PILLOW = Image.__version__ < "13"
BLACK_FIRST = Image.fromarray(np.where(np.arange(80)[:, None] < 40, 0, 255).repeat(60, 1).astype(np.uint8))


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def exif(tags: Sequence[bytes], extra: bytes = b"") -> bytes:
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4) + extra


def jpeg(*segments: bytes) -> bytes:
    file = io.BytesIO()
    BLACK_FIRST.save(file, "JPEG")
    content = file.getvalue()
    return content[:2] + b"".join(segments) + content[2:]


def png(*chunks: tuple[bytes, bytes], image: Image.Image = BLACK_FIRST) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    content = file.getvalue()
    added = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
    return content[:33] + b"".join(added) + content[33:]


def tiff(odd: bytes) -> bytes:
    """Without compression, turned."""
    sizes = [(0x100, 60), (0x101, 80), (0x102, 8), (0x103, 1), (0x106, 1), (0x111, 8), (0x116, 80), (0x117, 4800)]
    tags = [tag(number, 3, 1, struct.pack("<H", value)) for number, value in sizes]
    tags = sorted([*tags, TURNED, odd] if odd[:2] != b"\x03\x01" else [*tags, TURNED], key=lambda one: one[:2][::-1])
    return b"II*\0" + struct.pack("<I", 8 + 4800) + BLACK_FIRST.tobytes() + exif(tags)[8:]


def is_turned(content: bytes) -> bool:
    """Whether black is at the right (turned by 6), or at the top as in the file."""
    with quiet_decoders():
        page = read_page(content, 16)
    right, top = page[:, 12:].mean() < 60, page[:4].mean() < 60
    assert right != top
    return bool(right)


@pytest.mark.parametrize(
    ("dpi", "aspect"),
    [
        ((204, 98), 0.772),  # standard resolution of a fax
        ((98, 204), 3.346),
        ((204, 196), 1.607),  # fine: pixels that are nearly square, as they are taken
        ((200, 200), 1.607),
        ((300, 72), 1.607),  # which no machine has
        ((0, 98), 1.607),
        (None, 1.607),
    ],
)
def test_a_fax_has_the_shape_of_its_page(tmp_path: Path, dpi: tuple[int, int] | None, aspect: float) -> None:
    path = tmp_path / "fax.tif"
    Image.new("1", (1728, 1075)).save(path, compression="group4", **({} if dpi is None else {"dpi": dpi}))
    pages = load_pages([path], 16, tmp_path / "cache")
    assert [read_with_aspect(path, 16)[1], *pages.aspects] == pytest.approx([aspect] * 2, abs=1e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_fax_has_the_shape_of_its_page_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "fax.tif"
    Image.new("1", (172, 107)).save(path, compression="group4", dpi=(204, 98), tiffinfo={274: orientation})
    aspect = 172 / 107 * 98 / 204
    assert read_with_aspect(path, 16)[1] == pytest.approx(aspect if orientation < 5 else 1 / aspect)


ODD = [
    tag(0x11A, 10, 1, struct.pack("<I", 38)),  # a signed rational, -1/0
    tag(0x11A, 2, 4, b"72\0\0"),  # a resolution in words
    tag(0x10F, 2, 0xFFFFFF, struct.pack("<I", 0xFFFFFF)),  # a text that is not there
    tag(0x8769, 4, 1, struct.pack("<I", 8)),  # an IFD that is itself
    tag(0x8769, 4, 1, struct.pack("<I", 0xFFFF)),
    tag(0x9000, 99, 1, b"abcd"),  # a type that there is not
    tag(0x132, 7, 4, b"\xff\xfe\0\0"),
    tag(0x1, 5, 3, struct.pack("<I", 4)),
    tag(0x103, 12, 1, struct.pack("<I", 6)),  # a double out of its place
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_an_odd_tag_that_nobody_needs_refuses_no_page_and_leaves_it_upright(odd: bytes) -> None:
    block = exif([TURNED, odd], struct.pack("<ii", -1, 0))
    assert is_turned(jpeg(segment(0xE1, b"Exif\0\0" + block)))
    assert is_turned(png((b"eXIf", block)))
    file = io.BytesIO()
    with quiet_decoders():
        BLACK_FIRST.save(file, "WEBP", exif=b"Exif\0\0" + block)
    assert is_turned(file.getvalue())
    if not (odd is ODD[2] and OLD_PILLOW):
        assert is_turned(tiff(odd))


@pytest.mark.parametrize(
    "orientation",
    [tag(0x112, 2, 2, b"6\0"), tag(0x112, 4, 1, struct.pack("<I", 6)), tag(0x112, 3, 2, struct.pack("<HH", 6, 6))],
)
def test_an_orientation_of_another_type_is_understood(orientation: bytes) -> None:
    assert is_turned(jpeg(segment(0xE1, b"Exif\0\0" + exif([orientation]))))


@pytest.mark.parametrize("value", [0, 9, 77, 65535])
def test_an_orientation_that_there_is_not_is_none(value: int) -> None:
    assert not is_turned(jpeg(segment(0xE1, b"Exif\0\0" + exif([tag(0x112, 3, 1, struct.pack("<H", value))]))))


@pytest.mark.parametrize("block", [b"", b"II*\0", b"II*\0\xff\xff\xff\x7f", b"MM\0\x2a\0\0\0\x08\xff\xff", b"nothing"])
def test_a_damaged_block_of_tags_refuses_no_page(block: bytes) -> None:
    assert not is_turned(jpeg(segment(0xE1, b"Exif\0\0" + block)))
    assert not is_turned(png((b"eXIf", block)))


BIG = bytes(3 << 20)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"zTXt", b"Comment\0\0" + zlib.compress(BIG)),
        (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(BIG)),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(BIG) + bytes(1 << 16)),
        (b"iCCP", b"profile\0\0" + zlib.compress(BIG)),
        (b"iCCP", b"profile\0\7nothing"),
        (b"tEXt", b"Comment\0" + BIG),
        (b"tIME", b""),
        (b"pHYs", b"1"),
        (b"gAMA", b""),
        (b"cHRM", b"12"),
        (b"acTL", b""),
        (b"fcTL", b"1234"),
    ],
)
def test_texts_and_profiles_of_any_size_refuse_no_png(name: bytes, content: bytes) -> None:
    assert not is_turned(png((name, content)))


def test_many_texts_refuse_no_png_and_a_turned_one_stays_turned() -> None:
    texts = [(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(900_000)))] * 90
    assert is_turned(png(*texts, (b"eXIf", exif([TURNED]))))
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>')
    file = io.BytesIO()
    BLACK_FIRST.save(file, "PNG", pnginfo=info)
    assert is_turned(file.getvalue())


def test_transparency_and_palettes_of_a_png_are_kept() -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([200, 30, 10, 0, 0, 0])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=1)
    assert (read_page(png((b"tEXt", b"a\0b"), image=Image.open(file)), 16) == 255).all()


@pytest.mark.parametrize(
    "odd", [segment(0xE2, b"MPF\0" + b"nonsense"), segment(0xE2, b"ICC_PROFILE\0\1\5x"), segment(0xFE, BIG[:60_000])]
)
def test_odd_segments_refuse_no_jpeg(odd: bytes) -> None:
    assert is_turned(jpeg(segment(0xE1, b"Exif\0\0" + exif([TURNED])), odd))


def test_the_colours_of_adobe_are_kept() -> None:
    file = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(file, "JPEG")
    content = file.getvalue()
    page = read_page(content[:2] + segment(0xFE, b"a word") + content[2:], 16)
    assert np.abs(page.astype(int) - [254, 0, 0]).max() < 4


@pytest.fixture
def large(root: Path) -> Path:
    """A page of 2 megapixels among others."""
    Image.new("1", (2000, 1000), 1).save(root / "0.png")
    return root


def test_a_page_beyond_the_limit_is_read_with_the_option_that_its_problem_names(large: Path) -> None:
    try:
        with pytest.raises(DataError, match=r"0\.png: DecompressionBombError: .* with data\.max_megapixels=2\."):
            opened(large, max_megapixels=1)
        assert len(opened(large, max_megapixels=2).pages.train) == 4, "though the cache knows that it was refused"
        assert len(opened(large, max_megapixels=1).pages.train) == 4, "decoded before"
    finally:
        limit_pixels(179)


def test_a_page_beyond_the_limit_is_decoded_again_only_if_the_limit_is_higher(
    large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        before = opened(large, max_megapixels=1, on_error="drop")
        assert [one.page for one in before.dropped] == ["0.png"]
        write(large / "train.csv", "ID,target", "0.png,a", "1.png,b", "2.png,a", "3.png,b")
        assert [one.page for one in opened(large, max_megapixels=1.5, on_error="drop").dropped] == ["0.png"]
        picture(large / "0.png", 10)
        assert not opened(large, max_megapixels=1, on_error="drop").dropped
    finally:
        limit_pixels(179)
    assert "damaged" not in caplog.text
