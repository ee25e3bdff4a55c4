"""Tables: their looks, drawn by chance, and the drawing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from docclf.data.synthetic.canvas import WHITE, Align, Canvas, Colour, gray
from docclf.data.synthetic.draws import coin, count_between
from docclf.data.synthetic.typefaces import Typeface, typeface


@dataclass(frozen=True)
class TableLook:
    """How a table is drawn: lines around cells, lines between rows, shaded stripes, and the header's colours."""

    grid: bool
    rules: bool
    stripes: bool
    line: Colour
    header: Colour
    header_ink: Colour


def table_look(canvas: Canvas, *, grids: float = 0.4, striped: float = 0.35, dark: float = 0.35) -> TableLook:
    """A look drawn by chance; `grids`, `striped` and `dark` are the shares of grids, stripes and dark headers."""
    rng = canvas.rng
    inverted = coin(rng, dark)
    grid = coin(rng, grids)
    return TableLook(
        grid=grid,
        rules=grid or coin(rng, 0.5),
        stripes=coin(rng, striped),
        line=gray(count_between(rng, 30, 150)),
        header=canvas.accent if inverted else gray(count_between(rng, 165, 235)),
        header_ink=WHITE if inverted else canvas.ink,
    )


def table(
    canvas: Canvas,
    y: float,
    shares: Sequence[float],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    face: Typeface,
    *,
    look: TableLook,
    row_height: float,
    aligns: str,
) -> float:
    """Draw a table between the margins. Returns its bottom.

    Args:
        canvas: Sheet to draw on.
        y: Top of the table.
        shares: Width of each column as a share of the whole.
        header: Cells of the first row, set in bold.
        rows: Cells of the other rows; what is too long for its column is cut.
        face: Typeface of the cells.
        look: Lines and shades.
        row_height: Height of a row in pixels.
        aligns: An l, c or r for each column.
    """
    bold = typeface(canvas.family.bold, face.size)
    widths = [share * canvas.inner for share in shares]
    line = look.line if look.grid else None
    canvas.box(canvas.margin, y, canvas.inner, row_height, fill=look.header, line=line)
    top = y
    for number, row in enumerate([header, *rows]):
        if look.stripes and number and number % 2 == 0:
            canvas.box(canvas.margin, y, canvas.inner, row_height, fill=gray(205))
        ink, used = (None, face) if number else (look.header_ink, bold)
        _row(canvas, y, widths, row, used, row_height, aligns, ink)
        y += row_height
        if look.rules:
            canvas.rule(canvas.margin, y, canvas.right, y, ink=look.line)
    if look.grid:
        edge = canvas.margin
        for width in [0.0, *widths]:
            edge += width
            canvas.rule(edge, top, edge, y, ink=look.line)
    return y


def _row(
    canvas: Canvas,
    y: float,
    widths: Sequence[float],
    cells: Sequence[str],
    face: Typeface,
    height: float,
    aligns: str,
    ink: Colour | None,
) -> None:
    left = canvas.margin
    for cell, width, align in zip(cells, widths, aligns, strict=True):
        pad = min(0.1 * width, 0.5 * face.size)
        at, how = _ALIGN[align](left, width, pad)
        canvas.text(at, y + (height - face.height) / 2, face.fit(cell, width - 2 * pad), face, align=how, ink=ink)
        left += width


_ALIGN: dict[str, Callable[[float, float, float], tuple[float, Align]]] = {
    "l": lambda left, width, pad: (left + pad, "left"),
    "c": lambda left, width, pad: (left + width / 2, "centre"),
    "r": lambda left, width, pad: (left + width - pad, "right"),
}
