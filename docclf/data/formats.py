"""Image files of every kind as RGB arrays of one size."""

import functools
import io
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from docclf.data.reading.depth import brightened, deep_grey, deepened, has_range, is_deep, mended
from docclf.data.reading.metadata import on_white, pixel_aspect, slim, upright, whiter

_NAMES = "avif bmp dib gif heic heif hif j2k jfif jp2 jpe jpeg jpf jpg jpx pdf png tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
# What Pillow may take a file for, whatever its name: not PostScript, which another program would run.
_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF")
# Raised when the same files would decode to other numbers than before: part of the names of all that is kept of pages.
DECODER = 9
_HEAD = 1028  # bytes, in which PDFium looks for the beginning of a PDF file
_IMAGES = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"II*", b"II+", b"MM\0", b"\0\0\0\x0cjP", b"\xff\x4f")
_MOST_PAGES = 2000  # of one file
_FEW = 16  # of 256 grey levels
GREY_SIDE = 256  # pixels
_MULTI_PAGE_SUFFIXES = frozenset({".tif", ".tiff", ".pdf"})
_pdfium_lock = threading.Lock()  # PDFium is not thread-safe


def is_page_file(path: Path) -> bool:
    """Whether a file has a name that page images have."""
    if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
        return False
    return path.is_file() or (path.is_symlink() and not path.exists())  # a broken link is a page that cannot be read


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Without what Pillow warns of: oddities that it copes with, and 89 megapixels; twice as many it refuses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def count_pages(path: Path) -> int:
    """Number of pages in a file: more than one in TIFF and PDF only.

    Raises:
        ValueError: There are more than are read: to go through those of a file takes time by their square.
        Exception: The file is missing or damaged; the decoders have many kinds.
    """
    if path.suffix.lower() not in _MULTI_PAGE_SUFFIXES:
        return 1
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise ValueError("the file is empty")
    too_many = ValueError(f"the file has more than {_MOST_PAGES} pages, split it")
    if _is_pdf(head):
        with _opened_pdf(path) as document:
            if (n := len(document)) <= _MOST_PAGES:
                return n
        raise too_many
    with Image.open(path, formats=_formats(head)) as image, suppress(EOFError):
        image.seek(_MOST_PAGES)  # after which Pillow would count wrongly
        raise too_many
    with Image.open(path, formats=_formats(head)) as image:
        return int(getattr(image, "n_frames", 1))


def has_more_pages(path: Path) -> bool:
    """Whether a file whose first page could be read has others, which may be damaged."""
    if path.suffix.lower() not in _MULTI_PAGE_SUFFIXES:
        return False
    with suppress(Exception):
        with path.open("rb") as file:
            if _is_pdf(file.read(_HEAD)):
                return count_pages(path) > 1
        with Image.open(path, formats=_PILLOW_FORMATS) as image:
            image.seek(1)  # no further: there may be very many
            return True
    return False


def count_pixels(path: Path) -> int | None:
    """Width times height as an image file's header says; None of a PDF and of a file that is damaged."""
    with suppress(Exception), path.open("rb") as file:
        head = file.read(_HEAD)
        if not _is_pdf(head):
            with Image.open(path, formats=_formats(head)) as image:
                return image.width * image.height
    return None


def read_page(content: bytes | Path, size: int, *, page: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    """Decode one page without its aspect ratio. Arguments, result and errors as for `read_with_aspect`."""
    return read_with_aspect(content, size, page=page, channels=channels)[0]


def read_with_aspect(
    content: bytes | Path, size: int, *, page: int = 0, channels: int = 3
) -> tuple[NDArray[np.uint8], float]:
    """Decode one page.

    Transparent parts become white, the camera's orientation is undone, and JPEG and JPEG 2000 files are reduced while
    they are decoded.

    Args:
        content: The bytes of a file, or its path.
        size: Height and width in pixels that the page is reduced to; its proportions are not kept.
        page: Which page of a TIFF or PDF, from 0.
        channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 array of shape (size, size, channels), and the width of the page over its height, as it is on paper.

    Raises:
        Exception: The file is missing, empty, truncated, too large or not an image; the decoders have many kinds.
    """
    image, aspect = _decode(content.read_bytes() if isinstance(content, Path) else content, page, size)
    return _reduce(image, size, channels), aspect


def read_with_grey(
    path: Path, size: int, *, page: int = 0, channels: int = 3
) -> tuple[NDArray[np.uint8], float, NDArray[np.uint8]]:
    """As `read_with_aspect`, and the page in grey, of shape (256, 256), whatever size is asked for."""
    content = path.read_bytes()
    image, aspect = _decode(content, page, size)
    is_reduced = _is_pdf(content) or _size(content, size) != _size(content, GREY_SIDE)
    whole = _decode(content, page, GREY_SIDE)[0] if is_reduced else image
    return _reduce(image, size, channels), aspect, _reduce(whole, GREY_SIDE, 1)[..., 0]


def _size(content: bytes, size: int) -> tuple[int, int]:
    """That an image is decoded at to be reduced to so many pixels: JPEG files are reduced meanwhile."""
    (image := _identify(slim(content))).draft("RGB", (size, size))
    return (size, size) if isinstance(image, Jpeg2KImageFile) else image.size


def _decode(content: bytes, page: int, size: int) -> tuple[Image.Image, float]:
    if not content:
        raise ValueError("the file is empty")
    return _render(content, page, size) if _is_pdf(content) else _open(slim(content), page, size)


def _reduce(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    def reduced(image: Image.Image) -> NDArray[np.uint8]:
        image = image.convert("RGB" if channels == 3 else "L")
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))

    found = reduced(image)
    if found.max() < _FEW and (brighter := brightened(image)) is not image:
        found = reduced(brighter)
    return found.reshape(size, size, channels)


