"""What is neither text nor pen: logos, photos, barcodes, stamps, seals and charts."""

import math

import numpy as np
from PIL import Image, ImageDraw

from docclf.data.synthetic.canvas import WHITE, Canvas, Colour, gray
from docclf.data.synthetic.draws import between, coin, count_between, pick


def logo(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A mark of simple shapes in the page's accent colour, in the square at (x, y)."""
    rng, pen = canvas.rng, canvas.pen
    fill, hole = canvas.paint(canvas.accent), canvas.paint(WHITE)
    kind = count_between(rng, 0, 4)
    middle, half = (x + size / 2, y + size / 2), size / 2
    if kind == 0:
        pen.ellipse((x, y, x + size, y + size), fill=fill)
        pen.ellipse((x + 0.3 * size, y + 0.2 * size, x + 0.9 * size, y + 0.8 * size), fill=hole)
    elif kind == 1:
        pen.rectangle((x, y, x + size, y + size), fill=fill)
        pen.line((x, y + size, x + size, y), fill=hole, width=max(2, round(size / 6)))
    elif kind == 2:
        pen.regular_polygon((*middle, half), pick(rng, (3, 5, 6)), fill=fill)
    elif kind == 3:
        for part in range(3):
            left = x + part * size / 3
            pen.rectangle((left, y + size * (2 - part) / 4, left + size / 4, y + size), fill=fill)
    else:
        pen.rectangle((x, y + size / 4, x + 2 * size, y + 0.75 * size), fill=fill)
        pen.ellipse((x + size / 8, y + 0.3 * size, x + size / 2, y + 0.7 * size), fill=hole)


def picture(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    """A photograph: smooth patches of light and shade, with a few hard shapes."""
    rng = canvas.rng
    shades = rng.normal(120, 50, (7, 9, 1)) + rng.normal(0, 22, (1, 9, 3)) + rng.normal(0, 12, (7, 9, 3))
    small = shades.clip(0, 255).astype(np.uint8)
    patch = Image.fromarray(small if canvas.colour else small[..., 0])
    photo = patch.resize((max(2, round(width)), max(2, round(height))), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(photo)
    for _ in range(count_between(rng, 1, 4)):
        left, top = between(rng, 0, 0.8) * width, between(rng, 0.2, 0.9) * height
        shape = (left, top, left + between(rng, 0.1, 0.4) * width, height)
        (pen.rectangle if coin(rng) else pen.ellipse)(shape, fill=canvas.paint(gray(count_between(rng, 20, 200))))
    canvas.image.paste(photo, (round(x), round(y)))


def portrait(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    """A passport photo: head and shoulders before a plain background."""
    rng, size = canvas.rng, (round(width), round(height))
    skin = pick(rng, ((230, 190, 160), (200, 150, 115), (140, 95, 70), (95, 65, 50)))
    hair = pick(rng, (gray(30), (90, 60, 35), gray(120), (150, 110, 60)))
    photo = Image.new(canvas.image.mode, size, canvas.paint(gray(count_between(rng, 150, 235))))
    pen, middle = ImageDraw.Draw(photo), width / 2
    pen.ellipse((0.08 * width, 0.7 * height, 0.92 * width, 1.3 * height), fill=canvas.paint(canvas.accent))
    half = between(rng, 0.2, 0.26) * width
    pen.ellipse((middle - 1.2 * half, 0.12 * height, middle + 1.2 * half, 0.6 * height), fill=canvas.paint(hair))
    pen.ellipse((middle - half, 0.2 * height, middle + half, 0.72 * height), fill=canvas.paint(skin))
    pen.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=canvas.paint(gray(90)))
    canvas.image.paste(photo, (round(x), round(y)))


def barcode(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    """Bars of random widths."""
    step = max(1.0, width / 95)
    bars = canvas.rng.random(int(width / step)) < 0.5
    for position in np.flatnonzero(bars).tolist():
        canvas.box(x + position * step, y, step - 1, height, fill=gray(15))


def qr_code(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A square of random modules with the three finder patterns."""
    modules = (canvas.rng.random((25, 25)) < 0.5).astype(np.uint8) * 255
    for row, column in ((0, 0), (0, 18), (18, 0)):
        modules[row : row + 7, column : column + 7] = 0
        modules[row + 1 : row + 6, column + 1 : column + 6] = 255
        modules[row + 2 : row + 5, column + 2 : column + 5] = 0
    side = max(25, round(size))
    code = Image.fromarray(modules).resize((side, side), Image.Resampling.NEAREST)
    canvas.image.paste(code.convert(canvas.image.mode), (round(x), round(y)))


def stamp(canvas: Canvas, x: float, y: float, size: float, text: str) -> None:
    """A rubber stamp around the centre (x, y), turned by some degrees."""
    rng = canvas.rng
    face = canvas.face(size / canvas.body * 0.35, "bold")
    width, height = face.width(text) + face.size, round(face.height * 1.6)
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rectangle((1, 1, width - 2, height - 2), outline=200, width=max(2, face.size // 8))
    mask.paste(Image.fromarray(face.mask(text) // 5 * 4), (face.size // 2, (height - face.height) // 2))
    mask = mask.rotate(between(rng, -25, 25), Image.Resampling.BILINEAR, expand=True)
    colour = pick(rng, ((170, 30, 40), (40, 60, 150), (30, 110, 60)))
    canvas.image.paste(canvas.paint(colour), (round(x - mask.width / 2), round(y - mask.height / 2)), mask)


def seal(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """An embossed seal around (x, y), with a wavy rim and, sometimes, ribbons."""
    rng, pen = canvas.rng, canvas.pen
    colour = pick(rng, ((170, 130, 40), (150, 25, 35), canvas.accent))
    if coin(rng):
        for side in (-1, 1):
            ribbon = (x, y, x + side * 0.9 * radius, y + 2.2 * radius, x + side * 0.3 * radius, y + 2.0 * radius)
            pen.polygon(ribbon, fill=canvas.paint(colour))
    angles = np.linspace(0, 2 * math.pi, 96)
    rim = radius * (1 + 0.06 * np.cos(angles * 24))
    points = np.stack([x + rim * np.cos(angles), y + rim * np.sin(angles)], axis=1)
    pen.polygon(points.ravel().tolist(), fill=canvas.paint(colour))
    for share in (0.8, 0.74):
        reach = share * radius
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), outline=canvas.paint(WHITE))
    pen.regular_polygon((x, y, 0.4 * radius), 5, fill=canvas.paint(WHITE))


def bar_chart(canvas: Canvas, x: float, y: float, width: float, height: float, *, ink: Colour | None = None) -> None:
    """Bars on a base line, with gray lines behind them."""
    rng = canvas.rng
    bars = count_between(rng, 4, 10)
    for level in range(4):
        canvas.rule(x, y + level * height / 4, x + width, y + level * height / 4, ink=gray(190))
    for bar in range(bars):
        tall = between(rng, 0.15, 0.98) * height
        fill = (canvas.accent, gray(150), (200, 140, 60))[bar % 2 if bars < 7 else 0]
        canvas.box(x + (bar + 0.2) * width / bars, y + height - tall, 0.6 * width / bars, tall, fill=fill)
    canvas.rule(x, y + height, x + width, y + height, ink=ink)


def line_chart(canvas: Canvas, x: float, y: float, width: float, height: float, *, ink: Colour | None = None) -> None:
    """Two or three curves between two axes."""
    rng = canvas.rng
    canvas.rule(x, y, x, y + height, ink=ink)
    canvas.rule(x, y + height, x + width, y + height, ink=ink)
    for curve in range(count_between(rng, 2, 3)):
        walk = np.cumsum(rng.normal(0, 1, 20))
        walk = (walk - walk.min()) / (np.ptp(walk) + 1e-9)
        points = np.stack([np.linspace(x, x + width, 20), y + height * (0.95 - 0.9 * walk)], axis=1)
        colour = (canvas.accent, (200, 90, 40), gray(120))[curve]
        canvas.pen.line(points.ravel().tolist(), fill=canvas.paint(colour), width=max(1, round(0.3 * canvas.unit)))


def pie_chart(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A pie of three to five slices."""
    edges = np.sort(canvas.rng.random(count_between(canvas.rng, 2, 4))) * 360
    colours = (canvas.accent, (200, 140, 60), gray(170), (90, 140, 170), gray(90))
    for start, end, colour in zip([0.0, *edges], [*edges, 360.0], colours, strict=False):
        canvas.pen.pieslice((x, y, x + size, y + size), start, end, fill=canvas.paint(colour))
