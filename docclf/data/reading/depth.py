"""Pages of fewer bits than their files have room for, such as scans of 12 bits in files of 16."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

# What scanners and programs write. Above 8, Pillow gives 16 bits, or the upper 8 of 16.
_BITS = (1, 2, 4, 8, 10, 12, 14, 16)
_DARK = 64  # of 256: brighter pages have the bits of their file
_LOWER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_JPEG_2000 = b"\xff\x4f\xff\x51"  # begins with its size and bits


def deep_grey(image: Image.Image) -> NDArray[np.uint8]:
    """Grey values of a loaded image that `has_range`; 0 is black."""
    values, tags = np.asarray(image), image.tag_v2 if isinstance(image, TiffImageFile) else {}
    is_signed = tags.get(SAMPLEFORMAT) == (2,)
    if image.mode == "L":  # which Pillow takes for unsigned
        values = values.view(np.int8)
    elif tags and image.mode == "I" and not is_signed:  # of 32 bits, which Pillow takes for signed
        values = values.view(np.uint32)
    has_sign_bit = is_signed and tags.get(BITSPERSAMPLE, (16,))[0] <= 16  # among those that are looked at
    grey = to_8_bits(values, 8 * min(values.itemsize, 2) - has_sign_bit)
    hidden = image.info.get("transparency")  # of a PNG file, the value of transparent pixels
    if isinstance(hidden, int) and (seen := values != hidden).any():
        grey = np.where(seen, grey, np.uint8(255))
    return 255 - grey if tags.get(PHOTOMETRIC_INTERPRETATION) == 0 else grey


def has_range(image: Image.Image) -> bool:
    """Whether an image has grey values of more than 8 bits, which Pillow would clip and not scale, or signed ones."""
    if image.mode == "L":
        return isinstance(image, TiffImageFile) and image.tag_v2.get(SAMPLEFORMAT) == (2,)
    return image.mode.startswith("I") or image.mode == "F"


def to_8_bits(values: NDArray[Any], room: int = 16) -> NDArray[np.uint8]:
    """Grey values of more than 8 bits, scaled by the bits that they have.

    Args:
        values: Integers, or numbers of any range: beyond 16 bits, and of fractions, the largest one is white, but for a
            few, such as dead pixels of a camera. Where numbers are negative, the least one is black, but for a few.
        room: Bits that the file has for a value that is not beyond 16 bits.
    """
    least = _bottom(values)
    if values.dtype.kind in "iu" and values.max(initial=0) <= 0xFFFF and not least:
        return _scaled(values.clip(0).astype(np.uint16), room)
    with np.errstate(all="ignore"):  # what a damaged file may hold
        finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0).clip(least) - least
        return ((finite / (_top(finite) or 1.0)).clip(0, 1) * 255).astype(np.uint8)


def _top(values: NDArray[Any]) -> float:
    """The largest value, but for one in a thousand, which would make all others black."""
    if not values.size:
        return 0.0
    some = values.ravel()[:: max(1, values.size >> 20)]
    return float(np.quantile(some, 0.999, method="lower")) or float(values.max())


def _bottom(values: NDArray[Any]) -> float:
    """The least value, but for one in a thousand; 0 where that is not negative."""
    if values.dtype.kind == "u" or not values.size:
        return 0.0
    some = values.ravel()[:: max(1, values.size >> 20)].astype(np.float64)
    some = np.nan_to_num(some, posinf=0.0, neginf=0.0)
    return min(0.0, float(np.quantile(some, 0.001, method="higher")))


def _scaled(values: NDArray[Any], room: int = 16) -> NDArray[np.uint8]:
    top = int(_top(values))
    bits = min(room, next(bits for bits in _BITS if top < 1 << bits))
    within = values.clip(0, (1 << bits) - 1)
    if bits > 8:
        return (within >> (bits - 8)).astype(np.uint8)
    return (within * (255 // ((1 << bits) - 1))).astype(np.uint8)


def brightened(image: Image.Image) -> Image.Image:
    """A page of 8 bits whose values are those of 1, 2 or 4 bits, as masks of 0 and 1 are, in full range."""
    if image.mode not in ("L", "RGB"):
        return image
    values = np.asarray(image)
    if values.max() >= 1 << 4 or values.min() == values.max():  # one dark colour is what it is
        return image
    return Image.fromarray(_scaled(values, 8))


def mended(image: Image.Image) -> Image.Image:
    """An image that is not loaded yet, whose planes of 16 bits Pillow would take for ones of 8, with what it needs."""
    if isinstance(image, TiffImageFile) and 16 in image.tag_v2.get(BITSPERSAMPLE, ()):
        order = ";16B" if image.tag_v2.prefix == b"MM" else ";16L"
        image.tile = [
            type(tile)(*tile[:3], (_raw_mode(tile) + order, *(tile.args or ())[1:]))
            if len(_raw_mode(tile)) == 1
            else tile
            for tile in image.tile
        ]
    return image


def is_deep(image: Image.Image, content: bytes) -> bool:
    """Whether an image that is not loaded yet has colours of 16 bits, of which Pillow will keep the upper 8."""
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        return False
    if isinstance(image, Jpeg2KImageFile):
        bits = content[content.find(_JPEG_2000) + 42 :][:1]  # less 1, of the first colour
        return bits > b"\x07"
    return any(";16" in _raw_mode(tile) for tile in image.tile)  # type: ignore[attr-defined]


def _raw_mode(tile: Any) -> str:
    return str(tile[3] if isinstance(tile[3], str) else tile[3][0])


def deepened(image: Image.Image, reopen: Callable[[], Image.Image]) -> Image.Image:
    """A page of 16 bits a colour that has fewer, scaled by these; others are as they are.

    Args:
        image: As Pillow has loaded it.

    Raises:
        ValueError: It may have been read wrongly.
    """
    if isinstance(image, Jpeg2KImageFile) and not np.asarray(image).all():
        raise ValueError(
            "JPEG 2000 of more than 8 bits a colour, where Pillow may read white as black: save it as TIFF or PNG"
        )
    colours = 3 if image.mode == "RGBA" else None
    if _top(np.asarray(image)[..., :colours]) >= _DARK:
        return image
    values: NDArray[Any] = np.asarray(image).astype(np.uint16)
    scaled, again = _stretched, reopen()
    with suppress(ValueError, LookupError):  # the lower 8 bits cannot be had
        is_grey = _raw_mode(again.tile[0]).startswith("LA")  # type: ignore[attr-defined]
        again.tile = [_lower(tile) for tile in again.tile]  # type: ignore[attr-defined]
        again.load()
        low = np.asarray(again).astype(np.uint16)
        values, scaled = values << 8 | low, _scaled
        if is_grey:
            grey, alpha = low[..., 0] << 8 | low[..., 1], low[..., 2] << 8 | low[..., 3]
            values = np.dstack([grey, grey, grey, alpha])
    parts = [values] if colours is None else [values[..., :3], values[..., 3:]]
    return Image.fromarray(np.dstack([scaled(part) for part in parts]), image.mode)


def _stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The upper 8 bits of 16, rounded, scaled by the bits that they have; without the lower ones in few steps."""
    top = _top(values)
    bits = next((bits for bits in _BITS if bits >= 8 and top <= 1 << (bits - 8)), 16)
    return (values << (16 - bits)).clip(0, 255).astype(np.uint8)


def _lower(tile: Any) -> Any:
    """A tile whose decoder gives the lower 8 bits of 16; of grey and alpha, all of them as four colours."""
    mode = _raw_mode(tile)
    kind, _, order = mode.partition(";16")
    lower = "RGBA" if kind == "LA" else f"{kind};16{_LOWER[order]}"
    return type(tile)(*tile[:3], lower if isinstance(tile[3], str) else (lower, *tile[3][1:]))
