"""The folder of synthetic pages: made once, whole or not at all."""

import csv
import json
import logging
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from docclf.data.synthetic.layouts import LAYOUTS
from docclf.data.synthetic.page import SPLITS, PageJob, Split, draw_page
from docclf.errors import DataError

log = logging.getLogger(__name__)

# Goes up with every change that alters a page's bytes, so that old folders are not mistaken for new ones.
GENERATOR_VERSION = 2
MARKER = "synthetic.json"
PAGES_PER_TASK = 8


def draw_pages(
    root: Path,
    *,
    pages_per_class: int = 70,
    test_pages_per_class: int = 30,
    seed: int = 42,
    workers: int | None = None,
) -> None:
    """Draw the pages of all classes into `root`, unless they are there already.

    Writes `train/`, `test/`, `train.csv` and `test.csv` (`ID,target`), `meta.csv` (`target,class_name`) and
    `synthetic.json` (the arguments). The same arguments give the same bytes, whatever `workers` is. The pages are drawn
    in a folder beside `root` which gets its name at the end: a run that is killed leaves no half-filled `root`, and of
    two processes that draw at once, the later one finds the pages of the other.

    Args:
        root: Folder for the pages; absent, empty, or filled by an earlier call with the same arguments.
        pages_per_class: Clean training pages of each class, at least 1.
        test_pages_per_class: Test pages of each class, drawn like photos taken by phone. With 0 there is no test split.
        seed: At least 0. Another seed gives other pages of the same kind.
        workers: Processes that draw, at least 1; one for each core that this process may use if None.

    Raises:
        DataError: An argument is out of its range, or `root` holds something else.
    """
    arguments = {
        "generator_version": GENERATOR_VERSION,
        "pages_per_class": pages_per_class,
        "test_pages_per_class": test_pages_per_class,
        "seed": seed,
    }
    _check_arguments(pages_per_class, test_pages_per_class, seed, workers)
    root = root.expanduser().resolve()
    if _is_drawn(root, arguments):
        return
    with _partial_folder(root) as partial:
        _draw_into(partial, {"train": pages_per_class, "test": test_pages_per_class}, seed, workers)
        (partial / MARKER).write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")
        try:
            partial.rename(root)
        except OSError:
            # Another process was first. Its pages are the same if its arguments are; anything else raises here.
            if not _is_drawn(root, arguments):
                raise
    log.info("Drew %d classes of synthetic pages in %s", len(LAYOUTS), root)


def _check_arguments(pages_per_class: int, test_pages_per_class: int, seed: int, workers: int | None) -> None:
    lowest = {"pages_per_class": 1, "test_pages_per_class": 0, "seed": 0, "workers": 1}
    given = {"pages_per_class": pages_per_class, "test_pages_per_class": test_pages_per_class, "seed": seed}
    given |= {} if workers is None else {"workers": workers}
    for name, value in given.items():
        if value < lowest[name]:
            raise DataError(
                f"Expected `{name}` of the synthetic pages (`data.root` is filled with them) to be at least "
                f"{lowest[name]}, got {value}. Raise it, or leave it out for the default."
            )


def _is_drawn(root: Path, arguments: dict[str, int]) -> bool:
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
        found = _read_marker(marker)
        if found == arguments:
            return True
        raise DataError(f"Expected `data.root` {root} to hold synthetic pages with {wanted}, got {found}. {way_out}")
    if any(root.iterdir()):
        raise DataError(
            f"Expected `data.root` to be an empty folder or one of synthetic pages, got {root}, which holds other "
            f"files and no {MARKER}. {way_out} For pages of your own, use data=folder or data=csv."
        )
    if os.path.ismount(root):
        raise DataError(f"Expected `data.root` to be a folder that can be renamed, got the mount point {root}. "
                        f"Set `data.root` to a folder inside it.")  # fmt: skip
    return False


def _read_marker(marker: Path) -> object:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return f"an unreadable {marker.name}"


@contextmanager
def _partial_folder(root: Path) -> Iterator[Path]:
    """A new folder beside `root`, removed at the end if it is still there (renamed, it is not)."""
    root.parent.mkdir(parents=True, exist_ok=True)
    # The process id tells a reader whose it is; the random part keeps clear of leftovers, as ids come back.
    partial = root.with_name(f"{root.name}.partial-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _draw_into(folder: Path, pages: dict[Split, int], seed: int, workers: int | None) -> None:
    jobs = [job for split in SPLITS for job in _jobs(folder, split, pages[split], seed)]
    for split in SPLITS:
        if pages[split]:
            (folder / split).mkdir()
    names = _draw_all(jobs, workers)
    for split in SPLITS:
        rows = [(name, job.target) for name, job in zip(names, jobs, strict=True) if job.split == split]
        if rows:
            _write_csv(folder / f"{split}.csv", ("ID", "target"), rows)
    _write_csv(folder / "meta.csv", ("target", "class_name"), enumerate(LAYOUTS))


def _jobs(folder: Path, split: Split, pages: int, seed: int) -> list[PageJob]:
    """The pages of a split in the order of their names, classes shuffled so that a name says nothing."""
    kinds = [(target, index) for target in range(len(LAYOUTS)) for index in range(pages)]
    order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(kinds)).tolist()
    return [
        PageJob(folder / split, f"{split}_{number:05d}", split, target=target, index=index, seed=seed)
        for number, (target, index) in enumerate(kinds[place] for place in order)
    ]


def _draw_all(jobs: list[PageJob], workers: int | None) -> list[str]:
    """Draw the pages, with a progress bar on stderr. Returns the files' names in the order of the jobs."""
    tasks = -(-len(jobs) // PAGES_PER_TASK)
    workers = min(workers or _usable_cores(), tasks)
    bar = tqdm(total=len(jobs), desc="Drawing pages", unit="page", disable=None)
    with bar:
        if workers == 1:
            return [_counted(bar, draw_page(job)) for job in jobs]
        # Spawned, not forked: the caller may hold threads (torch has some), and forking then can hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            return [_counted(bar, name) for name in pool.map(draw_page, jobs, chunksize=PAGES_PER_TASK)]


def _counted(bar: "tqdm[None]", name: str) -> str:
    bar.update()
    return name


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write_csv(path: Path, header: tuple[str, str], rows: Iterable[tuple[object, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
