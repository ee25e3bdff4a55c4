"""What fine-tuning with each entry of the default search's portfolio comes to, beside the config's own values.

    python benchmarks/portfolio.py DIR                                       the weights that come along
    python benchmarks/portfolio.py DIR model.name=mobilenetv2_100 model.checkpoint_path=FILE
    python benchmarks/portfolio.py DIR --seeds 0 1 2 --more "optimizer.lr=1e-4" "data.batch_size=64 optimizer.lr=1e-3"

DIR as for benchmarks/strength.py. Printed are means over seeds: macro-F1 over the folds, of what a run keeps and of the
net alone, on the test pages, and seconds. A row takes a minute or two a seed on 2 cores.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import yaml
from recipe import TUNED, run

OPTION = Path(__file__).parents[1] / "conf" / "hparams_search" / "optuna.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--more", nargs="*", default=[], help="overrides of further rows")
    arguments, overrides = parser.parse_known_args()
    entries = yaml.safe_load(OPTION.read_text(encoding="utf-8"))["hydra"]["sweeper"]["climb"]["portfolio"]
    rows = ["", *(" ".join(f"{key}={value}" for key, value in entry.items()) for entry in entries), *arguments.more]
    with tempfile.TemporaryDirectory() as cache:
        print(f"{'beside the config':60} folds    net   test  seconds", flush=True)
        for row in rows:
            given = [*overrides, TUNED, *row.split()]
            runs = [run(arguments.root.resolve(), given, seed, cache) for seed in arguments.seeds]
            folds, net, test, seconds = (
                statistics.fmean(one[key] for one in runs) for key in ("folds", "of net", "test", "seconds")
            )
            print(f"{row or 'nothing':60} {folds:.3f}  {net:.3f}  {test:.3f}  {seconds:7.1f}", flush=True)


if __name__ == "__main__":
    main()
