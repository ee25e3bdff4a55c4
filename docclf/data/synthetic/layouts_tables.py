"""Pages around a table: invoice, bank statement, table report, receipt. At a glance the first three look alike."""

from numpy.random import Generator

from docclf.data.synthetic import texts
from docclf.data.synthetic.canvas import Align, Canvas, gray, sheet
from docclf.data.synthetic.draws import between, coin, count_between, pick
from docclf.data.synthetic.figures import bar_chart, barcode, line_chart, logo, qr_code, stamp
from docclf.data.synthetic.letterhead import address_window, facts, footer, letterhead
from docclf.data.synthetic.tables import table, table_look
from docclf.data.synthetic.typefaces import MONO, SANS, TYPEWRITER


def invoice(rng: Generator) -> Canvas:
    """Letterhead, address, facts, a short table of items, and the totals under its right end."""
    page = sheet(rng)
    unit, terms = page.unit, page.terms
    y = letterhead(page) + between(rng, 4, 8) * unit
    swapped = coin(rng, 0.3)
    bottom = address_window(page, y, right=swapped)
    pairs = [(terms["number"], texts.digits(rng, 7)), (terms["date"], texts.date(rng, page.phrases))]
    x = page.margin if swapped else page.width * 0.6
    bottom = max(bottom, facts(page, x, y, page.right - page.width * 0.6, pairs, boxed=coin(rng, 0.3)))
    y = bottom + between(rng, 3, 9) * unit
    title = page.face(between(rng, 1.4, 2.6), "bold")
    y = page.text(page.margin, y, f"{terms['invoice']} {texts.digits(rng, 5)}", title) + 2.5 * unit

    rows, net = _invoice_rows(page, count_between(rng, 2, 11))
    shares = (0.08, 0.47, 0.11, 0.16, 0.18)
    header = [terms["number"], terms["text"], terms["quantity"], terms["price"], terms["total"]]
    row_height = page.body * between(rng, 1.6, 2.4)
    face, look = page.face(), table_look(page, striped=0.15, dark=0.7)
    y = table(page, y, shares, header, rows, face, look=look, row_height=row_height, aligns="clrrr")
    y += between(rng, 0.5, 2) * unit

    tax = net * (0.19 if "19" in terms["tax"] else 0.2)
    sums = [(terms["net"], f"{net:,.2f}"), (terms["tax"], f"{tax:,.2f}"), (terms["total"], f"{net + tax:,.2f}")]
    width = page.inner * between(rng, 0.34, 0.45)
    y = facts(page, page.right - width, y, width, sums, boxed=coin(rng, 0.75)) + between(rng, 2, 6) * unit
    end = footer(page)
    text = texts.prose(rng, page.phrases, count_between(rng, 1, 4))
    y = page.paragraph(page.margin, y, page.inner * between(rng, 0.6, 1), text, face, bottom=end - unit)
    if coin(rng, 0.3):
        qr_code(page, page.margin, min(y + 2 * unit, end - 18 * unit), 15 * unit)
    if coin(rng, 0.25):
        stamp(page, page.width * between(rng, 0.3, 0.7), page.height * between(rng, 0.6, 0.8), 9 * unit, terms["paid"])
    return page


