"""Papers of an office: letter, invoice, form, table report and shipping label. They share letterheads and tables."""

from collections.abc import Sequence

from numpy.random import Generator

from docclf.demo import typeset
from docclf.demo.draws import between, coin, count_between, pick
from docclf.demo.figures import barcode, handwriting, logo, signature
from docclf.demo.sheet import WHITE, Box, Colour, Sheet, across, down, inset
from docclf.demo.typeset import CITIES, COMPANIES, ITEMS, LABELS, NAMES


def letter(rng: Generator) -> Sheet:
    """Letterhead, address, a few paragraphs and a signature; much of the sheet stays white."""
    sheet = Sheet(rng)
    unit, (x0, y0, x1, y1) = sheet.unit, sheet.frame
    y = letterhead(sheet, y0) if coin(rng, 0.8) else y0
    x = x0 if coin(rng, 0.7) else x0 + 0.6 * (x1 - x0)
    y += between(rng, 2, 6) * unit
    for line in typeset.address(rng):
        y = sheet.text(x, y, line)
    y += between(rng, 3, 8) * unit
    leading, width = between(rng, 1.3, 1.8), between(rng, 0.85, 1) * (x1 - x0)
    for _ in range(count_between(rng, 2, 4)):
        end = min(y + count_between(rng, 3, 7) * leading * sheet.size, y1 - 14 * unit)
        y = sheet.prose((x0, y, x0 + width, end), leading=leading, last=between(rng, 0.2, 0.9)) + sheet.size
    x = x0 if coin(rng) else x0 + 0.55 * (x1 - x0)
    signature(sheet, (x, y + unit, x + between(rng, 22, 34) * unit, y + 9 * unit))
    sheet.text(x, y + 10 * unit, pick(rng, NAMES))
    return sheet


def invoice(rng: Generator) -> Sheet:
    """Letterhead, address, a short table of items and its total in a coloured bar."""
    sheet = Sheet(rng)
    unit, (x0, y0, x1, y1) = sheet.unit, sheet.frame
    y = letterhead(sheet, y0) + between(rng, 2, 4) * unit
    title = sheet.text(x1, y, "INVOICE", between(rng, 1.6, 2.6), stem=sheet.bold, align="r")
    for line in typeset.address(rng):
        y = sheet.text(x0, y, line)
    y = max(y, title) + between(rng, 3, 8) * unit
    rows = [(pick(rng, ITEMS), typeset.digits(rng, 2), typeset.amount(rng)) for _ in range(count_between(rng, 3, 7))]
    y = table(sheet, (x0, y, x1, y1), (3, 1, 1.3), [("Item", "Pieces", "Amount"), *rows])
    sheet.box((x0 + 0.6 * (x1 - x0), y + 2 * unit, x1, y + 2 * unit + 2.2 * sheet.size), fill=sheet.accent)
    sheet.text(x1 - unit, y + 2.5 * unit, f"Total {typeset.amount(rng)}", 1.3, stem=sheet.bold, ink=WHITE, align="r")
    return sheet


def form(rng: Generator) -> Sheet:
    """Shaded bars over rows of boxes or combs to fill in, some of them filled by hand."""
    sheet = Sheet(rng, margins=(0.03, 0.1))
    unit, (x0, y, x1, y1) = sheet.unit, sheet.frame
    y = sheet.text(x0, y, f"Form {typeset.digits(rng, 3)}", between(rng, 1.4, 2.2), stem=sheet.bold) + unit
    bar: Colour = sheet.accent if coin(rng) else (165, 165, 165)
    filled, row, combs = between(rng, 0.2, 0.9), between(rng, 7, 10) * unit, coin(rng)
    while y + 2 * row < y1:
        sheet.box((x0, y, x1, y + 3.4 * unit), fill=bar)
        sheet.text(x0 + unit, y + 0.4 * unit, pick(rng, LABELS), stem=sheet.bold, ink=WHITE)
        y += 4.6 * unit
        for _ in range(count_between(rng, 2, 4)):
            if y + row > y1:
                break
            for field in across((x0, y, x1, y + row), *[1] * count_between(rng, 1, 3), gap=1.5 * unit):
                _field(sheet, field, filled, combs=combs)
            y += row + unit
    return sheet


def table_report(rng: Generator) -> Sheet:
    """One or two ruled or striped tables of numbers which fill the page, under a title."""
    sheet = Sheet(rng, (0.66, 1.45))
    unit, (x0, y, x1, y1) = sheet.unit, sheet.frame
    if coin(rng, 0.8):
        y = sheet.text(x0, y, typeset.words(rng, 3), between(rng, 1.2, 2), stem=sheet.bold, width=x1 - x0) + unit
    columns = count_between(rng, 4, 7)
    parts = down((x0, y, x1, y1), *pick(rng, ((1,), (1,), (1, 1), (2, 1))), gap=4 * unit)
    for part in parts:
        count = int((part[3] - part[1]) / (2 * sheet.size)) - 1
        rows = [[pick(rng, CITIES), *[typeset.digits(rng, 4) for _ in range(columns - 1)]] for _ in range(count)]
        table(sheet, part, (1.6, *[1] * (columns - 1)), [["", *map(str, range(2019, 2018 + columns))], *rows])
    return sheet


