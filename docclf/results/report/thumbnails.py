"""Small pictures of pages, inside the report."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

log = logging.getLogger(__name__)

# Root of the pages, ID and side in pixels to uint8 of shape (side, side, 3).
PageReader = Callable[[Path, str, int], NDArray[np.uint8]]

_SIDE = 168
_QUALITY = 60
_BUDGET = 1_000_000  # bytes of all of them


class Thumbnails:
    """JPEG pictures as data URIs, up to about a megabyte in all.

    Args:
        read: Reads a page; None for no pictures.
        root: Folder of the pages; None for no pictures.
    """

    def __init__(self, read: PageReader | None, root: Path | None) -> None:
        self._read, self._root = read, root
        self._known: dict[str, str] = {}
        self._left = _BUDGET

    def __call__(self, page: str) -> str:
        """The picture of a page; empty where there is none."""
        if page not in self._known:
            self._known[page] = self._draw(page)
            self._left -= len(self._known[page])
        return self._known[page]

    def _draw(self, page: str) -> str:
        if self._read is None or self._root is None or self._left <= 0:
            return ""
        try:
            pixels: Any = self._read(self._root, page, _SIDE)
        except Exception as error:  # moved or changed since; the decoders have many kinds
            log.debug(f"No picture of {page}: {type(error).__name__}: {error}")
            return ""
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG", quality=_QUALITY, optimize=True)
        return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