def bank_statement(rng: Generator) -> Canvas:
    """Bank head, account facts, a long list of bookings with a running balance down to the foot."""
    page = sheet(rng)
    unit, terms = page.unit, page.terms
    y = letterhead(page) + between(rng, 2, 6) * unit
    pairs = [("IBAN", texts.iban(rng)), (terms["page"], f"{count_between(rng, 1, 9)} / 9")]
    if coin(rng, 0.6):
        bottom = facts(page, page.width * 0.52, y, page.right - page.width * 0.52, pairs, boxed=coin(rng, 0.7))
        y = max(bottom, address_window(page, y))
    y += 2 * unit
    title = page.face(between(rng, 1.2, 1.8), "bold")
    y = page.text(page.margin, y, f"{terms['statement']} {texts.date(rng, page.phrases)}", title) + 1.5 * unit
    if coin(rng, 0.6):
        y = (
            facts(page, page.margin, y, page.inner, [(terms["balance"], texts.amount(rng, 90, 9000))], boxed=True)
            + unit
        )

    row_height = page.body * between(rng, 1.35, 1.75)
    end = footer(page) - between(rng, 1, 4) * unit
    count = max(6, int((end - y) / row_height) - 2)
    if coin(rng, 0.25):
        count = max(6, round(count * between(rng, 0.55, 0.9)))
    shares = (0.13, 0.42, 0.14, 0.14, 0.17)
    header = [terms[key] for key in ("date", "text", "debit", "credit", "balance")]
    rows = _bookings(page, count)
    face, look = page.face(0.95), table_look(page, grids=0.15, striped=0.7)
    y = table(page, y, shares, header, rows, face, look=look, row_height=row_height, aligns="llrrr")
    page.text(page.right, y, f"{terms['balance']}  {rows[-1][-1]}", page.face(1, "bold"), align="right")
    return page


def table_report(rng: Generator) -> Canvas:
    """Title and one to three tables of many narrow columns of figures, sometimes with a chart."""
    wide = coin(rng, 0.3)
    page = sheet(rng, ratio=(1.3, 1.45), heights=(620, 780)) if wide else sheet(rng)
    unit = page.unit
    y = page.margin
    align: Align = "centre" if coin(rng, 0.4) else "left"
    x = page.width / 2 if align == "centre" else page.margin
    title = f"{page.terms['report']} {count_between(rng, 2009, 2026)}"
    y = page.text(
        x, y, title, page.face(between(rng, 1.5, 2.4), "bold"), align="centre" if align == "centre" else "left"
    )
    y += between(rng, 1, 3) * unit
    if coin(rng, 0.4):
        y = page.paragraph(page.margin, y, page.inner, texts.prose(rng, page.phrases, 3), page.face()) + 2 * unit
    while y < page.height - page.margin - 22 * unit:
        if not wide and coin(rng, 0.25):
            chart = bar_chart if coin(rng) else line_chart
            chart(page, page.margin + 4 * unit, y, page.inner * 0.8, 20 * unit)
            y += 24 * unit
        y = _figures_table(page, y) + between(rng, 2, 6) * unit
        if coin(rng, 0.25):
            break
    page.text(
        page.width / 2, page.height - 0.7 * page.margin, str(count_between(rng, 1, 99)), page.face(), align="centre"
    )
    return page


def receipt(rng: Generator) -> Canvas:
    """A till receipt: narrow, in a fixed-width face, items left and prices right, a large total, a code at the end."""
    ratio = (0.42, 0.58) if coin(rng, 0.85) else (0.65, 0.72)
    families = (MONO, TYPEWRITER, MONO, SANS)
    page = sheet(rng, ratio=ratio, heights=(820, 1320), families=families, colour_share=0.1, paper=gray(250))
    page.body = between(rng, 3.0, 4.0) * page.unit * (0.7 if ratio[0] > 0.6 else 1)
    page.margin = between(rng, 5, 9) * page.unit
    unit, face, bold = page.unit, page.face(), page.face(1.0, "bold")
    y = page.margin
    if coin(rng, 0.5):
        logo(page, page.width / 2 - 9 * unit, y, 18 * unit)
        y += 20 * unit
    name = page.face(between(rng, 1.2, 1.7), "bold")
    y = page.text(page.width / 2, y, name.fit(pick(rng, page.phrases.companies), page.inner), name, align="centre")
    lines = [*texts.address(rng, page.phrases)[1:], texts.date(rng, page.phrases), f"Tel. {texts.digits(rng, 8)}"]
    y = page.lines(page.width / 2, y, lines, face, align="centre") + 2 * unit
    y = _dashes(page, y)
    code_height = 26 * unit
    space = page.height - page.margin - code_height - 9 * face.height - y
    for _ in range(max(2, round(space / face.height / 1.1 * between(rng, 0.5, 1)))):
        price = texts.amount(rng, 0.5, 60)
        item = face.fit(pick(rng, page.phrases.items), page.inner * 0.7)
        page.text(page.margin, y, item, face)
        page.text(page.right, y, price, face, align="right")
        y += face.height * 1.1
    y = _dashes(page, y)
    large = page.face(between(rng, 1.3, 1.9), "bold")
    page.text(page.margin, y, page.terms["total"].upper(), large)
    y = page.text(page.right, y, texts.amount(rng, 5, 300), large, align="right")
    y = _dashes(page, y)
    for key in ("net", "tax"):
        page.text(page.margin, y, page.terms[key], face)
        y = page.text(page.right, y, texts.amount(rng, 1, 60), bold, align="right")
    y = page.text(page.width / 2, y + unit, face.fit(page.terms["thanks"], page.inner), face, align="centre") + 2 * unit
    if coin(rng, 0.7):
        barcode(page, page.width * 0.2, y, page.width * 0.6, 0.6 * code_height)
    else:
        qr_code(page, page.width / 2 - code_height / 2, y, code_height)
    return page


