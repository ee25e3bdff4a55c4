"""Small pictures of pages, inside the report."""

from __future__ import annotations

import base64
import io
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from docclf.data.formats import read_page
from docclf.data.reading.listing import find_page
from docclf.safety.untrusted import is_inside

log = logging.getLogger(__name__)

_SIDE = 168
_QUALITY = 60
_BUDGET = 1_000_000  # bytes of all of them


class Thumbnails:
    """JPEG pictures as data URIs, up to about a megabyte in all.

    Args:
        root: Folder of the pages; None for no pictures.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._known: dict[str, str] = {}
        self._left = _BUDGET

    def __call__(self, page: str) -> str:
        """The picture of a page; empty where there is none."""
        if page not in self._known:
            self._known[page] = self._draw(page)
            self._left -= len(self._known[page])
        return self._known[page]

    def _draw(self, page: str) -> str:
        if self._root is None or self._left <= 0:
            return ""
        try:
            pixels = read_thumbnail(self._root, page, _SIDE)
        except Exception as error:  # moved or changed since; the decoders have many kinds
            log.debug(f"No picture of {page}: {type(error).__name__}: {error}")
            return ""
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG", quality=_QUALITY, optimize=True)
        return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def read_thumbnail(root: Path, page: str, side: int) -> NDArray[np.uint8]:
    """A page of a data set in small.

    Args:
        root: `data.root`.
        page: ID of the page.
        side: Height and width in pixels.

    Returns:
        uint8 of shape (side, side, 3).

    Raises:
        Exception: It is not there, or cannot be read.
    """
    path, number = find_page(root, page)
    if not (path.is_file() and is_inside(path, root)):  # an ID may come from somebody else's file
        raise FileNotFoundError(f"Expected the page {page} below {root}, got no such file.")
    return read_page(path, side, page=number)
