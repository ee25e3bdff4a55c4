"""The sheet that layouts draw on: text, paragraphs, rules and boxes."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from docclf.data.synthetic import texts
from docclf.data.synthetic.draws import between, coin, count_between, pick
from docclf.data.synthetic.phrases import ENGLISH, LANGUAGES
from docclf.data.synthetic.typefaces import OFFICE_FAMILIES, Family, Typeface, Weight, typeface

Colour = tuple[int, int, int]
Align = Literal["left", "centre", "right"]

WHITE: Colour = (255, 255, 255)


def gray(level: int) -> Colour:
    """The neutral colour of a level between 0 (black) and 255 (white)."""
    return (level, level, level)


class Canvas:
    """A sheet of paper with the choices that hold for the whole page: typeface, size, language, colours, margin.

    Args:
        rng: Source of every choice on this page.
        width: Width in pixels.
        height: Height in pixels.
        colour: Draw in RGB. Gray sheets cost half the time.
        families: Typefaces to choose from.
        paper: Colour of the sheet.
    """

    def __init__(
        self,
        rng: Generator,
        width: int,
        height: int,
        *,
        colour: bool = False,
        families: Sequence[Family] = OFFICE_FAMILIES,
        paper: Colour = WHITE,
    ) -> None:
        self.rng = rng
        self.width = width
        self.height = height
        self.unit = width / 100
        self.colour = colour
        self.family = pick(rng, families)
        self.phrases = ENGLISH if self.family.ascii_only else pick(rng, LANGUAGES)
        self.terms = self.phrases.terms
        self.ink = gray(count_between(rng, 0, 45))
        self.accent: Colour = pick(rng, ACCENTS)
        self.body = between(rng, 1.65, 2.2) * self.unit
        self.margin = between(rng, 5, 11) * self.unit
        self.paper = paper
        self.image = Image.new("RGB" if colour else "L", (width, height), self.paint(paper))
        self.pen = ImageDraw.Draw(self.image)

    @property
    def right(self) -> float:
        """Where the right margin begins."""
        return self.width - self.margin

    @property
    def inner(self) -> float:
        """Width between the margins."""
        return self.width - 2 * self.margin

    def paint(self, colour: Colour) -> int | Colour:
        """The colour as this sheet's image mode wants it."""
        red, green, blue = colour
        return colour if self.colour else (299 * red + 587 * green + 114 * blue) // 1000

    def face(self, scale: float = 1.0, weight: Weight = "regular", family: Family | None = None) -> Typeface:
        """The page's typeface at `scale` times the body size, never below 7 pixels."""
        return typeface(getattr(family or self.family, weight), max(7, round(self.body * scale)))

    def text(
        self, x: float, y: float, line: str, face: Typeface, *, ink: Colour | None = None, align: Align = "left"
    ) -> float:
        """Draw one line with its top at `y`; `x` is its left, centre or right. Returns the line's bottom."""
        mask = face.mask(line)
        height, width = mask.shape
        if width:
            left = round(x - {"left": 0.0, "centre": 0.5, "right": 1.0}[align] * width)
            top = round(y)
            box = (left, top, left + width, top + height)
            self.image.paste(self.paint(ink or self.ink), box, Image.fromarray(mask))
        return float(y + height)

    def lines(
        self, x: float, y: float, lines: Sequence[str], face: Typeface, *, leading: float = 1.3, align: Align = "left"
    ) -> float:
        """Draw lines one under the other. Returns the bottom of the last."""
        for line in lines:
            self.text(x, y, line, face, align=align)
            y += face.size * leading
        return y

    def paragraph(
        self,
        x: float,
        y: float,
        width: float,
        text: str,
        face: Typeface,
        *,
        leading: float = 1.35,
        justify: bool = False,
        bottom: float | None = None,
    ) -> float:
        """Draw wrapped text, leaving out what would pass `bottom`. Returns where the next line would begin."""
        limit = self.height - self.margin if bottom is None else bottom
        space = face.width(" ")
        for words, used in _wrap(text, width, face, space):
            if y + face.height > limit:
                break
            gap = (width - used) / (len(words) - 1) if justify and used > 0.8 * width and len(words) > 1 else space
            self._justified(x, y, words, face, gap)
            y += face.size * leading
        return y

    def column(
        self, x: float, y: float, width: float, bottom: float, face: Typeface, *, leading: float, justify: bool = True
    ) -> None:
        """Fill a column with prose, down to `bottom`."""
        indent = coin(self.rng)
        while y + face.height < bottom:
            text = texts.prose(self.rng, self.phrases, count_between(self.rng, 2, 6))
            y = self.paragraph(
                x, y, width, ("   " if indent else "") + text, face, leading=leading, justify=justify, bottom=bottom
            )
            y += 0 if indent else face.size * 0.6

    def _justified(self, x: float, y: float, words: list[str], face: Typeface, gap: float) -> None:
        pieces: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
        at = 0.0
        drawn = 0
        for word in words:
            pieces.append(np.zeros((face.height, max(0, round(at) - drawn)), np.uint8))
            pieces.append(face.mask(word))
            drawn += pieces[-2].shape[1] + pieces[-1].shape[1]
            at = drawn + gap
        mask = np.concatenate(pieces, axis=1)
        left, top = round(x), round(y)
        box = (left, top, left + mask.shape[1], top + face.height)
        self.image.paste(self.paint(self.ink), box, Image.fromarray(mask))

    def rule(self, x0: float, y0: float, x1: float, y1: float, *, ink: Colour | None = None, width: float = 0) -> None:
        """A straight line; `width` in pixels, at least one."""
        self.pen.line((x0, y0, x1, y1), fill=self.paint(ink or self.ink), width=max(1, round(width)))

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: Colour | None = None,
        line: Colour | None = None,
        stroke: float = 1,
    ) -> None:
        """A rectangle, filled, outlined or both."""
        self.pen.rectangle(
            (x, y, x + max(1.0, width), y + max(1.0, height)),
            fill=None if fill is None else self.paint(fill),
            outline=None if line is None else self.paint(line),
            width=max(1, round(stroke)),
        )


def sheet(
    rng: Generator,
    *,
    ratio: tuple[float, float] = (0.67, 0.75),
    heights: tuple[int, int] = (740, 1120),
    colour_share: float = 0.3,
    families: Sequence[Family] = OFFICE_FAMILIES,
    paper: Colour = WHITE,
) -> Canvas:
    """A sheet of random size: height in pixels from `heights`, width by a width-to-height ratio from `ratio`."""
    height = count_between(rng, *heights)
    width = round(height * between(rng, *ratio))
    return Canvas(rng, width, height, colour=coin(rng, colour_share), families=families, paper=paper)


def _wrap(text: str, width: float, face: Typeface, space: int) -> list[tuple[list[str], int]]:
    """Words line by line, with the pixels that the words of a line take without the spaces."""
    lines: list[tuple[list[str], int]] = []
    words: list[str] = []
    used = 0
    for word in text.split(" "):
        size = face.width(word)
        if words and used + size + space * len(words) > width:
            lines.append((words, used))
            words, used = [], 0
        words.append(word)
        used += size
    return [*lines, (words, used)]


ACCENTS: tuple[Colour, ...] = (
    (20, 60, 120),
    (120, 20, 35),
    (15, 95, 70),
    (45, 45, 50),
    (190, 90, 20),
    (70, 40, 110),
    (0, 110, 150),
    (90, 90, 95),
)
