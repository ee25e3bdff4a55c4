"""Upright letters, and what may happen to those that a model is tested on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def letter(random: np.random.Generator) -> Image.Image:
    """A head at the top left, and lines of words from a margin at the left."""
    page = Image.new("RGB", (240, 320), (250, 250, 250))
    pen = ImageDraw.Draw(page)
    left, top = (int(value) for value in random.integers(14, 30, 2))
    pen.rectangle((left, top, left + int(random.integers(50, 90)), top + 22), (20, 40, 90))
    for line in range(top + 45, 300 - int(random.integers(0, 60)), 11):
        x = left
        while x < 150 + random.integers(0, 60):
            word = int(random.integers(8, 30))
            pen.rectangle((x, line, x + word, line + 5), (30, 30, 30))
            x += word + 5
    return page


def same(page: Image.Image, random: np.random.Generator) -> Image.Image:
    return page


def turn(page: Image.Image, random: np.random.Generator) -> Image.Image:
    return page.rotate(90 * int(random.integers(0, 4)), expand=True)


def skew(page: Image.Image, random: np.random.Generator) -> Image.Image:
    angle = random.uniform(4, 8) * random.choice((-1, 1))
    return page.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(250, 250, 250))


def blur(page: Image.Image, random: np.random.Generator) -> Image.Image:
    return page.filter(ImageFilter.GaussianBlur(2))


def shade(page: Image.Image, random: np.random.Generator) -> Image.Image:
    ramp = np.linspace(*random.permutation((0.6, 1.0)), page.width)[:, None]
    return Image.fromarray((np.asarray(page) * ramp).astype(np.uint8))


def darken(page: Image.Image, random: np.random.Generator) -> Image.Image:
    return page.point(lambda level: int(0.75 * level))


def add_noise(page: Image.Image, random: np.random.Generator) -> Image.Image:
    pixels = np.asarray(page) + random.normal(0, 20, (page.height, page.width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def enlarge(page: Image.Image, random: np.random.Generator) -> Image.Image:
    return page.resize((2 * page.width, 2 * page.height), Image.Resampling.NEAREST)


def stretch(page: Image.Image, random: np.random.Generator) -> Image.Image:
    return page.resize((int(1.25 * page.width), int(0.8 * page.height)), Image.Resampling.BICUBIC)


def write_letters(root: Path, change: Change, *, n: int = 60, seed: int = 0) -> Path:
    """A CSV data set of two classes that are alike, with n training and n test pages; the test pages are changed."""
    random = np.random.default_rng(seed)
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        rows = ["ID,target"]
        for i in range(n):
            page = letter(random)
            (change(page, random) if split == "test" else page).save(root / split / f"{split} {i}.png")
            rows.append(f"{split} {i}.png,{i % 2}")
        (root / f"{split}.csv").write_text("\n".join(rows), encoding="utf-8")
    return root
