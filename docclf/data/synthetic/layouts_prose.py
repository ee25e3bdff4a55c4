"""Pages with much white: letter, resume, handwritten note, slide."""

from numpy.random import Generator

from docclf.data.synthetic import texts
from docclf.data.synthetic.canvas import WHITE, Align, Canvas, Colour, gray, sheet
from docclf.data.synthetic.draws import between, coin, count_between, pick
from docclf.data.synthetic.figures import bar_chart, line_chart, logo, picture, pie_chart, portrait
from docclf.data.synthetic.letterhead import address_window, footer, letterhead
from docclf.data.synthetic.strokes import PEN_INKS, handwriting, signature
from docclf.data.synthetic.typefaces import ROMAN, SANS, SERIF, TIMES, TYPEWRITER


def letter(rng: Generator) -> Canvas:
    """Letterhead, address, date, subject, a few paragraphs, a closing and a signature."""
    families = (TIMES, SERIF, SANS, TYPEWRITER, ROMAN)
    page = sheet(rng, families=families)
    page.body = between(rng, 1.6, 2.1) * page.unit
    unit, face = page.unit, page.face()
    y = (letterhead(page) if coin(rng, 0.75) else page.margin) + between(rng, 3, 8) * unit
    y = address_window(page, y, right=coin(rng, 0.2)) + between(rng, 3, 8) * unit
    page.text(page.right, y, texts.date(rng, page.phrases), face, align="right")
    y += between(rng, 3, 6) * unit
    if coin(rng, 0.8):
        y = page.text(page.margin, y, texts.headline(rng, page.phrases), page.face(1.05, "bold")) + 2.5 * unit
    y = page.text(page.margin, y, pick(rng, page.phrases.greetings), face) + 1.5 * unit
    end = footer(page) - 20 * unit
    leading, justify = between(rng, 1.25, 1.7), coin(rng, 0.4)
    for _ in range(count_between(rng, 1, 5)):
        text = texts.prose(rng, page.phrases, count_between(rng, 2, 5))
        y = page.paragraph(page.margin, y, page.inner, text, face, leading=leading, justify=justify, bottom=end)
        y += 0.9 * face.size
    x = page.margin if coin(rng, 0.75) else page.width * 0.55
    y = page.text(x, y + unit, pick(rng, page.phrases.closings), face)
    signature(page, x, y + 5.5 * unit, between(rng, 16, 26) * unit)
    page.text(x, y + 8 * unit, texts.person(rng, page.phrases), face)
    return page


def resume(rng: Generator) -> Canvas:
    """Name, contact, and sections of dated entries; with a photo or a shaded column at the side in some."""
    page = sheet(rng)
    if coin(rng, 0.6):
        _resume_with_side(page)
        return page
    unit = page.unit
    name = page.face(between(rng, 1.8, 2.8), "bold")
    photo = coin(rng, 0.5)
    align: Align = "centre" if not photo and coin(rng, 0.5) else "left"
    x = page.width / 2 if align == "centre" else page.margin
    y = page.text(x, page.margin, texts.person(rng, page.phrases), name, align=align)
    contact = f"{pick(rng, page.phrases.cities)}  |  {texts.digits(rng, 10)}"
    y = page.text(x, y + unit, contact, page.face(0.9), align=align) + 3 * unit
    if photo:
        size = between(rng, 14, 19) * unit
        portrait(page, page.right - size, page.margin, size, 1.28 * size)
        y = max(y, page.margin + 1.28 * size + 3 * unit)
    dates = between(rng, 0.16, 0.24) * page.inner
    while y < page.height - page.margin - 14 * unit:
        y = _heading(page, page.margin, y, page.inner)
        for _ in range(count_between(rng, 1, 4)):
            if y > page.height - page.margin - 8 * unit:
                break
            year = count_between(rng, 1996, 2023)
            page.text(page.margin, y, f"{year} - {year + count_between(rng, 1, 4)}", page.face(0.95))
            y = _entry(page, page.margin + dates, y, page.inner - dates)
        y += between(rng, 1, 3) * unit
    return page


