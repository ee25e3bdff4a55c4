"""What image files say beside their pixels: how a camera was held, and much that no one needs here."""

import struct
from collections.abc import Iterator

from PIL import ExifTags, Image, ImageChops, ImageStat
from PIL.TiffImagePlugin import TiffImageFile

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_SMALL = 1 << 16
# Of what a PNG file need not have: transparency, and where the orientation may stand.
_PNG_KEPT = (b"tRNS", b"eXIf")
_PNG_NAMES = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
# JFIF, EXIF and XMP, the colours of Adobe's JPEG
_JPEG_DROPPED = frozenset({*range(0xE2, 0xEE), 0xEF, 0xFE})
_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED = range(5, 9)  # whose width is the height of the page


def upright(image: Image.Image, source: Image.Image) -> Image.Image:
    """An image as it was seen. Nothing but the orientation is read, so that no other tag can be wrong.

    Args:
        image: The pixels.
        source: The image whose file says how the camera was held.
    """
    try:
        orientation = source.getexif().get(ExifTags.Base.Orientation, 1)
        method = _METHODS.get(int(orientation[0] if isinstance(orientation, tuple) else orientation))
    except Exception:  # Pillow has many for tags that are damaged
        return image
    return image if method is None else image.transpose(method)


def pixel_aspect(image: Image.Image) -> float:
    """Width over height of the pixels of a TIFF file, as its page is seen upright.

    Fax machines scan twice as finely across as down, and no further apart; what else tags say is taken for a mistake.
    """
    if not isinstance(image, TiffImageFile):
        return 1.0
    try:
        across, down = (float(image.tag_v2[tag]) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
        aspect = down / across
        is_turned = image.width != image.tag_v2[ExifTags.Base.ImageWidth]  # already: the tag is gone then
        if is_turned or int(image.tag_v2.get(ExifTags.Base.Orientation, 1)) in _TURNED:
            aspect = 1 / aspect
        return aspect if 1.5 <= max(aspect, 1 / aspect) <= 3 else 1.0
    except Exception:  # there are none, or they are damaged
        return 1.0


def on_white(image: Image.Image) -> Image.Image:
    """An image whose transparent parts are white; where nothing could be seen, the colours are what is meant."""
    if not image.has_transparency_data:
        return image
    seen = image.convert("RGBA")
    if image.mode in ("RGBA", "LA") and seen.getchannel("A").getextrema()[1] == 0:
        return seen.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), seen)


def whiter(image: Image.Image) -> Image.Image:
    """A loaded image of inks, the lighter way round where a JPEG file does not say whether it holds them inverted."""
    if image.format not in ("JPEG", "MPO") or image.mode != "CMYK" or "adobe" in image.info:
        return image
    return max(image, ImageChops.invert(image), key=lambda one: ImageStat.Stat(one.convert("L")).mean[0])


def slim(content: bytes) -> bytes:
    """The bytes of a PNG or JPEG file without texts, colour profiles, thumbnails and the like, which may be damaged."""
    if content.startswith(_PNG):
        pieces = list(_png_pieces(content))
    elif content.startswith(_JPEG):
        pieces = list(_jpeg_pieces(content))
    else:
        return content
    return content if sum(map(len, pieces)) == len(content) else b"".join(pieces)


def _png_pieces(content: bytes) -> Iterator[memoryview]:
    view, at = memoryview(content), len(_PNG)
    yield view[:at]
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        is_critical = not kind[0] & 0x20
        named = length < _SMALL and content.startswith(_PNG_NAMES, at + 8)
        if is_critical or kind in _PNG_KEPT or named:
            yield view[at:end]
        at = end
    yield view[at:]


def _jpeg_pieces(content: bytes) -> Iterator[memoryview]:
    view, at = memoryview(content), len(_JPEG)
    yield view[:at]
    while at + 4 <= len(content) and content[at] == 0xFF and 0xC0 <= content[at + 1] != 0xDA:  # up to the picture
        end = at + 2 + struct.unpack_from(">H", content, at + 2)[0]
        if content[at + 1] not in _JPEG_DROPPED:
            yield view[at:end]
        at = end
    yield view[at:]
