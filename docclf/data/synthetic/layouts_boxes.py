"""Pages of boxes to fill in: form and medical form. Both have a head, shaded section bars and handwriting."""

from numpy.random import Generator

from docclf.data.synthetic import texts
from docclf.data.synthetic.canvas import WHITE, Canvas, gray, sheet
from docclf.data.synthetic.draws import between, coin, count_between, pick
from docclf.data.synthetic.figures import barcode, logo
from docclf.data.synthetic.strokes import handwriting, signature, tick, trace
from docclf.data.synthetic.typefaces import MONO


def form(rng: Generator) -> Canvas:
    """Sections of labelled fields, full width or in pairs; lines, boxes or combs, some filled in; a signature."""
    page = sheet(rng, colour_share=0.5, paper=pick(rng, (WHITE, (222, 232, 222), (238, 226, 212), gray(225))))
    unit = page.unit
    y = _form_head(page, page.terms["form"])
    style = pick(rng, ("line", "box", "comb"))
    filled = between(rng, 0, 1)
    while y < page.height - page.margin - 30 * unit:
        y = _section_bar(page, y, pick(rng, page.phrases.sections))
        for _ in range(count_between(rng, 3, 6)):
            fields = count_between(rng, 1, 3)
            for field in range(fields):
                x = page.margin + field * page.inner / fields
                _field(page, x, y, page.inner / fields - 1.5 * unit, style, filled)
            y += page.body * 3.4
            if y > page.height - page.margin - 24 * unit:
                break
        y += unit
    page.paragraph(page.margin, y, page.inner, texts.prose(rng, page.phrases, 2), page.face(0.85))
    y = page.height - page.margin - 4 * unit
    page.rule(page.width * 0.55, y, page.right, y)
    page.text(page.width * 0.55, y, page.terms["signature"], page.face(0.8))
    if coin(rng, 0.6):
        signature(page, page.width * 0.6, y - unit, 22 * unit)
    return page


def medical_form(rng: Generator) -> Canvas:
    """Patient's box and label, then blocks of questions with boxes to tick; often a heart trace or a body's outline."""
    page = sheet(rng, colour_share=0.5, paper=pick(rng, (WHITE, WHITE, (246, 226, 230), (222, 234, 246))))
    unit = page.unit
    y = _form_head(page, page.terms["medical"], cross=coin(rng, 0.7))
    box_height = between(rng, 15, 22) * unit
    width = page.inner * between(rng, 0.5, 0.62)
    page.box(page.margin, y, width, box_height, fill=WHITE, line=page.ink, stroke=0.45 * unit)
    lines = [page.terms["patient"], *texts.address(rng, page.phrases), texts.date(rng, page.phrases)]
    page.lines(page.margin + unit, y + unit, lines, page.face(1.05))
    if coin(rng, 0.8):
        barcode(page, page.right - page.inner * 0.32, y + unit, page.inner * 0.32, 0.5 * box_height)
    y += box_height + 2.5 * unit
    extra = pick(rng, ("trace", "body", "body", "none"))
    end = page.height - page.margin - (34 * unit if extra != "none" else 8 * unit)
    columns = count_between(rng, 2, 4)
    while y < end - 8 * unit:
        y = _section_bar(page, y, pick(rng, page.phrases.symptoms))
        y = _questions(page, y, columns, min(end, y + between(rng, 18, 45) * unit)) + unit
    if extra == "trace":
        trace(page, page.margin, y, page.inner, min(24 * unit, page.height - page.margin - y))
    elif extra == "body":
        for place in (0.15, 0.4):
            _body(page, page.margin + place * page.inner, y, 30 * unit)
        for line in range(5):
            at = y + (4 + 5.5 * line) * unit
            page.rule(page.margin + 0.56 * page.inner, at, page.right, at, ink=gray(130))
            if coin(rng, 0.6):
                handwriting(page, page.margin + 0.57 * page.inner, at - 0.4 * unit, page.inner * 0.38, 2.2 * unit)
    return page