def handwritten_note(rng: Generator) -> Canvas:
    """A page written by hand, on lined, squared or blank paper."""
    paper = pick(rng, (WHITE, (252, 246, 190), gray(240), (226, 238, 246)))
    ratio, heights = ((0.66, 0.8), (760, 1080)) if coin(rng, 0.8) else ((1.2, 1.5), (600, 720))
    page = sheet(rng, ratio=ratio, heights=heights, colour_share=0.45, paper=paper)
    unit = page.unit
    step = between(rng, 4.5, 7.5) * unit
    ruling = pick(rng, ("lines", "lines", "squares", "blank"))
    blue: Colour = pick(rng, ((170, 195, 225), gray(200), (190, 215, 205)))
    top = between(rng, 5, 16) * unit
    if ruling != "blank":
        for row in range(int((page.height - top) / step) + 1):
            page.rule(0, top + row * step, page.width, top + row * step, ink=blue)
    if ruling == "squares":
        for column in range(int(page.width / step) + 1):
            page.rule(column * step, 0, column * step, page.height, ink=blue)
    elif coin(rng, 0.4):
        page.rule(page.margin * 0.8, 0, page.margin * 0.8, page.height, ink=(220, 120, 120))
    ink, size, thickness = pick(rng, PEN_INKS), step * between(rng, 0.55, 0.8), between(rng, 0.3, 0.6) * unit
    rows = int((page.height - top - 4 * unit) / step)
    used = round(rows * between(rng, 0.35, 1))
    drift = between(rng, -0.3, 0.3) * unit if ruling == "blank" else 0.0
    for row in range(1, used):
        if coin(rng, 0.12):
            continue
        length = page.inner * (between(rng, 0.85, 1) if coin(rng, 0.75) else between(rng, 0.3, 0.8))
        y = top + row * step + row * drift - 0.1 * size
        handwriting(page, page.margin, y, length, size, ink=ink, thickness=thickness)
    if coin(rng, 0.4):
        signature(page, page.width * 0.55, min(top + (used + 1.5) * step, page.height - 4 * unit), 24 * unit)
    return page


def slide(rng: Generator) -> Canvas:
    """One slide, dark or light: a title, bullets, often with a chart or a picture beside them."""
    dark = coin(rng, 0.55)
    paper = (
        pick(rng, ((25, 35, 60), gray(35), (20, 70, 80))) if dark else pick(rng, (WHITE, gray(242), (235, 242, 250)))
    )
    ratio = pick(rng, ((1.3, 1.36), (1.72, 1.8), (1.3, 1.36)))
    page = sheet(rng, ratio=ratio, heights=(600, 680), colour_share=0.75, families=(SANS, SERIF, SANS), paper=paper)
    page.body = between(rng, 2.1, 2.9) * page.unit
    page.ink = gray(235) if dark else gray(count_between(rng, 15, 60))
    unit = page.unit
    y = page.margin * 0.7
    title = page.face(between(rng, 1.4, 1.9), "bold")
    words = page.terms["agenda"] if coin(rng, 0.3) else title.fit(texts.headline(rng, page.phrases), page.inner)
    if coin(rng, 0.35):
        page.box(0, 0, page.width, y + title.height + 2 * unit, fill=page.accent)
        page.text(page.margin, y, words, title, ink=WHITE)
    else:
        page.text(page.margin, y, words, title)
    y += title.height + between(rng, 3, 6) * unit
    kind = pick(rng, ("bullets", "chart", "picture", "both"))
    split = page.inner if kind == "bullets" else page.inner * between(rng, 0.4, 0.55)
    if kind != "chart" or coin(rng, 0.4):
        _bullets(page, page.margin, y, split - 3 * unit)
    else:
        split = 0.0
    if kind != "bullets":
        _slide_figure(page, page.margin + split, y, page.inner - split, kind)
    if coin(rng, 0.6):
        page.rule(page.margin, page.height - 5 * unit, page.right, page.height - 5 * unit, ink=gray(140))
        page.text(page.right, page.height - 4.5 * unit, str(count_between(rng, 2, 60)), page.face(0.6), align="right")
    return page


