"""How fast pages come, beside what one would write with torchvision.

    python benchmarks/input.py             about 5 min on 2 cores
    python benchmarks/input.py search      and two whole default searches, on the scans and on the same pages reduced

On 1,000 JPEG scans of 1240 x 1754 pixels: training batches from the warm cache beside `ImageFolder` with PIL, Resize
and the same augmentation in as many processes as there are cores; and the first pass beside a bare parallel reduced
decode of the same files. Medians of 3, in turn. Keep the machine idle.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from docclf import n_cores
from docclf.data.augment.batch import BatchAugment
from docclf.data.cache.decoded import load_pages
from docclf.data.module import PageDataModule
from docclf.data.readers import read_folder
from docclf.demo import draw_pages

SCANS, PAGES, CLASSES = Path("data/scans"), Path("data/synthetic"), 4
SIZE, KEPT = 96, 112
LIGHT = {"degrees": 5.0, "crop": 0.2}


def make_scan(index: int) -> None:
    """One drawn page at 150 dpi, with a scanner's noise."""
    target = SCANS / f"class {index % CLASSES}" / f"{index:04}.jpg"
    pages = sorted((PAGES / "train").iterdir())
    with Image.open(pages[index % len(pages)]) as page:
        scan = np.asarray(page.convert("RGB").resize((1240, 1754)), dtype=np.int16)
    noisy = scan + np.random.default_rng(index).integers(-6, 7, scan.shape, dtype=np.int16)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target, quality=85)


def make_scans() -> list[Path]:
    if not SCANS.exists():
        draw_pages(PAGES)
        for label in range(CLASSES):
            (SCANS / f"class {label}").mkdir(parents=True)
        with ProcessPoolExecutor(n_cores()) as pool:
            list(pool.map(make_scan, range(1000), chunksize=20))
    return sorted(SCANS.glob("*/*.jpg"))


def cold(paths: list[Path]) -> float:
    """Seconds of the first pass."""
    folder = Path(tempfile.mkdtemp(prefix="cache-"))
    started = time.perf_counter()
    load_pages(paths, KEPT, folder)
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return seconds


def bare(paths: list[Path]) -> float:
    """Seconds of nothing but the decoding."""
    found = np.empty((len(paths), KEPT, KEPT, 3), dtype=np.uint8)

    def decode(index: int) -> None:
        with Image.open(paths[index]) as image:
            image.draft("RGB", (KEPT, KEPT))
            small = image.convert("RGB").resize((KEPT, KEPT), Image.Resampling.BILINEAR, reducing_gap=3.0)
            found[index] = np.asarray(small)

    started = time.perf_counter()
    with ThreadPoolExecutor(n_cores()) as pool:
        list(pool.map(decode, range(len(paths))))
    return time.perf_counter() - started


def ours() -> float:
    """Training pages a second, an epoch from the warm cache."""
    data = PageDataModule(str(SCANS), reader=read_folder, augment=BatchAugment(**LIGHT), batch_size=32, image_size=SIZE)
    started = time.perf_counter()
    n = 0
    for pages, labels, _ in data.train_dataloader():
        data.augment.view(pages, SIZE)
        n += len(labels)
    return n / (time.perf_counter() - started)


def torchvision() -> float:
    """Training pages a second, an epoch."""
    transform = v2.Compose(
        [
            v2.Resize((KEPT, KEPT)),
            v2.RandomRotation(5),
            v2.RandomResizedCrop(SIZE, scale=(0.64, 1.0), ratio=(1.0, 1.0)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    loader = DataLoader(ImageFolder(str(SCANS), transform), batch_size=32, shuffle=True, num_workers=n_cores())
    started = time.perf_counter()
    n = sum(len(labels) for _, labels in loader)
    return n / (time.perf_counter() - started)


def search(root: Path, name: str) -> float:
    """Seconds of a whole default search, the first pass over the pages included."""
    command = [sys.executable, "-m", "docclf.train", "-m", "hparams_search=optuna", f"study_name={name}", "data=folder"]
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        run = [*command, f"data.root='{root}'", f"data.cache_dir={cache}"]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def compare(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float]:
    """Medians of 3, in turn."""
    pairs = [(first(), second()) for _ in range(3)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def main() -> None:
    paths = make_scans()
    whole, decode = compare(lambda: cold(paths), lambda: bare(paths))
    print(f"first pass {whole:.1f} s, bare decode {decode:.1f} s: {whole / decode:.2f} times", flush=True)
    mine, theirs = compare(ours, torchvision)
    print(f"training pages a second {mine:,.0f}, torchvision {theirs:,.0f}: {mine / theirs:.0f} times", flush=True)
    if sys.argv[1:] == ["search"]:
        reduced = Path("data/scans-reduced")
        for path in paths:
            target = reduced / path.relative_to(SCANS).with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as page:
                page.resize((KEPT, KEPT)).save(target)
        stamp = int(time.time())
        on_scans, on_reduced = search(SCANS, f"scans-{stamp}"), search(reduced, f"reduced-{stamp}")
        ratio = on_scans / on_reduced
        print(f"search on scans {on_scans:.0f} s, on reduced pages {on_reduced:.0f} s: {ratio:.2f} times", flush=True)


if __name__ == "__main__":
    main()