def shipping_label(rng: Generator) -> Sheet:
    """A framed label cut into fields by thick rules, with a large barcode and an address in capitals."""
    sheet = Sheet(rng, (0.62, 1.3), margins=(0.05, 0.14))
    thick = between(rng, 0.4, 1.0) * sheet.unit
    sheet.box(sheet.frame, line=sheet.ink, width=thick)
    parts = down(sheet.frame, *rng.permutation([1.0, 1.6, 1.6]).tolist())
    kinds = rng.permutation(["codes", "address", "bars"]).tolist()
    for part, kind in zip(parts, kinds, strict=True):
        inner = x, y, right, bottom = inset(part, 2.5 * sheet.unit)
        sheet.box(part, line=sheet.ink, width=thick)
        if kind == "bars":
            barcode(sheet, inner)
        for cell in across(part, *rng.permutation([1.0, 1.0, 1.6]).tolist()) if kind == "codes" else ():
            sheet.box(cell, fill=sheet.ink if coin(rng, 0.3) else None, line=sheet.ink, width=thick)
            sheet.text(cell[0] + sheet.unit, y, typeset.digits(rng, 2), 2.4, stem=sheet.bold)
        for line in ("To", *typeset.address(rng)) if kind == "address" else ():
            if y + 1.6 * sheet.size < bottom:
                y = sheet.text(x, y, line.upper(), 1.5, stem=sheet.bold, width=right - x)
    return sheet


def letterhead(sheet: Sheet, y: float) -> float:
    """A company's mark and name, at the left or at the right. Returns its bottom."""
    rng, unit = sheet.rng, sheet.unit
    x0, _, x1, _ = sheet.frame
    size, right = between(rng, 6, 10) * unit, coin(rng, 0.4)
    x, align = (x1 - size - unit, "r") if right else (x0 + size + unit, "l")
    sheet.text(x, y + 0.2 * size, pick(rng, COMPANIES), 1.6, stem=sheet.bold, ink=sheet.accent, align=align)
    logo(sheet, x1 - size if right else x0, y, size)
    sheet.rule(x0, y + size + unit, x1, y + size + unit, ink=sheet.accent, width=between(rng, 0, 0.5) * unit)
    return y + size + 2 * unit


def table(sheet: Sheet, box: Box, shares: Sequence[float], rows: Sequence[Sequence[str]]) -> float:
    """A table from the top of a box downwards, its first row the header: grid, rules or stripes. Returns its bottom."""
    rng, (x0, y, x1, y1) = sheet.rng, box
    grid, striped, height = coin(rng, 0.5), coin(rng, 0.4), between(rng, 1.6, 2.2) * sheet.size
    line: Colour = pick(rng, (sheet.ink, (130, 130, 130)))
    for number, row in enumerate(rows):
        if y + height > y1:
            break
        band = (x0, y, x1, y + height)
        if not number or (striped and number % 2 == 0):
            sheet.box(band, fill=(205, 205, 205) if number else sheet.accent)
        for place, (cell, text) in enumerate(zip(across(band, *shares), row, strict=True)):
            sheet.box(cell, line=line if grid else None)
            x, align = (cell[2] - 0.3 * sheet.size, "r") if place else (cell[0] + 0.3 * sheet.size, "l")
            ink = sheet.ink if number else WHITE
            sheet.text(x, y + 0.2 * height, text, 0.9, ink=ink, align=align, width=0.9 * (cell[2] - cell[0]))
        if not striped:
            sheet.rule(x0, y + height, x1, y + height, ink=line)
        y += height
    return y


def _field(sheet: Sheet, box: Box, filled: float, *, combs: bool) -> None:
    rng, (x0, y0, x1, y1) = sheet.rng, box
    sheet.text(x0, y0, pick(rng, LABELS), 0.75, width=x1 - x0)
    top = y0 + 0.35 * (y1 - y0)
    sheet.box((x0, top, x1, y1), fill=WHITE, line=sheet.ink, width=0.4 * sheet.unit)
    if combs:
        for cell in range(1, int((x1 - x0) / (y1 - top))):
            sheet.rule(x0 + cell * (y1 - top), top, x0 + cell * (y1 - top), y1)
    if coin(rng, filled):
        handwriting(sheet, x0 + 3, y1 - 0.15 * (y1 - y0), (x1 - x0) * between(rng, 0.4, 0.8), 0.5 * (y1 - y0))