def _heading(page: Canvas, x: float, y: float, width: float, *, ink: Colour | None = None) -> float:
    face = page.face(1.25, "bold")
    y = page.text(x, y, pick(page.rng, page.phrases.sections).upper(), face, ink=ink or page.accent)
    page.rule(x, y, x + width, y, ink=ink or page.accent, width=0.2 * page.unit)
    return y + page.unit


def _entry(page: Canvas, x: float, y: float, width: float) -> float:
    rng = page.rng
    y = page.text(x, y, pick(rng, page.phrases.companies), page.face(1, "bold"))
    for _ in range(count_between(rng, 0, 3)):
        words = page.face(0.95).fit(f"- {texts.sentence(rng, page.phrases)}", width)
        y = page.text(x, y, words, page.face(0.95)) + 0.1 * page.body
    return y + 0.6 * page.body


def _resume_with_side(page: Canvas) -> None:
    rng, unit = page.rng, page.unit
    width = between(rng, 0.28, 0.36) * page.width
    left = coin(rng, 0.7)
    side = 0.0 if left else page.width - width
    dark = coin(rng, 0.5)
    page.box(side, 0, width, page.height, fill=page.accent if dark else gray(200))
    ink = WHITE if dark else page.ink
    y = page.margin
    if coin(rng, 0.75):
        portrait(page, side + 0.2 * width, y, 0.6 * width, 0.75 * width)
        y += 0.85 * width
    for _ in range(count_between(rng, 2, 4)):
        y = _heading(page, side + 2 * unit, y, width - 4 * unit, ink=ink)
        for _ in range(count_between(rng, 3, 6)):
            label = page.face(0.85).fit(pick(rng, page.phrases.skills), width - 4 * unit)
            y = page.text(side + 2 * unit, y, label, page.face(0.85), ink=ink) + 0.3 * unit
        y += 2 * unit
    x = (width if left else 0) + 4 * unit
    y = page.text(x, page.margin, texts.person(rng, page.phrases), page.face(2.2, "bold")) + 3 * unit
    inner = page.width - width - 8 * unit
    while y < page.height - page.margin - 14 * unit:
        y = _heading(page, x, y, inner)
        for _ in range(count_between(rng, 1, 4)):
            if y < page.height - page.margin - 8 * unit:
                y = _entry(page, x, y, inner)
        y += unit


def _bullets(page: Canvas, x: float, y: float, width: float) -> None:
    rng, unit, face = page.rng, page.unit, page.face()
    for _ in range(count_between(rng, 2, 6)):
        if y > page.height - 14 * unit:
            return
        dot = 0.4 * page.body
        page.box(x, y + 0.4 * page.body, dot, dot, fill=page.accent if page.paper[0] > 128 else gray(220))
        text = " ".join(texts.sentence(rng, page.phrases).split()[: count_between(rng, 3, 9)])
        bottom = page.height - 8 * unit
        y = page.paragraph(x + 2 * page.body, y, width - 2 * page.body, text, face, bottom=bottom) + 0.7 * page.body


def _slide_figure(page: Canvas, x: float, y: float, width: float, kind: str) -> None:
    rng, unit = page.rng, page.unit
    height = page.height - y - between(rng, 8, 12) * unit
    if kind == "picture":
        picture(page, x, y, width, height)
    elif coin(rng, 0.3):
        pie_chart(page, x + unit, y, min(width, height) - unit)
    else:
        (bar_chart if coin(rng, 0.6) else line_chart)(page, x + 2 * unit, y, width - 2 * unit, height, ink=page.ink)
    if coin(rng, 0.3):
        logo(page, page.right - 6 * unit, 2 * unit, 4 * unit)