def _form_head(page: Canvas, title: str, *, cross: bool = False) -> float:
    rng, unit = page.rng, page.unit
    y = between(rng, 5, 8) * unit
    size = between(rng, 6, 9) * unit
    at = page.margin if coin(rng) else page.right - size
    if cross:
        page.box(at + size / 3, y, size / 3, size, fill=page.accent)
        page.box(at, y + size / 3, size, size / 3, fill=page.accent)
    elif coin(rng, 0.7):
        logo(page, at, y, size)
    face = page.face(between(rng, 1.5, 2.2), "bold")
    x = page.margin + (size + 2 * unit if at == page.margin else 0)
    page.text(x, y + (size - face.height) / 2, title, face)
    return y + size + between(rng, 2, 4) * unit


def _section_bar(page: Canvas, y: float, title: str) -> float:
    face = page.face(1.05, "bold")
    height = face.height * 1.25
    page.box(page.margin, y, page.inner, height, fill=pick(page.rng, (gray(215), gray(190), gray(170))), line=gray(170))
    page.text(page.margin + page.unit, y + 0.12 * face.height, title, face)
    return y + height + page.unit


def _field(page: Canvas, x: float, y: float, width: float, style: str, filled: float) -> None:
    rng, unit, body = page.rng, page.unit, page.body
    label = page.face(0.8)
    page.text(x, y, label.fit(pick(rng, page.phrases.labels), width), label)
    top, height = y + 1.15 * body, 1.9 * body
    if style == "line":
        page.rule(x, top + height, x + width, top + height)
    else:
        page.box(x, top, width, height, fill=WHITE, line=gray(80))
    if style == "comb":
        for cell in range(1, int(width / height)):
            page.rule(x + cell * height, top + 0.4 * height, x + cell * height, top + height, ink=gray(80))
    if not coin(rng, filled):
        return
    if coin(rng, 0.7):
        handwriting(page, x + unit, top + 0.85 * height, width * between(rng, 0.4, 0.8), 1.3 * body)
    else:
        typed = page.face(1, family=MONO)
        page.text(x + unit, top + 0.2 * height, typed.fit(texts.person(rng, page.phrases), width - 2 * unit), typed)


def _questions(page: Canvas, y: float, columns: int, bottom: float) -> float:
    """Columns of boxes to tick, each with its symptom."""
    rng, face = page.rng, page.face(0.95)
    square, width = 0.95 * page.body, page.inner / columns
    answers = coin(rng, 0.3)
    while y + 2 * square < bottom:
        for column in range(columns):
            x = page.margin + column * width
            for box in range(2 if answers else 1):
                page.box(x + box * 1.6 * square, y, square, square, fill=WHITE, line=page.ink)
            if coin(rng, 0.3):
                tick(page, x, y, square)
            label = face.fit(pick(rng, page.phrases.symptoms), width - 3.5 * square)
            page.text(x + (3.2 if answers else 1.6) * square, y - 0.15 * square, label, face)
        y += 1.9 * square
    return y


def _body(page: Canvas, x: float, y: float, height: float) -> None:
    """The outline of a person, on which pain is marked."""
    pen, ink = page.pen, page.paint(gray(70))
    part = height / 10
    pen.ellipse((x - 0.8 * part, y, x + 0.8 * part, y + 1.8 * part), outline=ink, width=2)
    pen.rounded_rectangle((x - 1.3 * part, y + 1.9 * part, x + 1.3 * part, y + 5.4 * part), part, outline=ink, width=2)
    for side in (-1, 1):
        pen.line((x + side * 1.5 * part, y + 2.2 * part, x + side * 2.3 * part, y + 5.6 * part), fill=ink, width=3)
        pen.line((x + side * 0.7 * part, y + 5.4 * part, x + side * 0.9 * part, y + 9.8 * part), fill=ink, width=4)
