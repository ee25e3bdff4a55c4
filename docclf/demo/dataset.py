"""The classes, and the folder of synthetic pages: made once, whole or not at all."""

import json
import logging
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from docclf import n_cores
from docclf.demo import office, plates, press
from docclf.demo.draws import coin
from docclf.demo.photo import photo, scan
from docclf.demo.sheet import Sheet
from docclf.errors import DataError

log = logging.getLogger(__name__)

# Goes up with every change that alters a page's bytes, so that old folders are not mistaken for new ones.
GENERATOR_VERSION = 3
MARKER = "synthetic.json"
PAGES_PER_TASK = 8
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


def draw_pages(
    root: Path,
    *,
    pages_per_class: int = 30,
    test_pages_per_class: int = 20,
    test_look: str = "photo",
    seed: int = 42,
    workers: int | None = None,
) -> None:
    """Draw the pages of all classes into `root`, unless they are there already.

    Writes `train/`, `test/`, `train.csv` and `test.csv` (`ID,target`), `meta.csv` (`target,class_name`) and
    `synthetic.json` (the arguments). The same arguments give the same bytes, whatever `workers` is. The pages appear at
    once or not at all, also where a run is killed, and where two processes draw at the same time.

    Args:
        root: Folder for the pages; absent, empty, or filled by an earlier call with the same arguments.
        pages_per_class: Clean training pages of each class, at least 1.
        test_pages_per_class: Test pages of each class; 0 for no test split.
        test_look: How these look: `photo`, or `none` for scans like the training pages.
        seed: At least 0. Another seed gives other pages of the same kind.
        workers: Processes that draw, at least 1; None for one on each core that this process may use.

    Raises:
        DataError: `root` holds something else.
    """
    arguments = {"generator_version": GENERATOR_VERSION, "test_look": test_look, "seed": seed}
    arguments |= {"pages_per_class": pages_per_class, "test_pages_per_class": test_pages_per_class}
    root = root.expanduser().resolve()
    if _is_drawn(root, arguments):
        return
    with _partial_folder(root) as folder:
        _draw_into(folder, arguments, workers)
        (folder / MARKER).write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")
        try:
            folder.rename(root)
        except OSError:
            if not _is_drawn(root, arguments):  # or another process was first, and has drawn the same
                raise
    log.info("Drew %d classes of synthetic pages in %s", len(LAYOUTS), root)


def _is_drawn(root: Path, arguments: Mapping[str, Any]) -> bool:
    """Whether `root` holds the pages of these arguments; false if it is absent or empty.

    Raises:
        DataError: It holds something else.
    """
    wanted = ", ".join(f"{name}={value}" for name, value in arguments.items())
    way_out = "Set `data.root` to a new folder to draw them there, or remove this one first."
    if not root.exists():
        return False
    if not root.is_dir():
        raise DataError(f"Expected `data.root` to be a folder for synthetic pages, got the file {root}. {way_out}")
    marker = root / MARKER
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            found = f"an unreadable {MARKER}"
        if found == arguments:
            return True
        raise DataError(f"Expected `data.root` {root} to hold synthetic pages with {wanted}, got {found}. {way_out}")
    if any(root.iterdir()):
        raise DataError(
            f"Expected `data.root` to be an empty folder or one of synthetic pages, got {root}, which holds other "
            f"files and no {MARKER}. {way_out} For pages of your own, use data=folder or data=csv."
        )
    if os.path.ismount(root):
        what = f"a folder that can be renamed, got the mount point {root}"
        raise DataError(f"Expected `data.root` to be {what}. Set `data.root` to a folder inside it.")
    return False


@contextmanager
def _partial_folder(root: Path) -> Iterator[Path]:
    """A new folder beside `root`, removed at the end if it is still there (renamed, it is not)."""
    root.parent.mkdir(parents=True, exist_ok=True)
    # The process id tells a reader whose it is; the random part keeps clear of leftovers, as ids come back.
    folder = root.with_name(f"{root.name}.partial-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _draw_into(folder: Path, arguments: Mapping[str, Any], workers: int | None) -> None:
    counts: dict[Split, str] = {"train": "pages_per_class", "test": "test_pages_per_class"}
    jobs = [job for split, count in counts.items() for job in _jobs(folder, split, count, arguments)]
    splits = sorted({job.split for job in jobs})
    for split in splits:
        (folder / split).mkdir()
    drawn = list(zip(_draw_all(jobs, workers), jobs, strict=True))
    for split in splits:
        rows = [(name, job.target) for name, job in drawn if job.split == split]
        _write_csv(folder / f"{split}.csv", [("ID", "target"), *rows])
    _write_csv(folder / "meta.csv", [("target", "class_name"), *enumerate(LAYOUTS)])


def _jobs(folder: Path, split: Split, count: str, arguments: Mapping[str, Any]) -> list[PageJob]:
    """The pages of a split in the order of their names, classes shuffled so that a name says nothing."""
    kinds = [(target, index) for target in range(len(LAYOUTS)) for index in range(arguments[count])]
    np.random.default_rng([arguments["seed"], SPLITS.index(split)]).shuffle(kinds)
    is_photo = split == "test" and arguments["test_look"] == "photo"
    return [PageJob(folder, split, i, *kind, arguments["seed"], is_photo) for i, kind in enumerate(kinds)]


def _draw_all(jobs: list[PageJob], workers: int | None) -> list[str]:
    """Draw the pages, with a progress bar on stderr. Returns the files' names in the order of the jobs."""
    workers = min(workers or n_cores(), -(-len(jobs) // PAGES_PER_TASK))
    show = partial(tqdm, total=len(jobs), desc="Drawing pages", unit="page", disable=None)
    if workers == 1:
        return list(show(map(draw_page, jobs)))
    # Spawned, not forked: the caller may hold threads (torch has some), and forking then can hang.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(show(pool.map(draw_page, jobs, chunksize=PAGES_PER_TASK)))


def draw_page(job: PageJob) -> str:
    """Draw the page and write it, in a worker process. Returns the file's name.

    Its generator depends on the page alone, so the bytes are the same whoever draws it and in whatever order.
    """
    rng = np.random.default_rng([job.seed, SPLITS.index(job.split), job.target, job.index])
    image = scan(list(LAYOUTS.values())[job.target](rng).image, rng)
    if job.is_photo:
        image = photo(image, rng)
    name = f"{job.split}_{job.number:05d}.{'png' if coin(rng, PNG_FRACTION) else 'jpg'}"
    image.save(job.folder / job.split / name, compress_level=1, quality=85)  # the one is of PNG, the other of JPEG
    return name


def _write_csv(path: Path, rows: Sequence[tuple[object, object]]) -> None:
    path.write_text("".join(f"{left},{right}\n" for left, right in rows), encoding="utf-8", newline="")
