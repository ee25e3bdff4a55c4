"""What a pen leaves on paper: handwriting and signatures."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from docclf.demo.draws import between, count_between, pick
from docclf.demo.sheet import Box, Colour, Sheet

PEN_INKS: tuple[Colour, ...] = ((25, 35, 110), (20, 20, 30), (40, 60, 150), (60, 60, 70), (120, 30, 40))


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
