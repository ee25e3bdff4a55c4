"""Pictures of results, readable in any script."""

import functools
import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.cells import cell_len
from rich.text import Text

from docclf.files import replacing
from docclf.metrics.calibration import Reliability
from docclf.safety.untrusted import one_line

log = logging.getLogger(__name__)
logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)  # it tells of its cache

_DPI = 100
_WIDEST = 30  # columns of a name
_MOST_NAMED, _MOST_COUNTS = 200, 3000  # names and counts in a confusion matrix: more take long
_ROWS, _MOST_PICTURED = 50, 500  # classes below one another, and in all, of a picture of examples
_MARGINS = {"left": 0.13, "right": 0.965, "top": 0.98, "bottom": 0.085, "hspace": 0.07}
_P = ParamSpec("_P")


def harmless(draw: Callable[_P, None]) -> Callable[_P, None]:
    """Decorate what draws a picture: where it cannot, a warning says so, once for each reason, and nothing is lost."""

    @functools.wraps(draw)
    def draw_or_warn(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except Exception as error:  # of Matplotlib, of its fonts, of the disk
            _warn(f"{type(error).__name__}: {error}")

    return draw_or_warn


@functools.cache  # once, and not once a trial
def _warn(reason: str) -> None:
    log.warning(f"Pictures could not be drawn, everything else goes on: {reason}")


@functools.cache
def font_families() -> list[str]:
    """Font families to try in turn, so that every script shows that people name classes in, and emoji.

    Matplotlib's own font has Latin, Greek and Cyrillic; two packages of fonts carry what it lacks.
    """
    families = ["DejaVu Sans"]
    for package, pattern in (("manimgx_fonts_cjk", "*.ttc"), ("manimgx_fonts", "*[[]wght].ttf")):
        spec = importlib.util.find_spec(package)
        for path in sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []:
            if "Italic" in path.name:
                continue
            with suppress(Exception):  # a font that cannot be loaded is done without
                font = font_manager.get_font(path)
                # Matplotlib reads a variable font as its thinnest instance; asked for a normal one it would warn.
                font_manager.fontManager.ttflist.append(replace(font_manager.ttfFontProperty(font), weight=400))
                families.append(font.family_name)
    return list(dict.fromkeys(families))


def _fonts(texts: Sequence[str]) -> list[str]:
    # Matplotlib looks every family up for every text, many times.
    return font_families()[: 1 if all(map(str.isascii, texts)) else None]


@harmless
def write_confusion(path: Path, truth: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> None:
    """Draw a confusion matrix with counts, a row a true class, shaded by the fraction of its row.

    Args:
        path: PNG file to write.
        truth: True class indices, shape (n,).
        predicted: Predicted class indices, shape (n,).
        names: Class names in the order of the indices.
    """
    _save(_confusion(truth, predicted, names), path)


def _confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> Figure:
    n = len(names)
    counts = np.bincount(truth * n + predicted, minlength=n * n).reshape(n, n)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = [shorten(name, _WIDEST) for name in names]
    room = max(0, *(cell_len(name) - 12 for name in shown))
    side = min(3 + 0.4 * n + 0.1 * room, 30)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if n > _MOST_NAMED:  # the axes have the numbers of classes, from 0
        return figure
    # A name may hold dollar signs, which are no formulas.
    style: dict[str, Any] = {"family": _fonts(shown), "parse_math": False, "fontsize": min(10, 1400 / n)}
    turned: dict[str, Any] = {"rotation": 45} if n <= 60 else {"rotation": 90, "va": "center"}
    axes.set_xticks(range(n), shown, ha="right", rotation_mode="anchor", **style, **turned)
    axes.set_yticks(range(n), shown, **style)
    cells = np.argwhere(counts)
    for row, column in cells if len(cells) <= _MOST_COUNTS else ():
        colour = "white" if fractions[row, column] > 0.5 else "black"
        place: dict[str, Any] = {"ha": "center", "va": "center", "in_layout": False}  # layout would measure each
        axes.text(column, row, str(counts[row, column]), fontsize=min(8, 1400 / n), color=colour, **place)
    return figure


@harmless
def write_examples(path: Path, pages: Mapping[str, Sequence[NDArray[np.uint8]]]) -> None:
    """Draw a row of pages for every class, under its name; below the 50th class, one goes on beside the first.

    Args:
        path: PNG file to write.
        pages: Class name to pages of one size, uint8 of shape (size, size, channels). The first 500 classes are drawn.
    """
    width = max(140 * max(map(len, pages.values())), 240)  # a name has room above a single page
    places, names = [], []
    if len(pages) > _MOST_PICTURED:
        log.info(f"Of {len(pages):,} classes, the first {_MOST_PICTURED} are drawn")
    for i, (name, found) in enumerate(list(pages.items())[:_MOST_PICTURED]):
        left, top = i // _ROWS * width + 4, i % _ROWS * 170
        names.append((left, top + 10, shorten(name, _WIDEST)))
        places += [(left + 140 * column, top + 23, _resized(page, 132)) for column, page in enumerate(found)]
    size = -(-len(names) // _ROWS) * width, min(len(names), _ROWS) * 170
    _save(_sheet(size, names, fontsize=9, va="center"), path, places)


@harmless
def write_captioned(path: Path, pages: Sequence[NDArray[np.uint8]], captions: Sequence[Sequence[str]]) -> None:
    """Draw pages in rows of five, under each its caption.

    Args:
        path: PNG file to write.
        pages: At least one, uint8 of shape (size, size, channels).
        captions: Lines of text for each page. The last, a file, loses its beginning where it is long, which differs
            least between files; the others, names of classes, their end.
    """
    height = 190 + 14 * max(map(len, captions))
    places, texts = [], []
    for i, (page, (*names, file)) in enumerate(zip(pages, captions, strict=True)):
        left, top = i % 5 * 200 + 10, i // 5 * height + 4
        places.append((left, top, ImageOps.expand(_resized(page, 178), 1)))  # with a black line around it
        lines = *(shorten(name, _WIDEST) for name in names), shorten_start(one_line(file), _WIDEST)
        texts.append((left + 90, top + 183, "\n".join(lines)))
    size = 1000, -(-len(pages) // 5) * height
    _save(_sheet(size, texts, fontsize=7, ha="center", va="top"), path, places)


def _sheet(size: tuple[int, int], texts: Sequence[tuple[int, int, str]], **style: Any) -> Figure:
    # Of texts alone, each with its distance in pixels from the left and from the top: axes for each page take long.
    width, height = size
    figure = Figure(figsize=(width / _DPI, height / _DPI))
    for left, top, text in texts:
        figure.text(left / width, 1 - top / height, text, family=_fonts([text]), parse_math=False, **style)
    return figure


def _resized(page: NDArray[np.uint8], side: int) -> Image.Image:
    picture = Image.fromarray(page.squeeze(axis=2) if page.shape[2] == 1 else page)
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def shorten_start(text: str, columns: int) -> str:
    """The end of a text that takes at most so many columns; a syllable of Hangul or a Han character takes two.

    >>> shorten_start("train/invoices/0001.png", 12)
    '…es/0001.png'
    >>> shorten_start("영수증/계약서.png", 12), shorten_start("영수증.png", 12)
    ('…/계약서.png', '영수증.png')
    """
    return shorten(text[::-1], columns)[::-1]


def shorten(name: str, columns: int) -> str:
    """The start of a name, in one line of at most so many columns; see `shorten_start`.

    >>> shorten("letter of intent", 9), shorten("근로계약서", 7), shorten("bill\\nof lading", 20)
    ('letter o…', '근로계…', 'bill of lading')
    """
    text = Text(one_line(name))
    text.truncate(columns, overflow="ellipsis")
    return text.plain


@harmless
def write_reliability(path: Path, before: Reliability, after: Reliability, errors: tuple[float, float]) -> None:
    """Draw accuracy against confidence, before and after calibration.

    A point for each bin that has pages, and the diagonal of perfect calibration; below, the fraction of pages in each
    bin. See Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), figure 1.

    Args:
        path: PNG file to write.
        before: Bins of the probabilities as the model gives them.
        after: Bins of the calibrated ones, which may be more or fewer.
        errors: Expected calibration error before and after, in [0, 1], for the legend.
    """
    figure = Figure(figsize=(5, 6))  # of fixed margins, as its texts are: to find them takes as long as to draw
    curve, bars = figure.subplots(2, sharex=True, height_ratios=(4, 1), gridspec_kw=_MARGINS)
    curve.plot((0, 1), (0, 1), color="grey", linestyle="--", linewidth=1, label="perfect calibration")
    drawn = (("before calibration", before, errors[0], "C1", -1), ("after calibration", after, errors[1], "C0", 0))
    for name, bins, error, colour, side in drawn:
        filled = bins.count > 0
        label = f"{name}, ECE {error:.3f}"
        style = {"marker": "o", "markersize": 4, "clip_on": False, "color": colour, "label": label}
        curve.plot(bins.confidence[filled], bins.accuracy[filled], **style)
        n = len(bins.count)
        middles, width = (np.arange(n) + 0.5) / n, 0.4 / n
        heights = bins.count / max(bins.count.sum(), 1)
        bars.bar(middles + side * width, heights, width, align="edge", color=colour)
    curve.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    curve.legend(loc="upper left")
    bars.set(xlabel="probability of the predicted class", ylabel="fraction of pages", ylim=(0, None))
    _save(figure, path)


def _save(figure: Figure, path: Path, pages: Sequence[tuple[int, int, Image.Image]] = ()) -> None:
    with replacing(path) as partial, warnings.catch_warnings():
        # A name may hold an emoji or a script that no font has: a box in the picture is enough.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        # A few letters are as wide as a word: the matrix is narrow then.
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        figure.savefig(partial, dpi=_DPI)
        if pages:
            with Image.open(partial) as drawn:
                sheet = drawn.convert("RGB")
            for left, top, page in pages:
                sheet.paste(page, (left, top))
            sheet.save(partial, format="PNG")
