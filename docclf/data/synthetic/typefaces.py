"""Typefaces: the fonts that matplotlib carries, and lines of text rendered from cached glyphs.

A page holds thousands of characters, and FreeType takes about 6 us for each, more than the rest of the page together.
So every character of a font and size is rendered once, into a cell as wide as its advance; a line is then one
`numpy.concatenate`.
"""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Weight = Literal["regular", "bold", "italic"]
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Family:
    """Font files of one design. `ascii_only`: the Computer Modern files have no umlauts, accents or euro sign."""

    regular: str
    bold: str
    italic: str
    ascii_only: bool = False


SANS = Family("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique")
SERIF = Family("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic")
MONO = Family("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique")
TIMES = Family("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic")
ROMAN = Family("cmr10", "cmb10", "cmti10", ascii_only=True)
GROTESQUE = Family("cmss10", "cmss10", "cmss10", ascii_only=True)
TYPEWRITER = Family("cmtt10", "cmtt10", "cmtt10", ascii_only=True)

OFFICE_FAMILIES = (SANS, SANS, SERIF, TIMES, TIMES, GROTESQUE, ROMAN, MONO)


class Typeface:
    """One font at one size, its glyphs rendered on first use.

    Args:
        stem: Name of the font file without `.ttf`.
        size: Em size in pixels.
    """

    def __init__(self, stem: str, size: int) -> None:
        self.size = size
        self.height = size + max(3, round(size * 0.32))
        self._font = ImageFont.truetype(_font_folder() / f"{stem}.ttf", size, layout_engine=ImageFont.Layout.BASIC)
        # Slanted glyphs lean out of their cells, which would cut them: those lines are rendered whole.
        self._slanted = "Oblique" in stem or "Italic" in stem or stem == "cmti10"
        self._cells: dict[str, Mask] = {}

    def mask(self, text: str) -> Mask:
        """The line as coverage: uint8, shape (height, width), 255 where ink is full."""
        if not text:
            return np.zeros((self.height, 0), np.uint8)
        if self._slanted:
            return self._render(text, self.width(text) + self.size // 3)
        return np.concatenate([self._cell(character) for character in text], axis=1)

    def width(self, text: str) -> int:
        """Width of the line in pixels."""
        return sum([self._cell(character).shape[1] for character in text])

    def fit(self, text: str, width: float) -> str:
        """The longest beginning of `text` that is at most `width` pixels wide, cut between words where it has any."""
        used = 0
        for position, character in enumerate(text):
            used += self._cell(character).shape[1]
            if used > width:
                return text[: text.rfind(" ", 1, position + 1)] if " " in text[1 : position + 1] else text[:position]
        return text

    def _cell(self, character: str) -> Mask:
        cell = self._cells.get(character)
        if cell is None:
            advance = max(1, round(self._font.getlength(character)))
            cell = self._cells[character] = self._render(character, advance)
        return cell

    def _render(self, text: str, width: int) -> Mask:
        image = Image.new("L", (width, self.height))
        ImageDraw.Draw(image).text((0, self.size), text, fill=255, font=self._font, anchor="ls")
        return np.asarray(image)


@lru_cache(maxsize=512)
def typeface(stem: str, size: int) -> Typeface:
    """The typeface of a font file and size, shared by all pages that a process draws."""
    return Typeface(stem, size)


@lru_cache(maxsize=1)
def _font_folder() -> Path:
    # Found, not imported: importing matplotlib takes longer than drawing ten pages.
    found = importlib.util.find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("Expected matplotlib to be installed, whose fonts `data=synthetic` draws with.")
    return Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
