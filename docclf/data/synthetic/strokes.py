"""What a pen leaves on paper: handwriting, signatures, ticks and curves."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from docclf.data.synthetic.canvas import Canvas, Colour
from docclf.data.synthetic.draws import between, coin, count_between, pick

PEN_INKS: tuple[Colour, ...] = ((25, 35, 110), (20, 20, 30), (40, 60, 140), (60, 60, 70))


def handwriting(
    canvas: Canvas, x: float, y: float, width: float, size: float, *, ink: Colour | None = None, thickness: float = 1.0
) -> None:
    """A line of words written by hand on the baseline `y`, `width` pixels long, letters `size` pixels tall."""
    rng = canvas.rng
    ink = ink or pick(rng, PEN_INKS)
    slant = between(rng, 0.1, 0.5)
    at = x
    while at < x + width - size:
        letters = min(count_between(rng, 2, 9), int((x + width - at) / (0.62 * size)))
        if letters < 1:
            return
        points = _word(rng, letters, size, slant) + np.array([at, y])
        canvas.pen.line(points.ravel().tolist(), fill=canvas.paint(ink), width=max(1, round(thickness)))
        at += letters * 0.62 * size + between(rng, 0.4, 0.9) * size


def signature(canvas: Canvas, x: float, y: float, width: float) -> None:
    """A signature: a tall first letter, a wavy tail and, often, a line under it."""
    rng = canvas.rng
    steps = np.linspace(0, 1, 90)
    height = width * between(rng, 0.12, 0.3)
    fall = 1.0 - between(rng, 0.4, 0.85) * steps ** between(rng, 0.3, 1.5)
    # The pen speeds up and slows down: turns crowd in one place and stretch into a line in another.
    pace = steps + between(rng, 0.05, 0.15) * np.sin(2 * math.pi * steps * between(rng, 0.5, 2) + between(rng, 0, 6))
    turn = 2 * math.pi * between(rng, 3, 9) * pace + between(rng, 0, 6)
    across = x + width * (steps + between(rng, 0.02, 0.09) * np.sin(turn * between(rng, 0.8, 1.3) + between(rng, 0, 6)))
    down = y - height * fall * (0.4 + np.sin(turn) * (0.6 + 0.4 * np.sin(0.31 * turn))) * 0.6
    ink = canvas.paint(pick(rng, PEN_INKS))
    points = np.stack([across, down], axis=1)
    canvas.pen.line(points.ravel().tolist(), fill=ink, width=max(1, round(0.25 * canvas.unit)))
    if coin(rng):
        canvas.pen.line((x, y + 0.3 * height, x + width, y + between(rng, -0.1, 0.3) * height), fill=ink, width=1)


def tick(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A tick or a cross in the square whose upper left corner is (x, y)."""
    ink, width = canvas.paint(PEN_INKS[0]), max(1, round(size / 7))
    if coin(canvas.rng):
        canvas.pen.line((x, y, x + size, y + size), fill=ink, width=width)
        canvas.pen.line((x, y + size, x + size, y), fill=ink, width=width)
    else:
        shape = (x, y + 0.5 * size, x + 0.4 * size, y + size, x + 1.2 * size, y - 0.3 * size)
        canvas.pen.line(shape, fill=ink, width=width)


def trace(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    """A heart trace on squared paper."""
    rng = canvas.rng
    step = height / 6
    for column in range(int(width / step) + 1):
        canvas.rule(x + column * step, y, x + column * step, y + height, ink=(235, 190, 190))
    for row in range(7):
        canvas.rule(x, y + row * step, x + width, y + row * step, ink=(235, 190, 190))
    beats = count_between(rng, 4, 9)
    beat = np.array([0, 0, -0.1, 0, 0.15, -0.9, 0.35, 0, 0, -0.2, -0.1, 0])
    levels = y + height * (0.6 + 0.5 * np.tile(beat, beats) + rng.normal(0, 0.01, beats * len(beat)))
    points = np.stack([np.linspace(x, x + width, len(levels)), levels], axis=1)
    canvas.pen.line(points.ravel().tolist(), fill=canvas.paint(canvas.ink), width=max(1, round(0.2 * canvas.unit)))


def _word(rng: Generator, letters: int, size: float, slant: float) -> NDArray[np.float64]:
    """Points of one joined-up word, shape (letters * 8 + 1, 2), its baseline at 0 and its letters above (negative)."""
    count = letters * 8 + 1
    along = np.arange(count) / 8
    # Every letter has a height of its own; now and then one rises above or hangs below the line.
    shares = [0.22, 0.18, 0.2, 0.14, 0.16, 0.1]
    tall = rng.choice([0.3, 0.42, 0.5, 0.6, 1.0, -0.5], size=letters + 1, p=shares)
    heights = np.repeat(tall, 8)[:count]
    wave = 0.5 - 0.5 * np.cos(2 * math.pi * along)
    # Round letters loop back, pointed ones do not; letters differ in width too.
    round_ = np.repeat(rng.uniform(0.05, 0.55, letters + 1), 8)[:count]
    loops = np.sin(2 * math.pi * along + between(rng, 0.5, 1.6))
    widths = np.repeat(rng.uniform(0.55, 1.45, letters + 1), 8)[:count]
    at = np.cumsum(widths / 8)
    at *= letters / at[-1]
    up = size * heights * wave + rng.normal(0, 0.015 * size, count)
    across = 0.62 * size * (at + round_ * loops) + slant * up
    return np.stack([across, -up], axis=1)
