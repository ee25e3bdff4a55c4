"""A thousand damaged files of every format: those that cannot be read are named, and nothing else happens."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pi_heif
import pillow_heif
import pypdfium2
import pytest
from PIL import Image
from slowly import slowly

from docclf.data.cache.decoded import make_options
from docclf.data.dataset import open_data_set
from docclf.data.formats import quiet_decoders
from docclf.data.readers import read_csv
from docclf.errors import DataError

FORMATS: dict[str, list[dict[str, Any]]] = {
    "jpg": [{}, {"progressive": True}, {"quality": 30, "optimize": True}],
    "png": [{}, {"optimize": True}],
    "webp": [{}, {"lossless": True}],
    "bmp": [{}],
    "tif": [{}, *({"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"))],
    "pdf": [{}],
    "jp2": [{}, {"num_resolutions": 2}],
    "avif": [{}],
    "heic": [{}],
}
MODES = {
    "jpg": ["RGB", "L", "CMYK"],
    "png": ["RGB", "1", "P", "LA", "I;16"],
    "tif": ["RGB", "L"],
    "pdf": ["RGB", "L"],
    "jp2": ["RGB", "L", "RGBA"],
}


def cut(content: bytearray, random: np.random.Generator) -> bytearray:
    return content[: int(random.integers(len(content)))]


def flip(content: bytearray, random: np.random.Generator) -> bytearray:
    for at in random.integers(len(content), size=random.integers(1, 40)):
        content[at] ^= 1 << int(random.integers(8))
    return content


def overwrite(content: bytearray, random: np.random.Generator) -> bytearray:
    at, n = (int(number) for number in random.integers([len(content), 200]))
    content[at : at + n] = random.bytes(n)
    return content


def spoil_the_head(content: bytearray, random: np.random.Generator) -> bytearray:
    at, n = (int(number) for number in random.integers([64, 24]))
    content[at : at + n] = random.bytes(n)
    return content


def remove(content: bytearray, random: np.random.Generator) -> bytearray:
    at, n = (int(number) for number in random.integers([len(content), 500]))
    del content[at : at + n]
    return content


def repeat(content: bytearray, random: np.random.Generator) -> bytearray:
    at, n = (int(number) for number in random.integers([len(content), 500]))
    return content[:at] + content[at : at + n] * 3 + content[at + n :]


def replace(content: bytearray, random: np.random.Generator) -> bytearray:
    return bytearray(random.bytes(int(random.integers(3000))))


DAMAGES: list[Callable[[bytearray, np.random.Generator], bytearray]] = [
    cut,
    flip,
    overwrite,
    spoil_the_head,
    remove,
    repeat,
    replace,
]


def damaged(suffix: str, random: np.random.Generator) -> bytes:
    noise = Image.fromarray(random.integers(0, 256, (9, 7, 3), dtype=np.uint8)).resize((70, 90))
    modes, options = MODES.get(suffix, ["RGB"]), FORMATS[suffix]
    mode, option = modes[random.integers(len(modes))], options[random.integers(len(options))]
    page = noise.convert("L").convert("I").convert("I;16") if mode == "I;16" else noise.convert(mode)
    several = {"save_all": True, "append_images": [page]} if suffix in ("tif", "pdf") else {}
    file = io.BytesIO()
    if suffix == "heic":
        pillow_heif.from_pillow(page).save(file)
    else:
        page.save(file, {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix), **option, **several)
    return bytes(DAMAGES[random.integers(len(DAMAGES))](bytearray(file.getvalue()), random))


def is_readable(path: Path) -> bool:
    """What the decoders say by themselves, one file after the other."""
    pi_heif.register_heif_opener()
    try:
        if path.read_bytes()[:1024].lstrip().startswith(b"%PDF"):
            document = pypdfium2.PdfDocument(path)
            try:
                document[0].render(scale=0.1)
            finally:
                document.close()
        else:
            with quiet_decoders(), Image.open(path) as image:
                image.convert("RGB")
    except Exception:
        return False
    return True


def data_set(root: Path, n: int, seed: int) -> list[str]:
    """Pages of every format, of which every tenth is sound; their names."""
    random = np.random.default_rng(seed)
    rows, names = ["ID,target"], []
    for i in range(n):
        suffix = list(FORMATS)[i % len(FORMATS)]
        name = f"{i:04}.{suffix}"
        (root / name).write_bytes(damaged(suffix, random))
        rows.append(f"{name},{i % 2}")
        names.append(name)
    for name in ("sound 1.png", "sound 2.png"):
        Image.new("L", (9, 9), 99).save(root / name)
    rows += ["sound 1.png,0", "sound 2.png,1"]
    (root / "train.csv").write_text("\n".join(rows), encoding="utf-8")
    return names


@pytest.mark.parametrize(("n", "seed"), [(60, 0), *slowly((1000, 1), (1000, 2))])
@pytest.mark.parametrize("multi_page", ["first", "all"])
def test_damaged_files_are_named_and_nothing_crashes_hangs_or_warns(
    tmp_path: Path, n: int, seed: int, multi_page: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    names = data_set(root, n, seed)
    unreadable = {name for name in names if not is_readable(root / name)}
    assert 0.3 < len(unreadable) / n < 0.9
    started = time.process_time()
    dropping = make_options(32, 1.0, on_error="drop", multi_page=multi_page, cache_dir=tmp_path / "cache")
    data = open_data_set(root, read_csv, dropping)
    assert time.process_time() - started < 60
    named = {problem.split(":")[0] for problem in data.dropped}
    kept = {name.split("#")[0] for name in data.pages.train.ids}
    # Of a file with several pages some may be sound.
    assert {name.split("#")[0] for name in named} | kept == {*names, "sound 1.png", "sound 2.png"}
    assert named.isdisjoint(data.pages.train.ids)
    assert len(data.train_images) == len(data.pages.train) == len(data.digests)
    if multi_page == "first":
        assert named == unreadable
    else:
        assert unreadable <= {name.split("#")[0] for name in named}
    raising = make_options(32, 1.0, multi_page=multi_page, cache_dir=tmp_path / "cache")
    with pytest.raises(DataError) as refused:
        open_data_set(root, read_csv, raising)
    lines = str(refused.value).split("\n")
    assert lines[0] == f"Expected pages in {root} that can all be used, got {len(data.dropped)} that cannot:"
    assert {line.split(":")[0].strip() for line in lines[1:-1] if line.startswith("  ")} == named
