"""docclf beside what one would write instead, on the same pages, backbone, size, folds, epochs and trials.

    python benchmarks/peers.py                              docclf alone, about 3 min on 2 cores
    python benchmarks/peers.py 'NAME=COMMAND' ...           and peers: {root} in COMMAND is the folder of pages

The pages are docclf's synthetic ones, laid flat: train.csv (ID,target), test.csv, meta.csv and the images beside them.
Commands run one after the other; the last line that a peer prints is its row. Keep the machine idle.
"""

import shlex
import subprocess
import sys
import time
from pathlib import Path

import optuna

from docclf.demo import draw_pages

PAGES = Path("data/synthetic")
FLAT = Path("data/synthetic-flat")
NAME = f"peers-{int(time.time())}"
DOCCLF = (
    f"{sys.executable} -m docclf.train -m hparams_search=optuna study_name={NAME} data=csv data.root={{root}} "
    "model.name=mobilenetv3_small_050 data.image_size=96 validation=quick search.n_trials=20 search.timeout=null"
)


def flatten() -> Path:
    """Lay the synthetic pages out as the peers read them."""
    draw_pages(PAGES)
    FLAT.mkdir(parents=True, exist_ok=True)
    for path in [*PAGES.glob("*.csv"), *PAGES.glob("train/*"), *PAGES.glob("test/*")]:
        link = FLAT / path.name
        if not link.exists():
            link.symlink_to(path.resolve())
    return FLAT.resolve()


def timed(command: str, root: Path) -> tuple[float, str]:
    """Wall-clock seconds of a command, and the last line that it printed."""
    started = time.perf_counter()
    done = subprocess.run(
        shlex.split(command.replace("{root}", str(root))), check=True, stdout=subprocess.PIPE, text=True
    )
    lines = done.stdout.strip().splitlines()
    return time.perf_counter() - started, lines[-1] if lines else ""


def main() -> None:
    root = flatten()
    print("name              seconds  result", flush=True)
    seconds, _ = timed(DOCCLF, root)
    study = optuna.load_study(study_name=NAME, storage=f"sqlite:///multirun/{NAME}/study.db")
    pruned = sum(trial.state.name == "PRUNED" for trial in study.trials)
    print(f"{'docclf':16}  {seconds:7.0f}  best {study.best_value:.4f}, {pruned} pruned", flush=True)
    for peer in sys.argv[1:]:
        name, _, command = peer.partition("=")
        peer_seconds, line = timed(command, root)
        print(f"{name:16}  {peer_seconds:7.0f}  docclf takes {seconds / peer_seconds:.2f} of it; {line}", flush=True)


if __name__ == "__main__":
    main()
