"""Pages of lines: newspaper page, handwritten note, code listing, sheet music and receipt."""

import numpy as np
from numpy.random import Generator

from docclf.demo import typeset
from docclf.demo.draws import between, coin, count_between, pick
from docclf.demo.figures import PEN_INKS, barcode, handwriting, picture
from docclf.demo.sheet import Box, Colour, Sheet, across
from docclf.demo.typeset import COMPANIES, HEADLINE, ITEMS, MONO, SERIF, TIMES


def newspaper_page(rng: Generator) -> Sheet:
    """Large headlines over three to five narrow columns of small print, with photographs among them."""
    sheet = Sheet(rng, (0.64, 0.95), fonts=(TIMES, SERIF), margins=(0.02, 0.07), sizes=(1.5, 1.9))
    unit, (x0, y, x1, y1) = sheet.unit, sheet.frame
    if coin(rng, 0.6):
        name = pick(rng, ("The Morning Post", "Daily Courier", "Evening Star"))
        y = sheet.text((x0 + x1) / 2, y, name, between(rng, 4, 6), stem=HEADLINE, align="m", width=x1 - x0)
        sheet.rule(x0, y, x1, y, width=0.4 * unit)
    while y + 30 * unit < y1:
        bottom = min(y1, y + between(rng, 32, 60) * unit)
        if y1 - bottom < 30 * unit:
            bottom = y1
        headline = typeset.words(rng, count_between(rng, 4, 7))
        y = sheet.text(x0, y + unit, headline, between(rng, 2.4, 4), stem=HEADLINE, width=x1 - x0) + unit
        columns = across((x0, y, x1, bottom), *[1] * count_between(rng, 3, 5), gap=1.6 * unit)
        if coin(rng, 0.75):
            first, tall = count_between(rng, 0, len(columns) - 2), between(rng, 0.4, 0.8) * (bottom - y)
            picture(sheet, (columns[first][0], y, columns[first + 1][2], y + tall))
            for number in (first, first + 1):
                columns[number] = (columns[number][0], y + tall + unit, columns[number][2], bottom)
        for column in columns:
            sheet.prose(column, leading=1.25)
        y = bottom + unit
    return sheet


