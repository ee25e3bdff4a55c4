"""Pages of pictures: identity card, certificate, slide and map."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from docclf.demo import typeset
from docclf.demo.draws import between, coin, count_between, pick
from docclf.demo.figures import chart, picture, portrait, seal, signature
from docclf.demo.sheet import WHITE, Box, Colour, Sheet, across, down, inset
from docclf.demo.typeset import LABELS, NAMES, SANS, SERIF, TIMES


def id_card(rng: Generator) -> Sheet:
    """A plastic card: a portrait at one side, fields beside it, a coloured band on some."""
    sheet = Sheet(rng, (1.35, 1.6) if coin(rng, 0.75) else (0.63, 0.72), margins=(0.04, 0.1), sizes=(3.0, 4.0))
    unit, frame = sheet.unit, sheet.frame
    if coin(rng, 0.6):
        whole = (0, 0, sheet.width, sheet.height)
        band, rest = down(whole, 1, 5) if coin(rng) else down(whole, 5, 1)[::-1]
        frame = inset(rest, 3 * unit)
        sheet.box(band, fill=sheet.accent)
        sheet.text(4 * unit, band[1] + 2 * unit, "IDENTITY CARD", 1.3, stem=sheet.bold, ink=WHITE)
    cut = down if sheet.height > sheet.width else across
    photo, fields = cut(frame, 1, 1.5, gap=3 * unit) if coin(rng, 0.6) else cut(frame, 1.5, 1, gap=3 * unit)[::-1]
    width = min(photo[2] - photo[0], (photo[3] - photo[1]) / 1.2)
    portrait(sheet, (photo[0], photo[1], photo[0] + width, photo[1] + 1.25 * width))
    x, y, right, bottom = fields
    for label in LABELS[: count_between(rng, 3, 5)]:
        if y + 2.5 * sheet.size < bottom:
            y = sheet.text(x, y, label, 0.65, ink=(90, 90, 90))
            y = sheet.text(x, y, pick(rng, NAMES).split()[-1], stem=sheet.bold, width=right - x) + unit
    return sheet


def certificate(rng: Generator) -> Sheet:
    """A decorated border around a large centred title, a name and a seal."""
    ratio = (1.25, 1.5) if coin(rng) else (0.68, 0.78)
    sheet = Sheet(rng, ratio, fonts=(TIMES, SERIF), margins=(0.03, 0.08))
    unit, middle = sheet.unit, sheet.width / 2
    colour: Colour = pick(rng, (sheet.accent, (160, 120, 40)))
    sheet.box(sheet.frame, line=colour, width=between(rng, 0.6, 3) * unit)
    if coin(rng, 0.7):
        sheet.box(inset(sheet.frame, between(rng, 3, 5) * unit), line=colour, width=0.4 * unit)
    x0, y0, x1, y1 = inset(sheet.frame, 8 * unit)
    y = y0 + between(rng, 0.02, 0.15) * (y1 - y0)
    title, scale = pick(rng, ("Certificate", "Diploma", "Award")), between(rng, 3, 4.2)
    y = sheet.text(middle, y, title, scale, stem=sheet.bold, ink=colour, align="m")
    y = sheet.text(middle, y + 2 * unit, typeset.words(rng, 4), align="m")
    y = sheet.text(middle, y + 2 * unit, pick(rng, NAMES), 2.2, stem="STIXGeneralItalic", align="m")
    sheet.rule(middle - 20 * unit, y, middle + 20 * unit, y, ink=colour)
    sheet.text(middle, y + unit, typeset.words(rng, count_between(rng, 4, 7)), align="m", width=x1 - x0)
    places = rng.permutation([x0 + 10 * unit, middle, x1 - 10 * unit]).tolist()
    seal(sheet, places[0], y1 - 8 * unit, between(rng, 6, 9) * unit)
    signature(sheet, (places[1] - 9 * unit, y1 - 12 * unit, places[1] + 9 * unit, y1 - 3 * unit))
    return sheet


def slide(rng: Generator) -> Sheet:
    """One slide, dark or light: a large title, a few bullets, a chart or a picture."""
    sheet = Sheet(
        rng,
        pick(rng, ((1.3, 1.36), (1.7, 1.8))),
        dark=0.45,
        fonts=(SANS, SERIF),
        margins=(0.04, 0.09),
        sizes=(3.2, 4.2),
    )
    unit, (x0, y, x1, y1) = sheet.unit, sheet.frame
    title, banded = typeset.words(rng, count_between(rng, 2, 4)), coin(rng, 0.4)
    if banded:
        sheet.box((0, 0, sheet.width, y + 2.4 * sheet.size), fill=sheet.accent)
    ink = WHITE if banded else sheet.ink
    y = sheet.text(x0, y, title, 1.6, stem=sheet.bold, ink=ink, width=x1 - x0) + 3 * unit
    parts = across((x0, y, x1, y1), *pick(rng, ((1.0,), (1.0, 1.0), (1.0, 1.4), (1.3, 1.0))), gap=4 * unit)
    if len(parts) == 2:
        _bullets(sheet, parts.pop(count_between(rng, 0, 1)))
    (chart if coin(rng, 0.7) else picture)(sheet, parts[0])
    return sheet


def street_map(rng: Generator) -> Sheet:
    """A map: water, parks, a net of crooked streets, and names of places."""
    sheet = Sheet(rng, (0.66, 1.5), margins=(0.01, 0.08))
    x0, y0, x1, y1 = sheet.frame

    def place(points: NDArray[np.float64]) -> list[float]:
        """Points of the unit square as pixels of the frame."""
        pixels: list[float] = ((x0, y0) + points.clip(0, 1) * (x1 - x0, y1 - y0)).ravel().tolist()
        return pixels

    for colour in ((170, 200, 225), (190, 215, 170), (190, 215, 170), (215, 205, 195)):
        angles = np.sort(rng.random(9)) * 2 * math.pi
        rim = rng.uniform(0.05, 0.3, (9, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        sheet.pen.polygon(place(rng.random(2) + rim), fill=colour)
    road: Colour = pick(rng, (WHITE, (250, 215, 120), (120, 120, 120)))
    turn, steps = between(rng, 0, math.pi), np.linspace(-0.8, 0.8, 12)
    for number in range(count_between(rng, 8, 16)):
        angle = turn + (number % 2) * math.pi / 2 + rng.normal(0, 0.12)
        aside = rng.uniform(-0.6, 0.6) + np.cumsum(rng.normal(0, 0.012, 12))
        cos, sin = math.cos(angle), math.sin(angle)
        way = place(0.5 + np.stack([steps * cos - aside * sin, steps * sin + aside * cos], axis=1))
        wide = round(between(rng, 0.5, 2) * sheet.unit)
        sheet.pen.line(way, fill=(110, 110, 110), width=wide + 3, joint="curve")
        sheet.pen.line(way, fill=road, width=max(1, wide), joint="curve")
    for _ in range(count_between(rng, 3, 9)):
        x, y = between(rng, x0, x1 - 15 * sheet.unit), between(rng, y0, y1 - 3 * sheet.unit)
        sheet.text(x, y, pick(rng, typeset.CITIES), stem=sheet.bold)
    sheet.box(sheet.frame, line=sheet.ink, width=0.4 * sheet.unit)
    return sheet


def _bullets(sheet: Sheet, box: Box) -> None:
    x, y, right, bottom = box
    dot = 0.5 * sheet.size
    while y + 2 * sheet.size < bottom:
        sheet.box((x, y + dot / 2, x + dot, y + 1.5 * dot), fill=sheet.ink if sheet.is_dark else sheet.accent)
        line = typeset.words(sheet.rng, count_between(sheet.rng, 2, 5))
        y = sheet.text(x + 3 * dot, y, line, width=right - x - 3 * dot) + between(sheet.rng, 0.4, 1.2) * sheet.size