def _is_pdf(content: bytes) -> bool:
    head = content[:_HEAD]  # other bytes may come before, such as a byte order mark
    return b"%PDF" in head and not (head.startswith(_IMAGES) or head[4:8] == b"ftyp")


def _formats(head: bytes) -> tuple[str, ...]:
    return (*_PILLOW_FORMATS, *_heif()) if head[4:8] == b"ftyp" else _PILLOW_FORMATS


def _identify(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=_formats(content))
    except UnidentifiedImageError:  # which names an object in memory
        is_pointer = content.startswith(b"version https://git-lfs.github.com/")
        hint = ", but a pointer of Git LFS: fetch the files with git lfs pull" if is_pointer else ""
        raise UnidentifiedImageError(f"cannot identify image file{hint}") from None


@functools.cache
def _heif() -> tuple[str]:
    """The format of what phones keep photos in, which Pillow is taught here."""
    import pi_heif

    pi_heif.register_heif_opener()
    return ("HEIF",)


def _open(content: bytes, page: int, size: int) -> tuple[Image.Image, float]:
    def turned_to() -> Image.Image:
        image = _identify(content)
        if page:
            image.seek(page)
        return mended(image)

    image = turned_to()
    deep, of_pixels = is_deep(image, content), pixel_aspect(image)
    if isinstance(image, Jpeg2KImageFile):
        image = _reduced(image, content, size)
    image.draft("RGB", (size, size))
    image.load()
    if has_range(image):
        image = upright(Image.fromarray(deep_grey(image)), image)
    else:
        image = upright(deepened(image, turned_to) if deep else whiter(image), image)
    image = on_white(image)
    image = image.convert("RGB") if image.mode in ("LAB", "HSV") else image  # of which Pillow makes no grey
    return image, image.width / image.height * of_pixels


def _reduced(image: Image.Image, content: bytes, size: int) -> Image.Image:
    """A JPEG 2000 image at the least of its resolutions that is twice as large as needed, for sharp reduction."""
    halvings = int(math.log2(max(min(image.size) / (2 * size), 1)))
    for steps in range(halvings, 0, -1):  # most files hold 5 halvings, some fewer, and do not say so to Pillow
        image.reduce = steps  # type: ignore[method-assign, assignment]
        try:
            image.load()
        except OSError:
            image = _identify(content)
        else:
            break
    return image


@contextmanager
def _opened_pdf(content: bytes | Path) -> Iterator[Any]:
    import pypdfium2

    with _pdfium_lock:
        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            raise pypdfium2.PdfiumError(f"the PDF file is locked, damaged or without pages: {error}") from None
        with closing(document):
            yield document


def _render(content: bytes, page: int, size: int) -> tuple[Image.Image, float]:
    with _opened_pdf(content) as document:
        document.init_forms()  # what was typed into fields is drawn; the library has no engine for scripts
        sheet = document[page]  # once: of a damaged file a second time may fail
        width, height = sheet.get_size()
        if not (width > 0 and height > 0 and math.isfinite(width * height)):
            raise ValueError(f"the page is {width} x {height} points large")
        # Twice the size that is needed, for sharp reduction; narrow strips do not become gigantic.
        scale = min(2 * size / min(width, height), 8 * size / max(width, height))
        image: Image.Image = sheet.render(scale=scale).to_pil()
        return image.copy(), image.width / image.height
