"""The classes, and one page from its coordinates to its file. This is what a worker process runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator

from docclf.demo import office, plates, press
from docclf.demo.draws import coin
from docclf.demo.photo import photo, scan
from docclf.demo.sheet import Sheet

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
PNG_FRACTION = 0.3

# Name of each class, and what draws one of its pages. A class's number is its place here.
LAYOUTS: dict[str, Callable[[Generator], Sheet]] = {
    "invoice": office.invoice,
    "receipt": press.receipt,
    "letter": office.letter,
    "form": office.form,
    "id_card": plates.id_card,
    "map": plates.street_map,
    "table_report": office.table_report,
    "shipping_label": office.shipping_label,
    "code_listing": press.code_listing,
    "newspaper_page": press.newspaper_page,
    "slide": plates.slide,
    "handwritten_note": press.handwritten_note,
    "sheet_music": press.sheet_music,
    "certificate": plates.certificate,
}


@dataclass(frozen=True)
class PageJob:
    """A page to draw: number `number` of the split in `folder`, number `index` of the class `target`."""

    folder: Path
    split: Split
    number: int
    target: int
    index: int
    seed: int
    is_photo: bool


def draw_page(job: PageJob) -> str:
    """Draw the page and write it. Returns the file's name.

    Its generator depends on the page alone, so the bytes are the same whoever draws it and in whatever order.
    """
    rng = np.random.default_rng([job.seed, SPLITS.index(job.split), job.target, job.index])
    image = scan(list(LAYOUTS.values())[job.target](rng).image, rng)
    if job.is_photo:
        image = photo(image, rng)
    name = f"{job.split}_{job.number:05d}.{'png' if coin(rng, PNG_FRACTION) else 'jpg'}"
    image.save(job.folder / job.split / name, compress_level=1, quality=85)  # the one is of PNG, the other of JPEG
    return name
