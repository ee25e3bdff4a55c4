"""Pages set in columns: scientific paper, newspaper page. Both are full of small justified text."""

from numpy.random import Generator

from docclf.data.synthetic import texts
from docclf.data.synthetic.canvas import Canvas, gray, sheet
from docclf.data.synthetic.draws import between, coin, count_between, pick
from docclf.data.synthetic.figures import bar_chart, line_chart, picture
from docclf.data.synthetic.typefaces import ROMAN, SERIF, TIMES


def scientific_paper(rng: Generator) -> Canvas:
    """A title across the page, authors, an abstract, and one or two columns of small justified text with figures."""
    page = sheet(rng, families=(TIMES, ROMAN, TIMES, SERIF), colour_share=0.1)
    page.body = between(rng, 1.4, 1.7) * page.unit
    unit, middle = page.unit, page.width / 2
    y = page.margin
    if coin(rng, 0.75):
        title = page.face(between(rng, 1.6, 2.2), "bold")
        for _ in range(count_between(rng, 1, 2)):
            line = title.fit(texts.headline(rng, page.phrases), page.inner)
            y = page.text(middle, y, line, title, align="centre")
        authors = ", ".join(texts.person(rng, page.phrases) for _ in range(count_between(rng, 1, 4)))
        y = page.text(middle, y + unit, authors, page.face(1.1), align="centre") + 2 * unit
        page.text(middle, y, page.terms["abstract"], page.face(1, "bold"), align="centre")
        inset = between(rng, 4, 11) * unit
        abstract = texts.prose(rng, page.phrases, count_between(rng, 4, 8))
        width = page.inner - 2 * inset
        y = (
            page.paragraph(page.margin + inset, y + 2.5 * unit, width, abstract, page.face(0.9), justify=True)
            + 2 * unit
        )
    else:
        page.text(middle, 0.6 * page.margin, texts.headline(rng, page.phrases), page.face(0.8), align="centre")
    columns = 2 if coin(rng, 0.85) else 1
    gutter = between(rng, 2.5, 4) * unit
    width = (page.inner - (columns - 1) * gutter) / columns
    for column in range(columns):
        _paper_column(page, page.margin + column * (width + gutter), y, width)
    page.text(middle, page.height - 0.75 * page.margin, str(count_between(rng, 1, 40)), page.face(0.9), align="centre")
    return page


def newspaper_page(rng: Generator) -> Canvas:
    """A masthead, large headlines and three to six narrow columns, with photos and advertisements among them."""
    paper = pick(rng, (gray(222), (228, 222, 206), gray(234), (218, 214, 208)))
    heights, families = (980, 1340), (TIMES, SERIF, TIMES)
    page = sheet(rng, ratio=(0.64, 0.76), heights=heights, colour_share=0.15, families=families, paper=paper)
    page.body = between(rng, 1.15, 1.4) * page.unit
    page.margin = between(rng, 3, 6) * page.unit
    unit = page.unit
    y = page.margin
    if coin(rng, 0.6):
        masthead = page.face(between(rng, 4, 6), "bold")
        y = page.text(page.width / 2, y, page.terms["newspaper"], masthead, align="centre")
        page.rule(page.margin, y, page.right, y, width=0.25 * unit)
        y += 2 * unit
    while y < page.height - page.margin - 18 * unit:
        tall = between(rng, 38, 75) * unit
        bottom = min(y + tall, page.height - page.margin)
        if page.height - page.margin - bottom < 22 * unit:
            bottom = page.height - page.margin
        _article(page, y, bottom)
        y = bottom + unit
        page.rule(page.margin, y - 0.5 * unit, page.right, y - 0.5 * unit)
    return page


def _paper_column(page: Canvas, x: float, y: float, width: float) -> None:
    rng, unit, face = page.rng, page.unit, page.face()
    bottom = page.height - page.margin
    while y < bottom - 4 * unit:
        kind = rng.random()
        if kind < 0.2 and bottom - y > 30 * unit:
            tall = between(rng, 14, 22) * unit
            (line_chart if coin(rng) else bar_chart)(page, x + 3 * unit, y + unit, width - 5 * unit, tall)
            caption = page.face(0.85).fit(f"{page.terms['figure']} 1: {texts.sentence(rng, page.phrases)}", width)
            y = page.text(x, y + tall + 2 * unit, caption, page.face(0.85)) + 2 * unit
        elif kind < 0.3:
            formula = "y = f(x) + a b - c / (1 + x)"
            y = page.text(x + width / 2, y + unit, formula, page.face(1, "italic"), align="centre") + unit
        elif kind < 0.45:
            number = count_between(rng, 1, 6)
            y = (
                page.text(x, y + unit, f"{number}  {pick(rng, page.phrases.sections)}", page.face(1.15, "bold"))
                + 0.5 * unit
            )
        end = min(bottom, y + between(rng, 12, 40) * unit)
        page.column(x, y, width, end, face, leading=1.2)
        y = end


def _article(page: Canvas, y: float, bottom: float) -> None:
    rng, unit = page.rng, page.unit
    headline = page.face(between(rng, 3.0, 5.5), "bold")
    y = page.text(page.margin, y, headline.fit(texts.headline(rng, page.phrases), page.inner), headline) + unit
    columns = count_between(rng, 3, 6)
    gutter = 1.8 * unit
    width = (page.inner - (columns - 1) * gutter) / columns
    photo = -1 if coin(rng, 0.25) else count_between(rng, 0, columns - 2)
    tall = min(bottom - y, between(rng, 14, 30) * unit)
    for column in range(columns):
        x, top = page.margin + column * (width + gutter), y
        if column == photo:
            picture(page, x, y, 2 * width + gutter, tall)
        if photo >= 0 and photo <= column <= photo + 1:
            top = y + tall + unit
        page.column(x, top, width, bottom, page.face(), leading=1.18)
