"""Papers about one person: identity card and certificate."""

from numpy.random import Generator

from docclf.data.synthetic import texts
from docclf.data.synthetic.canvas import WHITE, Canvas, gray, sheet
from docclf.data.synthetic.draws import between, coin, count_between, pick
from docclf.data.synthetic.figures import logo, portrait, seal
from docclf.data.synthetic.strokes import signature
from docclf.data.synthetic.typefaces import MONO, SANS, SERIF, TIMES, Typeface


def id_card(rng: Generator) -> Canvas:
    """A plastic card: photo at one side, fields beside it, often machine-readable lines below."""
    paper = pick(rng, ((225, 235, 240), (240, 230, 220), (225, 240, 225), (235, 225, 240), gray(245)))
    upright = coin(rng, 0.15)
    ratio, heights = ((0.62, 0.66), (820, 1000)) if upright else ((1.5, 1.62), (600, 680))
    page = sheet(rng, ratio=ratio, heights=heights, colour_share=0.85, families=(SANS, SANS, SERIF), paper=paper)
    page.body = between(rng, 2.3, 3.0) * page.unit * (1.5 if upright else 1)
    unit = page.unit
    _rings(page)
    page.margin = between(rng, 4, 7) * unit
    head = between(rng, 8, 13) * unit
    band = coin(rng, 0.6)
    if band:
        page.box(0, 0, page.width, head, fill=page.accent)
    logo(page, page.right - 1.6 * head, 0.25 * head, 0.5 * head)
    page.text(page.margin, 0.25 * head, page.terms["id"], page.face(1.3, "bold"), ink=WHITE if band else page.accent)
    machine = not upright and coin(rng, 0.5)
    photo_width = between(rng, 24, 31) * unit * (1.4 if upright else 1)
    photo_height = min(photo_width * 1.28, page.height - head - (18 if machine else 6) * unit)
    right = coin(rng, 0.35)
    x = page.right - photo_width if right else page.margin
    if upright:
        x = (page.width - photo_width) / 2
    portrait(page, x, head + 3 * unit, photo_width, photo_height)
    left = page.margin if right or upright else page.margin + photo_width + 4 * unit
    y = head + 3 * unit + (photo_height + 3 * unit if upright else 0)
    birthplace = pick(rng, page.phrases.cities).split()[-1]
    values = (
        pick(rng, page.phrases.surnames),
        pick(rng, page.phrases.given),
        texts.date(rng, page.phrases),
        birthplace,
    )
    for label, value in zip(page.phrases.labels, values, strict=False):
        page.text(left, y, label, page.face(0.65), ink=gray(90))
        y = page.text(left, y + page.body, value.upper(), page.face(1, "bold")) + 0.3 * page.body
        if y > page.height - (19 if machine else 8) * unit:
            break
    if machine:
        _machine_lines(page)
    return page


def certificate(rng: Generator) -> Canvas:
    """A framed sheet with a large centred title and name, a seal and one or two signatures."""
    wide = coin(rng, 0.6)
    paper = pick(rng, (WHITE, (248, 240, 214), (240, 232, 208), (236, 240, 228)))
    ratio, heights = ((1.3, 1.45), (620, 780)) if wide else ((0.68, 0.75), (780, 1080))
    page = sheet(rng, ratio=ratio, heights=heights, colour_share=0.6, families=(TIMES, SERIF, TIMES, SANS), paper=paper)
    page.body *= 1.0 if wide else 1.2
    unit, middle = page.unit, page.width / 2
    edge = between(rng, 2, 5) * unit
    _frames(page, edge)
    y = page.height * between(rng, 0.13, 0.2)
    if coin(rng, 0.4):
        logo(page, middle - 4 * unit, y, 8 * unit)
        y += 11 * unit
    title = _fitting(page, page.terms["certificate"], page.width - 4 * edge)
    y = page.text(middle, y, page.terms["certificate"], title, align="centre", ink=page.accent) + 4 * unit
    y = page.text(middle, y, page.terms["awarded"], page.face(1.2, "italic"), align="centre") + 3 * unit
    y = page.text(middle, y, texts.person(rng, page.phrases), page.face(2.3, "italic"), align="centre") + unit
    page.rule(page.width * 0.25, y, page.width * 0.75, y)
    y += 3 * unit
    signed = page.height - edge - between(rng, 10, 14) * unit
    for _ in range(count_between(rng, 2, 4)):
        if y > signed - 12 * unit:
            break
        words = page.face(1.15).fit(texts.sentence(rng, page.phrases), page.width - 5 * edge)
        y = page.text(middle, y, words, page.face(1.15), align="centre") + 0.5 * unit
    y = signed
    places = (0.28, 0.72) if coin(rng, 0.6) else (pick(rng, (0.28, 0.72)),)
    for place in places:
        page.rule((place - 0.13) * page.width, y, (place + 0.13) * page.width, y)
        page.text(place * page.width, y, texts.person(rng, page.phrases), page.face(0.9), align="centre")
        signature(page, (place - 0.1) * page.width, y - 0.5 * unit, 0.2 * page.width)
    if coin(rng, 0.75):
        at = middle if len(places) == 2 else page.width * (1 - places[0])
        seal(page, at, y - 3 * unit, between(rng, 5, 8) * unit)
    return page


def _rings(page: Canvas) -> None:
    """The fine rings that security paper has in its background."""
    x, y = 0.6 * page.width, 0.5 * page.height
    for ring in range(count_between(page.rng, 0, 14)):
        reach = (10 + ring * 5) * page.unit
        page.pen.ellipse((x - reach, y - reach, x + reach, y + reach), outline=page.paint((190, 205, 215)))


def _frames(page: Canvas, edge: float) -> None:
    rng = page.rng
    for number in range(count_between(rng, 0, 3)):
        inset = edge + number * between(rng, 0.8, 1.6) * page.unit
        stroke = pick(rng, (0.2, 0.5, 1.2)) * page.unit
        page.box(inset, inset, page.width - 2 * inset, page.height - 2 * inset, line=page.accent, stroke=stroke)


def _fitting(page: Canvas, title: str, width: float) -> Typeface:
    """The largest face in which the title fits."""
    scale = between(page.rng, 2.2, 3.0)
    while scale > 1 and page.face(scale, "bold").width(title) > width:
        scale *= 0.9
    return page.face(scale, "bold")


def _machine_lines(page: Canvas) -> None:
    face = page.face(1.25, family=MONO)
    y = page.height - 2.6 * face.height
    page.box(0, y - 0.3 * face.height, page.width, page.height, fill=gray(244))
    for _ in range(2):
        line = f"ID{texts.digits(page.rng, 9)}<<{pick(page.rng, page.phrases.given).upper()}" + "<" * 60
        y = page.text(page.margin, y, face.fit(line, page.inner), face)
