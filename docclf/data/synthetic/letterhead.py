"""What business papers share, so that they look alike: the head with a logo, the address window, the footer."""

from docclf.data.synthetic import texts
from docclf.data.synthetic.canvas import WHITE, Canvas, gray
from docclf.data.synthetic.draws import between, coin, count_between, pick
from docclf.data.synthetic.figures import logo


def letterhead(canvas: Canvas) -> float:
    """The sender's logo and name at the top: left, centre, right, or a coloured band. Returns where the head ends."""
    rng, unit = canvas.rng, canvas.unit
    name = pick(rng, canvas.phrases.companies)
    face, small = canvas.face(between(rng, 1.3, 2.2), "bold"), canvas.face(0.8)
    top = between(rng, 4, 8) * unit
    place = pick(rng, ("left", "right", "centre", "band", "plain"))
    details = [f"{pick(rng, canvas.phrases.streets)} {count_between(rng, 1, 99)}", f"Tel. {texts.digits(rng, 9)}"]
    size = between(rng, 6, 11) * unit
    if place == "band":
        canvas.box(0, 0, canvas.width, top + size, fill=canvas.accent)
        canvas.text(canvas.margin, top, name, face, ink=WHITE)
        return top + size
    if place == "left":
        logo(canvas, canvas.margin, top, size)
        canvas.text(canvas.margin + 2.2 * size, top, name, face)
        canvas.lines(canvas.margin + 2.2 * size, top + face.height, details, small)
    elif place == "right":
        logo(canvas, canvas.right - 2 * size, top, size)
        canvas.lines(canvas.right, top + size + unit, [name, *details], small, align="right")
        return top + size + 4 * small.height
    elif place == "centre":
        logo(canvas, canvas.width / 2 - size / 2, top, size)
        canvas.text(canvas.width / 2, top + size + unit, name, face, align="centre")
        return top + size + unit + face.height
    else:
        canvas.text(canvas.margin, top, name, face)
        canvas.rule(canvas.margin, top + face.height, canvas.right, top + face.height, width=0.2 * unit)
    return top + size


def address_window(canvas: Canvas, y: float, *, right: bool = False) -> float:
    """The recipient's address, as a window envelope shows it. Returns its bottom."""
    face = canvas.face()
    x = canvas.width * 0.6 if right else canvas.margin
    if coin(canvas.rng, 0.4):
        canvas.text(x, y, pick(canvas.rng, canvas.phrases.companies), canvas.face(0.65))
        y += face.height
    return canvas.lines(x, y, texts.address(canvas.rng, canvas.phrases), face)


def facts(canvas: Canvas, x: float, y: float, width: float, labels: list[tuple[str, str]], *, boxed: bool) -> float:
    """Pairs of a label and a value, values flush right, with or without a frame. Returns the bottom."""
    face, bold = canvas.face(0.95), canvas.face(0.95, "bold")
    step = face.size * 1.5
    if boxed:
        canvas.box(x, y, width, step * len(labels) + 0.6 * face.size, fill=gray(222), line=gray(110))
    y += 0.3 * face.size
    for label, value in labels:
        canvas.text(x + 0.4 * face.size, y, face.fit(label, width * 0.5), face)
        canvas.text(x + width - 0.4 * face.size, y, bold.fit(value, width * 0.55), bold, align="right")
        y += step
    return y + 0.3 * face.size


def footer(canvas: Canvas) -> float:
    """Small print at the foot of the page in one to three columns. Returns its top."""
    rng, unit = canvas.rng, canvas.unit
    face = canvas.face(0.72)
    columns = count_between(rng, 0, 3)
    if columns == 0:
        return canvas.height - canvas.margin
    top = canvas.height - between(rng, 9, 13) * unit
    if coin(rng, 0.6):
        canvas.rule(canvas.margin, top, canvas.right, top, ink=gray(120))
    for column in range(columns):
        x = canvas.margin + column * canvas.inner / columns
        lines = [pick(rng, canvas.phrases.companies), texts.iban(rng), f"Tel. {texts.digits(rng, 8)}"]
        canvas.lines(x, top + unit, [face.fit(line, canvas.inner / columns - unit) for line in lines], face)
    return top
