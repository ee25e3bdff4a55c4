"""What several workers bring.

    python benchmarks/workers.py pages [override ...]      about 35 min on 2 cores, with nothing beside it
    python benchmarks/workers.py cores                     about 5 min on 2 cores, with nothing beside it
    python benchmarks/workers.py toy                       about 10 min

pages: the default search, from its command to the exported winner, with 1 worker, which has all cores, and with 2
workers, in turn, by three seeds. A row a run, with the epochs that its trials trained, since a search that finds good
trials early stops more of the others; then the medians, how much faster two are, and the best scores.

cores: what of that the machine allows. A bare PyTorch loop with the default model, by batch size: pages a second of one
process with 2 threads, and of two processes at once with 1 thread each. Two workers can't be faster by more than that.

toy: trials that only sleep, for log-normal times, on 8 workers: ours without a barrier, and Hydra's stock sweeper with
n_jobs=8 and the joblib launcher, which waits for the slowest of each batch. Trials an hour of each, and how much of
ours' worker time is idle.
"""

import json
import logging
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hydra
import optuna
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

SEEDS = (1, 2, 3)
WORKERS, TRIALS = 8, 200
# Of the logarithm of a trial's seconds: median 3 s, mean 5 s, one in 40 takes longer than 21 s
MU, SIGMA = math.log(3.0), 1.0

ConfigStore.instance().store(name="toy", node={"x": 0.0, "folder": "???"})


@hydra.main(config_path=None, config_name="toy", execution_whitelist=("docclf.*", "optuna.*", "logging.*"))
def task(cfg: DictConfig) -> float:
    """Sleep as long as every sweeper's job of this number does, and say from when to when."""
    started = time.time()
    time.sleep(random.Random(HydraConfig.get().job.num).lognormvariate(MU, SIGMA))
    with (Path(cfg.folder) / "spans").open("a") as file:
        file.write(json.dumps([started, time.time()]) + "\n")
    return float(cfg.x) ** 2


def run_toy(side: str) -> list[list[float]]:
    """Start and end of every trial."""
    folder = Path(tempfile.mkdtemp(prefix="workers-"))
    sides = {
        "docclf": ["hydra/sweeper=docclf", "hydra.sweeper.skip_duplicates=false"],
        "stock": ["hydra/sweeper=optuna", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={WORKERS}"],
    }
    common = [f"hydra.sweeper.n_jobs={WORKERS}", f"hydra.sweeper.n_trials={TRIALS}", "hydra.sweeper.sampler.seed=1"]
    space = ["x=interval(-1.0,1.0)", f"folder={folder}", f"hydra.sweep.dir={folder}/multirun"]
    command = [sys.executable, __file__, "-m", *sides[side], *common, *space]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "WORKERS_TASK": "1"})
    spans = sorted(json.loads(line) for line in (folder / "spans").read_text().splitlines())
    shutil.rmtree(folder)
    return spans


def toy() -> None:
    rates = {}
    print("sweeper  trials  seconds  trials/h  idle, while trials were left  idle, to the end", flush=True)
    for side in ("docclf", "stock"):
        spans = run_toy(side)
        begin, last, end = spans[0][0], spans[-1][0], max(span[1] for span in spans)
        rates[side] = len(spans) / (end - begin) * 3600
        until_last, whole = (
            1 - sum(min(b, until) - a for a, b in spans) / WORKERS / (until - begin) for until in (last, end)
        )
        shown = f"{len(spans):6}  {end - begin:7.1f}  {rates[side]:8.0f}  {until_last:28.1%}  {whole:16.1%}"
        print(f"{side:7}  {shown}", flush=True)
    print(f"docclf / stock, trials an hour: {rates['docclf'] / rates['stock']:.2f}")


def run_pages(workers: int, seed: int, overrides: list[str]) -> tuple[float, int, float]:
    """Seconds of a search, start-up included, epochs of its trials, and its best score."""
    cwd = Path(tempfile.mkdtemp(prefix="workers-"))
    command = [
        sys.executable, "-m", "docclf.train", "-m", "hparams_search=optuna", "search.timeout=null",
        f"search.workers={workers}", f"search.seed={seed}", "data.root=/tmp/docclf-workers-pages", *overrides,
    ]  # fmt: skip
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=cwd, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{cwd}/multirun/search/study.db")
    shutil.rmtree(cwd)
    return seconds, sum(len(trial.intermediate_values) for trial in study.trials), study.best_value


def pages(overrides: list[str]) -> None:
    seconds: dict[int, list[float]] = {1: [], 2: []}
    scores: dict[int, list[float]] = {1: [], 2: []}
    run_pages(1, 0, ["search.n_trials=1", *overrides])  # draws the pages and fills the cache
    print("seed  workers  seconds  epochs  best macro-F1", flush=True)
    for i, seed in enumerate(SEEDS):
        for workers in (1, 2) if i % 2 == 0 else (2, 1):
            spent, epochs, best = run_pages(workers, seed, overrides)
            seconds[workers].append(spent)
            scores[workers].append(best)
            print(f"{seed:4}  {workers:7}  {spent:7.0f}  {epochs:6}  {best:13.3f}", flush=True)
    one, two = (statistics.median(seconds[workers]) for workers in (1, 2))
    print(f"median {one:.0f} s with 1 worker, {two:.0f} s with 2: {one / two:.2f} times as fast")
    print(", ".join(f"median best of {n}: {statistics.median(found):.3f}" for n, found in scores.items()))


def train_for(seconds: float, batch_size: int) -> float:
    """Pages a second of a bare training loop."""
    import timm
    import torch

    net = timm.create_model("mobilenetv3_small_050", num_classes=12).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    pages = torch.randn(batch_size, 3, 96, 96).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 12, (batch_size,))
    started, n = time.perf_counter(), -3  # steps that warm up
    while n < 0 or time.perf_counter() < started + seconds:
        if n == 0:
            started = time.perf_counter()
        torch.nn.functional.cross_entropy(net(pages), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        n += 1
    return n * batch_size / (time.perf_counter() - started)


def run_loops(n: int, threads: int, batch_size: int) -> float:
    """Pages a second of some processes together."""
    variables = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "3000"}
    command = [sys.executable, __file__, "loop", str(batch_size)]
    loops = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}) for _ in range(n)
    ]
    return sum(float(loop.communicate()[0]) for loop in loops)


def cores() -> None:
    gains = []
    print("batch  pages/s of 1 process with 2 threads  of 2 with 1 thread  gain", flush=True)
    for batch_size in (16, 32, 64, 128):
        pairs = [(run_loops(1, 2, batch_size), run_loops(2, 1, batch_size)) for _ in range(3)]
        one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
        gains.append(two / one)
        print(f"{batch_size:5}  {one:35.0f}  {two:18.0f}  {gains[-1]:.2f}", flush=True)
    print(f"mean gain: {statistics.mean(gains):.2f}")


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if sys.argv[1:2] == ["toy"]:
        toy()
    elif sys.argv[1:2] == ["pages"]:
        pages(sys.argv[2:])
    elif sys.argv[1:2] == ["cores"]:
        cores()
    elif sys.argv[1:2] == ["loop"]:
        print(train_for(6.0, int(sys.argv[2])))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    if "WORKERS_TASK" in os.environ:
        logging.getLogger("optuna").setLevel(logging.WARNING)
        task()
    else:
        main()