def handwritten_note(rng: Generator) -> Sheet:
    """Lines written by hand, on lined, squared or blank paper."""
    sheet = Sheet(rng, (0.66, 1.4))
    x0, y0, x1, y1 = sheet.frame
    step = between(rng, 5, 9.5) * sheet.unit
    _ruling(sheet, y0, step)
    ink, size = pick(rng, PEN_INKS), step * between(rng, 0.6, 0.9)
    thickness = between(rng, 0.25, 0.7) * sheet.unit
    rows = int((y1 - y0) / step)
    first = count_between(rng, 0, rows // 3)
    for row in range(first, max(first + 3, round(rows * between(rng, 0.5, 1)))):
        width = (x1 - x0) * (between(rng, 0.85, 1) if coin(rng, 0.75) else between(rng, 0.3, 0.8))
        if coin(rng, 0.9):
            handwriting(sheet, x0, y0 + (row + 1) * step - 0.1 * size, width, size, ink=ink, thickness=thickness)
    return sheet


def code_listing(rng: Generator) -> Sheet:
    """A program in a typewriter's font: ragged, indented lines, light on dark on some."""
    sheet = Sheet(rng, (0.66, 1.5), dark=0.4, fonts=(MONO, "cmtt10"), sizes=(2.2, 3.1))
    x0, y, x1, y1 = sheet.frame
    indent, inks = 0, [sheet.ink]
    if coin(rng):
        inks += [(90, 170, 230), (230, 150, 80)] if sheet.is_dark else [sheet.accent, (150, 90, 30)]
    for top in np.arange(y, y1 - sheet.size, 1.25 * sheet.size).tolist():
        if coin(rng, 0.85):
            head = pick(rng, ("if", "for", "while", "return", "x =", "def", "print"))
            line = f"{head} {'_'.join(typeset.words(rng, count_between(rng, 1, 4)).lower().split())}()"
            left = x0 + 1.8 * indent * sheet.size
            sheet.text(left, top, line, ink=pick(rng, inks), width=x1 - left)
        indent = min(5, max(0, indent + count_between(rng, -1, 1)))
    return sheet


def sheet_music(rng: Generator) -> Sheet:
    """Staves of five lines with bars and notes, under a title."""
    sheet = Sheet(rng, (0.68, 1.4))
    x0, y, x1, y1 = sheet.frame
    y = sheet.text((x0 + x1) / 2, y, typeset.words(rng, 3), between(rng, 1, 2.3), stem=sheet.bold, align="m")
    space = between(rng, 0.9, 1.7) * sheet.unit
    step = between(rng, 9, 12) * space
    for top in np.arange(y + 2 * space, y1 - 4 * space, step).tolist():
        _stave(sheet, (x0, top, x1, top + 4 * space), space)
    return sheet


def receipt(rng: Generator) -> Sheet:
    """A narrow strip of till paper: shop, items with their prices, the total in bold, often a barcode."""
    sheet = Sheet(rng, (0.36, 0.56), fonts=(MONO, "cmtt10", typeset.SANS), margins=(0.03, 0.1), sizes=(3.3, 4.5))
    x0, y, x1, y1 = sheet.frame
    middle, step = (x0 + x1) / 2, sheet.size
    _tear(sheet)
    y = sheet.text(middle, y, pick(rng, COMPANIES).upper(), 1.2, stem=sheet.bold, align="m", width=x1 - x0)
    y = sheet.text(middle, y, pick(rng, typeset.STREETS), align="m") + between(rng, 0.5, 3) * step
    for _ in range(count_between(rng, 4, 16)):
        if y + 7 * step > y1:
            break
        sheet.text(x0, y, pick(rng, ITEMS), width=0.65 * (x1 - x0))
        y = sheet.text(x1, y, typeset.amount(rng), align="r")
    sheet.rule(x0, y + 0.3 * step, x1, y + 0.3 * step)
    sheet.text(x0, y + 0.7 * step, "TOTAL", 1.5, stem=sheet.bold)
    y = sheet.text(x1, y + 0.7 * step, typeset.amount(rng), 1.5, stem=sheet.bold, align="r") + step
    if coin(rng, 0.6) and y + 4 * step < y1:
        barcode(sheet, (x0 + 2 * step, y, x1 - 2 * step, y + 3.5 * step))
    return sheet


def _tear(sheet: Sheet) -> None:
    """Ends in teeth, before the lid of the scanner, which shows at the sides of some too."""
    lid: Colour = (count_between(sheet.rng, 50, 150),) * 3
    tooth, height = 2.2 * sheet.unit, sheet.height
    for left in np.arange(0, sheet.width, tooth).tolist():
        for end, inner in ((0, tooth), (height, height - tooth)):
            sheet.pen.polygon((left, end, left + tooth, end, left + tooth / 2, inner), fill=lid)
    if coin(sheet.rng):
        sheet.box((0, 0, sheet.width - 1, height - 1), line=lid, width=between(sheet.rng, 1, 2) * sheet.unit)


def _ruling(sheet: Sheet, top: float, step: float) -> None:
    kind = pick(sheet.rng, ("lines", "squares", "blank"))
    rows = np.arange(top, sheet.height, step).tolist() if kind != "blank" else ()
    columns = np.arange(0, sheet.width, step).tolist() if kind == "squares" else ()
    for x0, y0, x1, y1 in [*((0, y, sheet.width, y) for y in rows), *((x, 0, x, sheet.height) for x in columns)]:
        sheet.rule(x0, y0, x1, y1, ink=(175, 195, 220))


def _stave(sheet: Sheet, box: Box, space: float) -> None:
    rng, (x0, y0, x1, y1) = sheet.rng, box
    for line in range(5):
        sheet.rule(x0, y0 + line * space, x1, y0 + line * space)
    for part in across((x0 + 4 * space, y0, x1, y1), *[1] * count_between(rng, 2, 5)):
        sheet.rule(part[2], y0, part[2], y1)
        for left, _, right, _ in across(part, *[1] * count_between(rng, 2, 5)):
            y, x, half = y0 + space * between(rng, 0, 4), (left + right) / 2, 0.65 * space
            fill = sheet.ink if coin(rng, 0.7) else None
            sheet.pen.ellipse((x - half, y - half, x + half, y + half), fill=fill, outline=sheet.ink, width=2)
            side = 1 if y > y0 + 2 * space else -1
            sheet.rule(x + side * half, y, x + side * half, y - side * 3.5 * space, width=0.25 * space)
    sheet.pen.arc((x0 + 0.5 * space, y0 - space, x0 + 2.5 * space, y1 + space), 40, 330, fill=sheet.ink, width=3)
    sheet.rule(x0 + 1.5 * space, y0 - 1.5 * space, x0 + 1.5 * space, y1 + 1.5 * space, width=2)
