"""What is not set in type: logos, pictures, portraits, barcodes, seals and charts, handwriting and signatures."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from docclf.demo.draws import between, coin, count_between, pick
from docclf.demo.sheet import ACCENTS, WHITE, Box, Colour, Sheet, across

PEN_INKS: tuple[Colour, ...] = ((25, 35, 110), (20, 20, 30), (40, 60, 150), (60, 60, 70), (120, 30, 40))


def logo(sheet: Sheet, x: float, y: float, size: float) -> None:
    """A mark of simple shapes in the accent colour, in the square at (x, y)."""
    half = size / 2
    if coin(sheet.rng):
        sheet.pen.ellipse((x, y, x + size, y + size), fill=sheet.accent)
        sheet.pen.ellipse((x + 0.3 * size, y + 0.2 * size, x + 0.9 * size, y + 0.8 * size), fill=sheet.paper)
    else:
        sheet.pen.regular_polygon((x + half, y + half, half), pick(sheet.rng, (3, 4, 5, 6)), fill=sheet.accent)


def picture(sheet: Sheet, box: Box) -> None:
    """A photograph: smooth patches of light and shade, with a few round shapes."""
    rng = sheet.rng
    size = (max(2, round(box[2] - box[0])), max(2, round(box[3] - box[1])))
    shades = rng.normal(120, 50, (6, 8, 1)) + rng.normal(0, 25 * coin(rng), (6, 8, 3))
    image = Image.fromarray(shades.clip(0, 255).astype(np.uint8))
    image = image.resize(size, Image.Resampling.BICUBIC)
    for _ in range(count_between(rng, 1, 4)):
        left, top = between(rng, 0, 0.8) * size[0], between(rng, 0.2, 0.9) * size[1]
        shape = (left, top, left + between(rng, 0.1, 0.4) * size[0], size[1])
        ImageDraw.Draw(image).ellipse(shape, fill=(count_between(rng, 20, 200),) * 3)
    sheet.image.paste(image, (round(box[0]), round(box[1])))


def portrait(sheet: Sheet, box: Box) -> None:
    """A passport photo: head and shoulders before a plain background."""
    rng = sheet.rng
    width, height = max(8, round(box[2] - box[0])), max(8, round(box[3] - box[1]))
    skin = pick(rng, ((230, 190, 160), (200, 150, 115), (140, 95, 70), (95, 65, 50)))
    hair = pick(rng, ((30, 30, 30), (90, 60, 35), (130, 130, 130), (150, 110, 60)))
    image = Image.new("RGB", (width, height), (count_between(rng, 150, 235),) * 3)
    pen, middle, half = ImageDraw.Draw(image), width / 2, between(rng, 0.2, 0.27) * width
    pen.ellipse((0.08 * width, 0.7 * height, 0.92 * width, 1.3 * height), fill=pick(rng, ACCENTS))
    pen.ellipse((middle - 1.2 * half, 0.12 * height, middle + 1.2 * half, 0.6 * height), fill=hair)
    pen.ellipse((middle - half, 0.2 * height, middle + half, 0.72 * height), fill=skin)
    pen.rectangle((0, 0, width - 1, height - 1), outline=(90, 90, 90))
    sheet.image.paste(image, (round(box[0]), round(box[1])))


def barcode(sheet: Sheet, box: Box) -> None:
    """Bars of random widths, dark on white."""
    x0, y0, x1, y1 = box
    sheet.box(box, fill=WHITE)
    step = max(1.5, (x1 - x0) / 70)
    for bar in np.flatnonzero(sheet.rng.random(int((x1 - x0) / step)) < 0.5).tolist():
        sheet.box((x0 + bar * step, y0, x0 + (bar + 1) * step - 1, y1), fill=(15, 15, 15))


def seal(sheet: Sheet, x: float, y: float, radius: float) -> None:
    """A seal around (x, y) with a wavy rim."""
    rng, pen = sheet.rng, sheet.pen
    colour = pick(rng, ((170, 130, 40), (150, 25, 35), sheet.accent))
    angles = np.linspace(0, 2 * math.pi, 96)
    rim = radius * (1 + 0.07 * np.cos(angles * 20))
    points = np.stack([x + rim * np.cos(angles), y + rim * np.sin(angles)], axis=1)
    pen.polygon(points.ravel().tolist(), fill=colour)
    pen.ellipse((x - 0.75 * radius, y - 0.75 * radius, x + 0.75 * radius, y + 0.75 * radius), outline=WHITE, width=2)
    pen.regular_polygon((x, y, 0.4 * radius), 5, fill=WHITE)


def chart(sheet: Sheet, box: Box) -> None:
    """Bars, curves or a pie, in the accent colour and others."""
    rng, (x0, y0, x1, y1) = sheet.rng, box
    colours: tuple[Colour, ...] = (sheet.accent, (205, 140, 60), (140, 140, 140), (90, 150, 180))
    kind = pick(rng, ("bars", "curves", "pie"))
    if kind == "pie":
        radius, x, y = min(x1 - x0, y1 - y0) / 2, (x0 + x1) / 2, (y0 + y1) / 2
        edges = [0.0, *sorted((rng.random(3) * 360).tolist()), 360.0]
        for colour, start, end in zip(colours, edges, edges[1:], strict=False):
            sheet.pen.pieslice((x - radius, y - radius, x + radius, y + radius), start, end, fill=colour)
        return
    sheet.pen.line((x0, y0, x0, y1, x1, y1), fill=sheet.ink)
    if kind == "bars":
        for number, (left, _, right, _) in enumerate(across(box, *[1] * count_between(rng, 4, 9))):
            top = y1 - between(rng, 0.15, 0.98) * (y1 - y0)
            sheet.box((left + 0.2 * (right - left), top, right, y1), fill=colours[number % 2])
    else:
        for colour in colours[: count_between(rng, 2, 3)]:
            walk = np.cumsum(rng.normal(0, 1, 16))
            walk = (walk - walk.min()) / (np.ptp(walk) + 1e-9)
            points = np.stack([np.linspace(x0, x1, 16), y1 - (y1 - y0) * (0.05 + 0.9 * walk)], axis=1)
            sheet.pen.line(points.ravel().tolist(), fill=colour, width=max(2, round(1.1 * sheet.unit)))


def handwriting(
    sheet: Sheet, x: float, y: float, width: float, size: float, *, ink: Colour | None = None, thickness: float = 1.0
) -> None:
    """A line of words written by hand on the baseline `y`, `width` pixels long, letters `size` pixels tall."""
    rng, at = sheet.rng, x
    ink = ink or pick(rng, PEN_INKS)
    slant = between(rng, 0.1, 0.5)
    while at < x + width - size:
        letters = min(count_between(rng, 2, 9), int((x + width - at) / (0.62 * size)))
        if letters < 1:
            return
        points = _word(rng, letters, size, slant) + np.array([at, y])
        sheet.pen.line(points.ravel().tolist(), fill=ink, width=max(1, round(thickness)))
        at += letters * 0.62 * size + between(rng, 0.4, 0.9) * size


def signature(sheet: Sheet, box: Box) -> None:
    """A signature across a box: a tall beginning and a wavy tail."""
    rng, (x0, y0, x1, y1) = sheet.rng, box
    steps = np.linspace(0, 1, 90)
    fall = 1.0 - between(rng, 0.4, 0.85) * steps ** between(rng, 0.3, 1.5)
    turn = 2 * math.pi * between(rng, 3, 9) * steps + between(rng, 0, 6)
    x = x0 + (x1 - x0) * (steps + between(rng, 0.02, 0.09) * np.sin(turn * between(rng, 0.8, 1.3)))
    y = (y0 + y1) / 2 - (y1 - y0) / 2 * fall * np.sin(turn)
    points = np.stack([x, y], axis=1).ravel().tolist()
    sheet.pen.line(points, fill=pick(rng, PEN_INKS), width=max(1, round(0.4 * sheet.unit)))


def _word(rng: Generator, letters: int, size: float, slant: float) -> NDArray[np.float64]:
    """Points of one joined-up word, shape (letters * 8 + 1, 2), its baseline at 0 and its letters above (negative)."""
    count = letters * 8 + 1
    along = np.arange(count) / 8
    # Every letter has a height of its own; now and then one rises above or hangs below the line.
    tall = rng.choice([0.3, 0.4, 0.5, 0.6, 1.0, -0.5], size=letters + 1, p=[0.2, 0.2, 0.2, 0.14, 0.16, 0.1])
    heights = np.repeat(tall, 8)[:count]
    wave = 0.5 - 0.5 * np.cos(2 * math.pi * along)
    # Round letters loop back, pointed ones do not.
    loops = np.repeat(rng.uniform(0.05, 0.55, letters + 1), 8)[:count] * np.sin(2 * math.pi * along + 1)
    up = size * heights * wave
    return np.stack([0.62 * size * (along + loops) + slant * up, -up], axis=1)
