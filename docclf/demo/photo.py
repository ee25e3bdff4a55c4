"""From the drawn sheet to the image file's pixels: a clean scan for training, a photograph of it for the test split.

Photographs differ from scans in what `conf/augment/photo.yaml` does to validation pages, so that the score of these
says what the one of the test pages will be. The amounts are those of that file, at a photograph's size.
"""

import io
import math
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from docclf.demo.draws import between, coin, count_between, pick

QUARTER_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
TURNED_SCANS, TURNED_PHOTOS = 0.6, 0.5  # fractions of pages that lie sideways or upside down
PHOTO_SIDES = (300, 420)  # pixels of a photograph's longer side
RIM = 0.35  # of each side, by which the paper goes on beyond its edges
TRAINING_SIDE = 128  # pixels at which blur and noise are as strong as in conf/augment/photo.yaml

Pixels = NDArray[np.floating[Any]]


def scan(image: Image.Image, rng: Generator) -> Image.Image:
    """A scan: some sheets were fed sideways, or a little askew; levels as the lamp gives them; a part in grey."""
    if coin(rng, TURNED_SCANS):
        image = image.transpose(pick(rng, QUARTER_TURNS))
    image = image.rotate(between(rng, -3, 3), Image.Resampling.BILINEAR, fillcolor=image.getpixel((1, 1)))
    black, white = between(rng, 0, 60), between(rng, 205, 255)
    levels = [round(black + (white - black) * level / 255) for level in range(256)]
    return image.convert("L").point(levels) if coin(rng, 0.3) else image.point(levels * 3)


def photo(image: Image.Image, rng: Generator) -> Image.Image:
    """A photograph by hand: turned, seen at an angle, worn, unevenly lit, out of focus, noisy, a poor JPEG."""
    image = image.convert("RGB")
    if coin(rng, TURNED_PHOTOS):
        image = image.transpose(pick(rng, QUARTER_TURNS))
    image = _seen_at_an_angle(image, rng)
    scale = (image.width * image.height) ** 0.5 / TRAINING_SIDE
    pixels = _worn_and_lit(np.asarray(image, np.float32) / np.float32(255), rng)
    shot = Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))
    shot = Image.blend(shot, shot.filter(ImageFilter.BoxBlur(1.4 * scale)), between(rng, 0, 1))
    # The sensor's noise, in grains as large as a pixel of the reduced page.
    grains = (round(shot.height / scale), round(shot.width / scale), 3)
    noise = rng.standard_normal(grains, np.float32) * between(rng, 0, 0.06) * 255 + 128
    coarse = Image.fromarray(noise.clip(0, 255).astype(np.uint8)).resize(shot.size, Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    ImageChops.add(shot, coarse, 1, -128).save(encoded, "JPEG", quality=count_between(rng, 15, 70))
    return Image.open(encoded)


def _seen_at_an_angle(image: Image.Image, rng: Generator) -> Image.Image:
    """Reduced to a photograph's size, cropped, turned and in perspective as by `docclf.data.augment.warp`."""
    scale = between(rng, *PHOTO_SIDES) / max(image.size)
    width, height = (round(side * scale) for side in image.size)
    paper = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    rim = (round(RIM * height), round(RIM * width))
    paper = np.pad(paper, ((rim[0],) * 2, (rim[1],) * 2, (0, 0)), mode="edge")
    side, angle = 1 - between(rng, 0, 0.2), math.radians(between(rng, -15, 15))
    across, down = (between(rng, -1, 1) * (1 - side) for _ in range(2))
    cos, sin = side * math.cos(angle), side * math.sin(angle)
    warp = [[cos, -sin, across], [sin, cos, down], [between(rng, -0.15, 0.15), between(rng, -0.15, 0.15), 1]]
    # From pixels to [-1, 1], through the warp, to pixels of the paper with its rim.
    inward = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
    outward = np.array([[width / 2, 0, width / 2 + rim[1]], [0, height / 2, height / 2 + rim[0]], [0, 0, 1]])
    whole = outward @ np.array(warp) @ inward
    how = (Image.Transform.PERSPECTIVE, (whole / whole[2, 2]).ravel()[:8].tolist(), Image.Resampling.BILINEAR)
    return Image.fromarray(paper).transform((width, height), *how)


def _worn_and_lit(pixels: Pixels, rng: Generator) -> Pixels:
    """Faded, stained and in part covered; of other contrast, lit from one side, in the soft edge of a shadow."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in pixels.shape[:2])
    y = y[:, None]
    pixels = pixels + between(rng, 0, 0.2) * (1 - pixels)
    reach = np.hypot(x - between(rng, -1, 1), y - between(rng, -1, 1))
    stain = between(rng, 0, 0.3) / (1 + np.exp(20 * (reach - between(rng, 0.1, 0.35))))
    pixels = pixels + stain[..., None] * (rng.uniform(0.2, 0.8, 3).astype(np.float32) - pixels)
    if coin(rng):
        near = np.abs(x - between(rng, -1, 1)) < between(rng, 0, 0.2)
        pixels[near & (np.abs(y - between(rng, -1, 1)) < between(rng, 0, 0.2))] = between(rng, 0, 1)
    contrast = 1 + between(rng, -0.3, 0.3)
    slope = between(rng, -0.2, 0.2) * x + between(rng, -0.2, 0.2) * y
    pixels = pixels * contrast + between(rng, -0.15, 0.15) + 0.5 * (1 - contrast) + slope[..., None]
    angle = between(rng, 0, 2 * math.pi)
    inside = math.cos(angle) * x + math.sin(angle) * y - between(rng, -0.8, 0.8)
    shadow = 0.5 + 0.5 * np.tanh(2 * inside / between(rng, 0.05, 0.3))
    lit: Pixels = pixels * (1 - between(rng, 0, 0.4) * shadow[..., None])
    return lit