def _dashes(page: Canvas, y: float) -> float:
    face = page.face()
    page.text(page.margin, y, face.fit("-" * 80, page.inner), face)
    return y + face.height


def _invoice_rows(page: Canvas, count: int) -> tuple[list[list[str]], float]:
    """Rows of an invoice and their sum."""
    rng, rows, net = page.rng, [], 0.0
    for number in range(1, count + 1):
        quantity, price = count_between(rng, 1, 24), 900 ** float(rng.random())
        net += quantity * price
        cells = [str(number), pick(rng, page.phrases.items), str(quantity), f"{price:,.2f}", f"{quantity * price:,.2f}"]
        rows.append(cells)
    return rows, net


def _bookings(page: Canvas, count: int) -> list[list[str]]:
    """Rows of a bank statement, days in order, each with the balance after it."""
    rng, balance = page.rng, between(page.rng, 500, 9000)
    month, days = count_between(rng, 1, 12), sorted(rng.integers(1, 29, size=count).tolist())
    rows = []
    for day in days:
        moved, spent = 3000 ** float(rng.random()), coin(rng, 0.75)
        balance += -moved if spent else moved
        text = f"{pick(rng, page.phrases.items)} {pick(rng, page.phrases.companies)}"
        columns = [f"{moved:,.2f}", ""] if spent else ["", f"{moved:,.2f}"]
        rows.append([f"{day:02d}.{month:02d}.", text, *columns, f"{balance:,.2f}"])
    return rows


def _figures_table(page: Canvas, y: float) -> float:
    rng = page.rng
    row_height = page.body * between(rng, 1.35, 2.0)
    space = int((page.height - page.margin - y) / row_height) - 2
    count = max(2, min(space, count_between(rng, 6, 34)))
    columns = count_between(rng, 5, 10)
    first = between(rng, 0.16, 0.3)
    shares = [first] + [(1 - first) / columns] * columns
    decimals = pick(rng, (0, 1, 2))
    figures = rng.uniform(0, 10 ** count_between(rng, 2, 4), (count, columns)).round(decimals).tolist()
    names = page.phrases.surnames if coin(rng) else page.phrases.items
    rows = [[pick(rng, names).split(",")[0], *(f"{value:.{decimals}f}" for value in row)] for row in figures]
    year = count_between(rng, 1995, 2015)
    header = ["", *(str(year + column) for column in range(columns))]
    face, aligns = page.face(0.9), "l" + "r" * columns
    look = table_look(page, grids=0.75, striped=0.2)
    return table(page, y, shares, header, rows, face, look=look, row_height=row_height, aligns=aligns)
