"""Pictures of results, readable in any script."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from numpy.typing import NDArray

from docclf.results.files import replacing


def font_families() -> list[str]:
    """Font families to try in turn, so that Latin, Greek, Cyrillic, Hangul, Kana and Han all show.

    Matplotlib's own font has no glyphs of East Asia; the package `manimgx-fonts-cjk` carries a font that has.
    """
    spec = importlib.util.find_spec("manimgx_fonts_cjk")
    if spec is None or spec.origin is None:
        return ["DejaVu Sans"]
    font = font_manager.get_font(next(Path(spec.origin).parent.glob("*.ttc")))
    known = font_manager.fontManager.ttflist
    if font.family_name not in {entry.name for entry in known}:
        # Matplotlib reads a variable font as its thinnest instance; asked for a normal one it would warn each time.
        known.append(replace(font_manager.ttfFontProperty(font), weight=400))
    return ["DejaVu Sans", font.family_name]


def write_confusion(path: Path, truth: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]) -> None:
    """Draw a confusion matrix with counts, a row a true class, shaded by the share of the row.

    Args:
        path: PNG file to write.
        truth: True class indices, shape (n,).
        predicted: Predicted class indices, shape (n,).
        names: Class names in the order of the indices.
    """
    n = len(names)
    counts = np.bincount(truth * n + predicted, minlength=n * n).reshape(n, n)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(3 + 0.4 * n, 30)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    families = font_families()
    # A name may hold dollar signs, which are no formulas.
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(n), names, family=families, parse_math=False, **turned)
    axes.set_yticks(range(n), names, family=families, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=100)


def write_examples(path: Path, pages: Mapping[str, Sequence[NDArray[np.uint8]]]) -> None:
    """Draw a row of pages for every class, under its name.

    Args:
        path: PNG file to write.
        pages: Class name to pages of one size, uint8 of shape (size, size, channels).
    """
    columns = max(map(len, pages.values()))
    figure = Figure(figsize=(1.4 * columns, min(1.7 * len(pages), 300)), layout="constrained")
    grid = figure.subplots(len(pages), columns, squeeze=False)
    families = font_families()
    for row, (name, found) in zip(grid, pages.items(), strict=True):
        row[0].set_title(name, loc="left", fontsize=9, family=families, parse_math=False)
        for axes in row:
            axes.axis("off")
        for axes, page in zip(row, found, strict=False):
            axes.imshow(page.squeeze(), cmap="gray", vmin=0, vmax=255)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=100)
