"""What early stopping saves, and what it costs.

    python benchmarks/pruning.py [override ...]        about 25 min on 2 cores

Runs the default search with its pruner and with none, in turn, for 3 seeds, and prints seconds and best scores.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna

SEEDS = (0, 1, 2)


def search(name: str, seed: int, overrides: list[str]) -> tuple[float, float, int]:
    """Run one search; wall-clock seconds, best score and number of pruned trials."""
    command = [sys.executable, "-m", "docclf.train", "-m", "hparams_search=optuna", f"study_name={name}"]
    started = time.perf_counter()
    subprocess.run(
        [*command, f"search.seed={seed}", "search.timeout=null", *overrides], check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - started
    study = optuna.load_study(study_name=name, storage=f"sqlite:///multirun/{name}/study.db")
    return seconds, study.best_value, sum(trial.state.name == "PRUNED" for trial in study.trials)


def main() -> None:
    print("seed  pruner   seconds  best   pruned", flush=True)
    times, losses = [], []
    stamp = Path(tempfile.mkdtemp(prefix="pruning-", dir=".")).name
    for seed in SEEDS:
        rows = {}
        for label, override in (("default", []), ("none", ["hydra/sweeper/pruner=none"])):
            rows[label] = search(f"{stamp}-{seed}-{label}", seed, [*override, *sys.argv[1:]])
            seconds, best, pruned = rows[label]
            print(f"{seed:4}  {label:7}  {seconds:7.0f}  {best:.3f}  {pruned:6}", flush=True)
        times.append(rows["default"][0] / rows["none"][0])
        losses.append(rows["none"][1] - rows["default"][1])
    Path(stamp).rmdir()
    print(f"time with / without: mean {statistics.mean(times):.0%} ({', '.join(f'{t:.0%}' for t in times)})")
    print(f"score lost: mean {statistics.mean(losses):+.3f} ({', '.join(f'{loss:+.3f}' for loss in losses)})")


if __name__ == "__main__":
    main()
