"""Pages a second and peak memory of `python -m docclf.predict`, and how memory grows with the number of pages.

    python benchmarks/predict.py [PAGES ...]        by default 1000 10000 100000; about 15 min on 2 busy cores

Pages are the drawn test pages under many names; the model is an untrained MobileNetV3 (small, 0.5) at 96 pixels.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from docclf.demo import draw_pages
from docclf.inference.description import Description
from docclf.inference.folder import save_ensemble
from docclf.models.backbone import make_net, normalisation

PAGES = Path("data/synthetic")
BACKBONE, SIZE, KEPT = "mobilenetv3_small_050", 96, 112
CLASSES = [str(i) for i in range(17)]


def make_model(folder: Path) -> None:
    net = make_net(BACKBONE, len(CLASSES), SIZE, 3)
    mean, std = normalisation(net, 3)
    description = Description(BACKBONE, CLASSES, CLASSES, SIZE, KEPT, 3, mean, std)
    save_ensemble(folder, description, {"all": net.state_dict()})


def make_pages(folder: Path, n: int) -> None:
    """Links: a disk need not hold them all."""
    pages = sorted((PAGES / "test").iterdir())
    folder.mkdir()
    for i in range(n):
        os.link(pages[i % len(pages)], folder / f"{i:07}{pages[i % len(pages)].suffix}")


def measure(model: Path, pages: Path) -> tuple[float, float]:
    """Seconds and the peak memory in MB of a run of its own."""
    command = [sys.executable, "-m", "docclf.predict", f"run={model}", f"data.root={pages}", "device=cpu"]
    started = time.perf_counter()
    # A process between, whose one child is the command: the peak of children is that of the largest.
    code = f"import resource, subprocess; subprocess.run({command!r}, check=True, stdout=subprocess.DEVNULL); " + (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=pages.parent, check=True, capture_output=True, text=True)
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return time.perf_counter() - started, int(done.stdout) / unit


def main() -> None:
    draw_pages(PAGES)
    counts = [int(argument) for argument in sys.argv[1:]] or [1_000, 10_000, 100_000]
    print(f"{'pages':>8} {'seconds':>8} {'pages/s':>8} {'peak MB':>8}")
    for n in counts:
        with tempfile.TemporaryDirectory(dir=PAGES.parent) as folder:
            root = Path(folder).absolute()
            make_model(root / "model")
            make_pages(root / "pages", n)
            seconds, megabytes = measure(root / "model", root / "pages")
            print(f"{n:8} {seconds:8.1f} {n / seconds:8.0f} {megabytes:8.0f}", flush=True)


if __name__ == "__main__":
    main()
