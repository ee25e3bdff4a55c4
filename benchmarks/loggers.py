"""What a logger costs a trial, offline.

    python benchmarks/loggers.py [override ...]        about 2 min on 2 cores

Trains the same tiny configuration in this process with each logger and without, in turn, and prints by how much it
takes longer.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.utils import setup_globals
from hydra.utils import execution_whitelist

from docclf import CONF_DIR
from docclf.safety.targets import whitelist
from docclf.train import train

ROUNDS = 7
LOGGERS = ("none", "csv", "tensorboard", "wandb", "[csv,tensorboard,wandb]")
TINY = (
    "data.draw.pages_per_class=4",
    "data.draw.test_pages_per_class=0",
    "data.image_size=32",
    "model.name=test_resnet",
    "validation.epochs=2",
    "augment=none",
)


def main() -> None:
    os.environ["WANDB_MODE"] = "offline"
    setup_globals()
    seconds: dict[str, list[float]] = {logger: [] for logger in LOGGERS}
    with (
        tempfile.TemporaryDirectory() as folder,
        initialize_config_dir(str(CONF_DIR)),
        execution_whitelist(whitelist()),
    ):
        for round_number in range(ROUNDS + 1):  # the first warms up
            for i, logger in enumerate(LOGGERS):
                given = [f"data.root={folder}/pages", f"logger={logger}", *sys.argv[1:]]
                cfg = compose("train", overrides=[*TINY, *given])
                started = time.perf_counter()
                train(cfg, Path(folder) / f"{round_number}-{i}")
                if round_number:
                    seconds[logger].append(time.perf_counter() - started)
    plain = statistics.median(seconds["none"])
    for logger, values in seconds.items():
        median = statistics.median(values)
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"logger={logger:25} {median:.2f} s a trial, {median - plain:+.2f} s  ({spread})")


if __name__ == "__main__":
    main()
