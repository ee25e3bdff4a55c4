"""From the drawn sheet to the image file's pixels: a clean scan for training, a phone photo for the test split."""

import io
import math
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from docclf.data.synthetic.draws import between, coin, count_between, pick

QUARTER_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
TABLES = ((120, 85, 55), (70, 70, 75), (165, 150, 130), (45, 60, 80), (190, 190, 185), (95, 110, 90), (60, 40, 35))
MIN_HEIGHT = 600
MAX_SIDE = 1400


def scan(image: Image.Image, rng: Generator) -> Image.Image:
    """A flatbed scan: a hint of skew in a third of the pages, the lamp's black and white levels, a tint of paper."""
    if coin(rng, 0.35):
        corner = image.getpixel((0, 0))
        image = image.rotate(between(rng, -0.7, 0.7), Image.Resampling.BILINEAR, fillcolor=corner)
    black, white = between(rng, 0, 16), between(rng, 244, 255)
    if image.mode == "L" and coin(rng, 0.4):
        return image.point(_levels(black, white))
    tint = [white - between(rng, 0, 4) for _ in range(3)]
    return _tinted(image, black, tint)


def photo(image: Image.Image, rng: Generator) -> Image.Image:
    """A photo taken by phone: turned, seen at an angle, out of focus, unevenly lit and noisy, stored as a poor JPEG.

    A fifth of the pages lie on their side or upside down; all are off by some degrees on top of that.
    """
    if coin(rng, 0.2):
        image = image.transpose(pick(rng, QUARTER_TURNS))
    shot, corners = _seen_at_an_angle(image, rng)
    shot = _out_of_focus(shot, rng)
    white = between(rng, 238, 255)
    shot = _tinted(shot, between(rng, 5, 32), [white - between(rng, 0, 6) for _ in range(3)])
    shot = _on_a_table(shot, corners, rng)
    shot = ImageChops.multiply(shot, _light(shot.size, rng))
    grain = _grain(shot.size, pick(rng, (3, 6, 9, 13)), rng)
    shot = ImageChops.add(shot, Image.merge("RGB", [grain] * 3), 1, -128)
    if coin(rng, 0.15):
        shot = shot.convert("L")
    # Encoded and read again, so that the blocks are there in the files that are stored as PNG too.
    encoded = io.BytesIO()
    shot.save(encoded, "JPEG", quality=count_between(rng, 35, 70))
    return Image.open(encoded)


def _levels(black: float, white: float) -> list[int]:
    return [round(black + (white - black) * level / 255) for level in range(256)]


def _tinted(image: Image.Image, black: float, whites: list[float]) -> Image.Image:
    """The image in RGB, levels of each channel from `black` to its own white."""
    if image.mode == "L":
        return Image.merge("RGB", [image.point(_levels(black, white)) for white in whites])
    return image.point([level for white in whites for level in _levels(black, white)])


def _seen_at_an_angle(image: Image.Image, rng: Generator) -> tuple[Image.Image, NDArray[np.float64]]:
    """The sheet under a perspective that turns it by a few degrees, and where its corners came to lie, shape (4, 2)."""
    width, height = image.size
    scale = min(MAX_SIDE / max(width, height), max(MIN_HEIGHT / height, between(rng, 0.72, 0.95)))
    size = (round(width * scale), round(height * scale))
    angle = math.radians(float(np.clip(rng.normal(0, 4.5), -12, 12)))
    zoom = between(rng, 0.92, 1.05) - 0.25 * abs(math.sin(angle))
    unit = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    unit = unit + rng.normal(0, 0.014, (4, 2))
    flat = unit * zoom * size
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners = flat @ turn + np.array(size) * (0.5 + rng.normal(0, 0.012, 2))
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    # Outside the sheet goes on in its colour: black there would be blurred into a rim along the edges.
    shot = image.transform(
        size,
        Image.Transform.PERSPECTIVE,
        _perspective(corners, source),
        Image.Resampling.BILINEAR,
        fillcolor=image.getpixel((0, 0)),
    )
    return shot, corners


def _perspective(seen: NDArray[np.float64], source: NDArray[np.float64]) -> list[float]:
    """Pillow's eight coefficients of the mapping from points of the photo to points of the sheet."""
    rows, values = [], []
    for (x, y), (u, v) in zip(seen.tolist(), source.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solved: list[float] = np.linalg.solve(np.array(rows), np.array(values)).tolist()
    return solved


def _out_of_focus(image: Image.Image, rng: Generator) -> Image.Image:
    """Blur: a disc's worth of defocus, or the smear of a hand that moved."""
    scale = image.height / 900
    if coin(rng, 0.6):
        return image.filter(ImageFilter.BoxBlur(between(rng, 0.4, 1.7) * scale))
    across, down = rng.normal(0, 1.6 * scale, 2).round().astype(int).tolist()
    once = Image.blend(image, ImageChops.offset(image, across, down), 0.5)
    return Image.blend(once, ImageChops.offset(once, 2 * across, 2 * down), 0.5)


def _on_a_table(image: Image.Image, corners: NDArray[np.float64], rng: Generator) -> Image.Image:
    """The sheet on what lies under it: a coloured surface in most photos, other paper in the rest."""
    base = np.array(pick(rng, TABLES) if coin(rng, 0.7) else (225, 225, 222))
    patches = (base + rng.normal(0, 10, (6, 5, 3))).clip(0, 255).astype(np.uint8)
    table = Image.fromarray(patches).resize(image.size, Image.Resampling.BILINEAR)
    # Drawn at half size: enlarging it softens the edges, which a polygon leaves jagged.
    half = Image.new("L", (image.width // 2, image.height // 2))
    ImageDraw.Draw(half).polygon((corners / 2).ravel().tolist(), fill=255)
    table.paste(image, (0, 0), half.resize(image.size, Image.Resampling.BILINEAR))
    return table


def _light(size: tuple[int, int], rng: Generator) -> Image.Image:
    """What the light lets through, RGB: a slope from one side, a warm or cool cast, the edge of a shadow in some."""
    rows, columns = np.mgrid[-1:1:24j, -1:1:24j]
    angle = between(rng, 0, 2 * math.pi)
    along = rows * math.sin(angle) + columns * math.cos(angle)
    field = between(rng, 0.93, 1.02) - between(rng, 0.02, 0.09) * along
    if coin(rng, 0.4):
        angle, offset = between(rng, 0, 2 * math.pi), between(rng, -0.7, 0.7)
        edge = rows * math.sin(angle) + columns * math.cos(angle) - offset
        field = field - between(rng, 0.08, 0.3) / (1 + np.exp(-edge * between(rng, 4, 25)))
    warmth = between(rng, -0.02, 0.03)
    cast = np.array([1 + warmth, 1.0, 1 - warmth])
    levels = (field[..., None] * cast * 255).clip(25, 255).astype(np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BILINEAR)


@lru_cache(maxsize=8)
def _grain_tile(strength: int) -> Image.Image:
    # Drawing a normal number for every pixel would take longer than all the rest: one tile serves all photos.
    noise = np.random.default_rng(strength).normal(128, strength, (512, 512))
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


def _grain(size: tuple[int, int], strength: int, rng: Generator) -> Image.Image:
    """Sensor noise around 128 with the given standard deviation: the tile, laid from a random offset."""
    tile = _grain_tile(strength)
    noise = Image.new("L", size)
    left, top = count_between(rng, -511, 0), count_between(rng, -511, 0)
    for x in range(left, size[0], 512):
        for y in range(top, size[1], 512):
            noise.paste(tile, (x, y))
    return noise
