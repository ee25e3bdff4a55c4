"""One page from its coordinates to its file. This is what a worker process runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from docclf.data.synthetic.degradation import photo, scan
from docclf.data.synthetic.draws import coin, count_between
from docclf.data.synthetic.layouts import LAYOUTS

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

# Photos are noisy, and noise makes PNG files large: fewer of them are stored as PNG, a third of all pages in total.
PNG_SHARE: dict[Split, float] = {"train": 0.38, "test": 0.2}


@dataclass(frozen=True)
class PageJob:
    """A page to draw. `target` is the class, `index` the page's number in its class, `stem` its file's name."""

    folder: Path
    stem: str
    split: Split
    target: int
    index: int
    seed: int


def draw_page(job: PageJob) -> str:
    """Draw the page and write it. Returns the file's name.

    Its generator depends on the page alone, so the bytes are the same whoever draws it and in whatever order.
    """
    rng = np.random.default_rng([job.seed, SPLITS.index(job.split), job.target, job.index])
    layout = list(LAYOUTS.values())[job.target]
    sheet = layout(rng).image
    image = scan(sheet, rng) if job.split == "train" else photo(sheet, rng)
    return _save(image, job, as_png=coin(rng, PNG_SHARE[job.split]), quality=count_between(rng, 75, 92))


def _save(image: Image.Image, job: PageJob, *, as_png: bool, quality: int) -> str:
    name = f"{job.stem}.{'png' if as_png else 'jpg'}"
    if as_png:
        image.save(job.folder / name, compress_level=1)
    else:
        image.save(job.folder / name, quality=quality)
    return name
