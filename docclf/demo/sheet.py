"""The sheet that layouts draw on, and the boxes by which they divide it."""

import math
from collections.abc import Sequence

from numpy.random import Generator
from PIL import Image, ImageDraw

from docclf.demo.draws import between, coin, pick
from docclf.demo.typeset import BODY_FONTS, BOLD_FONTS, font, set_line

Colour = tuple[int, int, int]
Span = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

WHITE: Colour = (255, 255, 255)
GREY_PAPERS: list[Colour] = [WHITE, WHITE, (250, 250, 246), (226, 226, 224)]
TINTED_PAPERS: list[Colour] = [(240, 232, 208), (222, 234, 244), (244, 226, 224), (226, 238, 222), (214, 200, 176)]
INKS: list[Colour] = [(15, 15, 15), (15, 15, 15), (60, 60, 60), (100, 100, 100), (25, 35, 90), (80, 45, 30)]
ACCENTS: list[Colour] = [(20, 60, 120), (130, 20, 35), (15, 95, 70), (195, 95, 20), (75, 40, 115), (150, 130, 40)]
DARK_PAPERS: list[Colour] = [(25, 35, 60), (35, 35, 35), (20, 70, 80), (70, 30, 60)]


class Sheet:
    """A sheet of paper with the choices that hold for the whole page: size, colours, fonts, margins.

    Args:
        rng: Source of every choice on this page.
        ratio: Range of width to height.
        dark: Fraction of sheets with light ink on dark paper.
        sizes: Range of the body font's size, in units: hundredths of the side of a square of the sheet's area.
        fonts: Body fonts to choose from.
        margins: Range of each margin, as a fraction of the side.
    """

    def __init__(
        self,
        rng: Generator,
        ratio: Span = (0.66, 0.8),
        *,
        dark: float = 0.0,
        sizes: Span = (1.9, 2.7),
        fonts: Sequence[str] = BODY_FONTS,
        margins: Span = (0.04, 0.16),
    ) -> None:
        self.rng = rng
        wide, long = between(rng, *ratio), between(rng, 500, 680)  # pixels
        self.width, self.height = round(long * min(wide, 1)), round(long / max(wide, 1))
        self.unit = math.sqrt(self.width * self.height) / 100
        self.is_dark = coin(rng, dark)
        self.paper = pick(rng, DARK_PAPERS if self.is_dark else GREY_PAPERS + TINTED_PAPERS)
        self.ink = (235, 235, 230) if self.is_dark else pick(rng, INKS)
        self.accent = pick(rng, ACCENTS)
        self.body, self.bold = pick(rng, fonts), pick(rng, BOLD_FONTS)
        self.size = between(rng, *sizes) * self.unit
        self.image = Image.new("RGB", (self.width, self.height), self.paper)
        self.pen = ImageDraw.Draw(self.image)
        left, right = (between(rng, *margins) * self.width for _ in range(2))
        top, bottom = (between(rng, *margins) * self.height for _ in range(2))
        self.frame: Box = (left, top, self.width - right, self.height - bottom)

    def text(
        self,
        x: float,
        y: float,
        line: str,
        scale: float = 1.0,
        *,
        width: float = math.inf,
        align: str = "l",
        stem: str = "",
        ink: Colour | None = None,
    ) -> float:
        """Set one line at `scale` times the body size, its top at `y`, its left (`l`), middle or right at `x`.

        The body's font and the sheet's ink are the defaults of `stem` and `ink`; what is wider than `width` is cut.
        Returns where the next line begins.
        """
        size = max(7, round(scale * self.size))
        face = font(stem or self.body, size)
        while len(line) > 1 and face.getlength(line) > width:
            line = line[:-1]
        self.pen.text((x, y), line, fill=ink or self.ink, font=face, anchor=f"{align}a")
        return y + 1.3 * size

    def prose(self, box: Box, *, leading: float = 1.35, last: float = 0.6) -> float:
        """Fill a box with a paragraph, its last line `last` of the width. Returns where the next line would begin."""
        x, y, right, bottom = box
        size = max(6, round(self.size))
        while y + size <= bottom:
            is_last = y + (1 + leading) * size > bottom
            mask = set_line(self.rng, self.body, size, max(size, (right - x) * (last if is_last else 1)))
            self.image.paste(self.ink, (round(x), round(y)), mask)
            y += leading * size
        return y

    def rule(self, x0: float, y0: float, x1: float, y1: float, *, ink: Colour | None = None, width: float = 1) -> None:
        """A straight line, at least one pixel wide."""
        self.pen.line((x0, y0, x1, y1), fill=ink or self.ink, width=max(1, round(width)))

    def box(self, box: Box, *, fill: Colour | None = None, line: Colour | None = None, width: float = 1) -> None:
        """A rectangle, filled, outlined or both."""
        x0, y0, x1, y1 = box
        corners = (x0, y0, max(x0 + 1, x1), max(y0 + 1, y1))
        self.pen.rectangle(corners, fill=fill, outline=line, width=max(1, round(width)))


def across(box: Box, *shares: float, gap: float = 0.0) -> list[Box]:
    """Parts of a box from left to right, in these shares, `gap` pixels apart.

    >>> across((0, 0, 30, 10), 1, 2)
    [(0.0, 0, 10.0, 10), (10.0, 0, 30.0, 10)]
    """
    x0, y0, x1, y1 = box
    free = x1 - x0 - gap * (len(shares) - 1)
    parts, at = [], float(x0)
    for share in shares:
        end = at + free * share / sum(shares)
        parts.append((at, y0, end, y1))
        at = end + gap
    return parts


def down(box: Box, *shares: float, gap: float = 0.0) -> list[Box]:
    """Parts of a box from top to bottom, as `across` has them from left to right."""
    x0, y0, x1, y1 = box
    return [(x0, a, x1, b) for a, _, b, _ in across((y0, x0, y1, x1), *shares, gap=gap)]


def inset(box: Box, by: float) -> Box:
    """The box without a rim."""
    x0, y0, x1, y1 = box
    return (x0 + by, y0 + by, x1 - by, y1 - by)
