"""Words, and the fonts that matplotlib carries to set them in.

A page of small print holds thousands of characters, and each costs FreeType about 6 us. So prose is rendered once for
each font and size, as one long strip, and a line of it is cut from the strip between two words.
"""

import bisect
import importlib.util
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from docclf.demo.draws import count_between, pick

SANS, SERIF, TIMES, HEADLINE, MONO = "DejaVuSans", "DejaVuSerif", "STIXGeneral", "STIXGeneralBol", "DejaVuSansMono"
BODY_FONTS = (SANS, SERIF, TIMES, "cmr10")
BOLD_FONTS = ("DejaVuSans-Bold", "DejaVuSerif-Bold", HEADLINE)

NAMES = ("Alice Adams", "Brian Baker", "Carol Clarke", "David Ellis", "Emma Foster", "Frank Hughes", "Nora Knight")
STREETS = ("Station Road", "High Street", "Church Lane", "Mill Hill", "Park Avenue", "King Street")
CITIES = ("Leeds", "Bristol", "York", "Oxford", "Manchester", "Cambridge", "Bath", "Durham")
COMPANIES = ("Northgate Ltd", "Baker & Sons", "Harbour Lines", "Meridian Energy", "Oakfield Trading", "Alder Press")
ITEMS = ("Copy paper", "Service call", "Toner black", "Oak desk", "Travel", "Coffee", "Cable set", "Rent")
LABELS = ("Name", "Address", "Date of birth", "City", "Telephone", "Account", "Signature", "Reference", "Department")
_TEXT = """the annual report shows a steady increase in costs over the last year and the city council has approved the
new contract while every second household expects no further delay in the coming weeks our customer confirms that all
documents were sent in March and the committee supports the agreed terms of delivery a recent study describes an error
below two percent in the northern district although the board of directors does not include the results of earlier
measurements which the local team has changed since the model was proposed by forty people at work here"""
PROSE = _TEXT.split()


@lru_cache(maxsize=256)
def font(stem: str, size: int) -> ImageFont.FreeTypeFont:
    """The font of a file's name without `.ttf`, `size` pixels to the em."""
    return ImageFont.truetype(_folder() / f"{stem}.ttf", size, layout_engine=ImageFont.Layout.BASIC)


def set_line(rng: Generator, stem: str, size: int, width: float) -> Image.Image:
    """Coverage of as many words of the prose as fit, from any word on; 8 bits a pixel, at least one pixel wide."""
    mask, starts = _strip(stem, size)
    first = count_between(rng, 0, len(PROSE) - 1)
    last = bisect.bisect_right(starts, starts[first] + int(width)) - 1
    end = starts[last] if last > first else starts[first] + max(1, int(width))
    return mask.crop((starts[first], 0, end, mask.height))


def words(rng: Generator, count: int) -> str:
    """So many words of the prose, the first with a capital letter."""
    first = count_between(rng, 0, len(PROSE) - 1)
    return " ".join((PROSE * 2)[first : first + count]).capitalize()


def digits(rng: Generator, count: int) -> str:
    """A string of figures."""
    return "".join(map(str, rng.integers(10, size=count).tolist()))


def amount(rng: Generator) -> str:
    """An amount of money, below 1,000."""
    return f"{count_between(rng, 1, 999)}.{digits(rng, 2)}"


def address(rng: Generator) -> list[str]:
    """Name, street and city, a line each."""
    return [pick(rng, NAMES), f"{pick(rng, STREETS)} {count_between(rng, 1, 180)}", pick(rng, CITIES)]


@lru_cache(maxsize=128)
def _strip(stem: str, size: int) -> tuple[Image.Image, list[int]]:
    """The prose twice over, so that a line may begin anywhere, and the pixel at which each word begins."""
    face = font(stem, size)
    starts = list(map(round, accumulate((face.getlength(f"{word} ") for word in PROSE * 2), initial=0.0)))
    mask = Image.new("L", (starts[-1], round(1.3 * size) + 1))
    ImageDraw.Draw(mask).text((0, size), " ".join(PROSE * 2), fill=255, font=face, anchor="ls")
    return mask, starts


@lru_cache(maxsize=1)
def _folder() -> Path:
    # Found, not imported: importing matplotlib takes longer than drawing fifty pages.
    found = importlib.util.find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("Expected matplotlib to be installed, whose fonts `data=synthetic` draws with.")
    return Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
