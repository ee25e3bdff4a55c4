"""Page files of every kind, sound and damaged: each is a page or a named problem, and none is silently black.

A seed and a number give the same file again: `make(seed, number)`.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from slowly import slowly

from docclf.data.cache.decoded import make_options
from docclf.data.dataset import open_data_set
from docclf.data.formats import quiet_decoders
from docclf.data.readers import read_csv
from docclf.data.reading.listing import list_pages
from docclf.data.reading.stream import read_batches

Random = np.random.Generator
SIZES = [(60, 80), (80, 60), (1, 1), (1, 700), (900, 2), (33, 31), (257, 3), (16, 16), (500, 700)]
MODES = {
    "png": ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"],
    "jpg": ["RGB", "L", "CMYK"],
    "tif": ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "I", "F", "CMYK", "YCbCr", "LAB"],
    "webp": ["RGB", "RGBA"],
    "bmp": ["RGB", "L", "P", "1"],
    "gif": ["P", "L"],
    "jp2": ["RGB", "L", "RGBA", "I;16"],
    "avif": ["RGB", "RGBA"],
    "heic": ["RGB", "L"],
    "pdf": ["RGB", "L", "1"],
}
KINDS = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}
SUFFIXES = list(MODES)
DEPTHS = (4, 8, 10, 12, 14, 16)


@dataclass(frozen=True)
class Made:
    """A file.

    Attributes:
        suffix: Of its name, which need not be that of its format.
        content: Its bytes.
        is_sound: Whether it is as a program has written it; its page is dark at the left and bright at the right.
    """

    suffix: str
    content: bytes
    is_sound: bool


def grey(random: Random, size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """A page, dark at the left and bright at the right, with some noise; float of shape (height, width) in [0, 1]."""
    width, height = size
    page = np.linspace(0.05, 0.9, width)[None, :] + random.random((height, width)) * 0.1
    return page if width > 1 else page + 0.5


def image(random: Random, mode: str, size: tuple[int, int]) -> Image.Image:
    values = grey(random, size).clip(0, 1)
    if mode in ("I;16", "I"):
        top = (1 << int(random.choice(DEPTHS))) - 1
        found = Image.fromarray((values * top).round().astype(np.uint16))
        return found if mode == "I;16" else Image.fromarray((values * top).round().astype(np.int32))
    if mode == "F":
        return Image.fromarray((values * random.choice([1, 255, 1e6])).astype(np.float32))
    found = Image.fromarray((values * 255).astype(np.uint8))
    if mode in ("LA", "RGBA"):
        found = found.convert(mode)
        found.putalpha(Image.new("L", size, int(random.choice([255, 255, 128]))))
        return found
    return found.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "LAB", "P") else found.convert(mode)


def odd_tags(random: Random) -> bytes:
    """A block of EXIF with any tags, types, counts and values."""
    numbers = [0x10F, 0x112, 0x11A, 0x11B, 0x128, 0x132, 0x8769, 0x8825, 0x9000, 0x9286, 0xA005, 0x927C]
    tags = b"".join(
        struct.pack("<HHI", int(random.choice(numbers)), int(random.integers(0, 14)), int(random.integers(0, 9)))
        + random.bytes(4)
        for _ in range(random.integers(1, 8))
    )
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags) // 12) + tags + bytes(4) + random.bytes(60)


def beside(content: bytes, suffix: str, random: Random) -> bytes:
    """The same picture with odd things beside it; all of them are none that a decoder needs."""
    if suffix == "jpg":
        odd = [b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in (odd_tags(random),)]
        odd.append(b"\xff\xe2\x00\x10MPF\0" + random.bytes(10))
        return content[:2] + odd[random.integers(len(odd))] + content[2:]
    if suffix == "png":
        texts = [
            (b"eXIf", odd_tags(random)[6:]),
            (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20))),
            (b"iCCP", b"a\0\0" + random.bytes(30)),
            (b"tIME", random.bytes(3)),
        ]
        name, text = texts[random.integers(len(texts))]
        chunk = struct.pack(">I", len(text)) + name + text + struct.pack(">I", zlib.crc32(name + text))
        return content[:33] + chunk + content[33:]
    return content


def flip(content: bytearray, random: Random) -> bytes:
    for at in random.integers(len(content), size=random.integers(1, 30)):
        content[at] ^= 1 << int(random.integers(8))
    return bytes(content)


def cut(content: bytearray, random: Random) -> bytes:
    return bytes(content[: random.integers(len(content))])


def overwrite(content: bytearray, random: Random) -> bytes:
    at, n = int(random.integers(len(content))), int(random.integers(1, 200))
    content[at : at + n] = random.bytes(n)
    return bytes(content)


def spoil_the_head(content: bytearray, random: Random) -> bytes:
    at = int(random.integers(min(len(content), 200)))
    content[at : at + 4] = random.bytes(4)
    return bytes(content)


def splice(content: bytearray, random: Random) -> bytes:
    at = int(random.integers(len(content)))
    return bytes(content[:at] + content[at // 2 :])


def nothing(content: bytearray, random: Random) -> bytes:
    return random.bytes(int(random.choice([0, 1, 10, 3000])))


DAMAGES: list[Callable[[bytearray, Random], bytes]] = [flip, flip, cut, overwrite, spoil_the_head, splice, nothing]


def make(seed: int, number: int) -> Made:
    random = np.random.default_rng([seed, number])
    suffix = SUFFIXES[number % len(SUFFIXES)]
    mode = str(random.choice(MODES[suffix]))
    # Codecs of video want pictures of some size.
    page = image(random, mode, SIZES[random.integers(2 if suffix in ("avif", "heic", "jp2") else len(SIZES))])
    file = io.BytesIO()
    if suffix == "heic":
        pillow_heif.from_pillow(page).save(file)
    else:
        lossless = {"lossless": True} if suffix == "webp" else {}
        page.save(file, KINDS.get(suffix, suffix), **lossless)
    content = file.getvalue()
    if random.random() < 0.4:
        content = beside(content, suffix, random)
    if random.random() < 0.35:
        return Made(str(random.choice([suffix, suffix, *SUFFIXES])) if suffix != "pdf" else suffix, content, True)
    return Made(suffix, DAMAGES[random.integers(len(DAMAGES))](bytearray(content), random), False)


def is_bright_to_pillow(path: Path) -> bool:
    """Whether Pillow alone sees more than black."""
    try:
        with quiet_decoders(), Image.open(path) as image:
            return bool(np.asarray(image.convert("L").resize((32, 32))).max() > 40)
    except Exception:
        return False


@pytest.mark.parametrize(("n", "seed"), [(80, 0), *slowly((1270, 1))])
def test_every_file_is_a_page_or_a_problem_and_none_is_silently_black(tmp_path: Path, n: int, seed: int) -> None:
    root = tmp_path / "root"
    (root / "train").mkdir(parents=True)
    made = {f"{number:04}.{(file := make(seed, number)).suffix}": file for number in range(n)}
    for name, file in made.items():
        (root / "train" / name).write_bytes(file.content)
    rows = [f"{name},{number % 2}" for number, name in enumerate(made)]
    (root / "train.csv").write_text("\n".join(["ID,target", *rows]), encoding="utf-8")
    options = make_options(32, 1.0, on_error="drop", cache_dir=tmp_path / "cache")
    data = open_data_set(root, read_csv, options)
    problems = {problem.page.removeprefix("train/"): problem for problem in data.dropped}
    assert problems.keys() | set(data.pages.train.ids) == made.keys() and problems.keys().isdisjoint(
        data.pages.train.ids
    )
    for name, problem in problems.items():
        assert not made[name].is_sound, problem
        assert "\n" not in problem and len(problem.what) > 5
    for row, name in enumerate(data.pages.train.ids):
        page = data.train_images[np.array([row])][0]
        if made[name].is_sound:
            assert page.max() > 128, name
        if page.max() == 0:
            assert not is_bright_to_pillow(root / "train" / name), name
    listing = list_pages(root / "train.csv", multi_page="all")
    with quiet_decoders():
        batches = list(read_batches(listing.pages, 64, size=32, channels=3))
    unread = {page.id.split("#")[0] for batch in batches for page, why in zip(batch.pages, batch.problems) if why}  # noqa: B905
    assert unread >= problems.keys(), "what is predicted is read as what is trained on"
