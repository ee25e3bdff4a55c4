"""What a folder of pages gives after so many seconds: macro-F1 on its test pages.

    python benchmarks/strength.py DIR                                          the weights that come along
    python benchmarks/strength.py DIR model.name=mobilenetv2_100 model.checkpoint_path=FILE
    python benchmarks/strength.py DIR --budgets 60 --seeds 0 --probe probe.py   and a script that prints its score last

DIR holds train.csv and test.csv (ID,target[,group]) and the images. For each budget and seed a search runs from
nothing, with an empty cache, and its winner predicts the test pages. Shown beside it: logistic regression on 24 x 24
grey pixels, and the probe. Three budgets of three seeds take about 45 min on 2 cores; keep the machine idle.
"""

import argparse
import csv
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def read(root: Path, split: str) -> tuple[list[Path], list[str]]:
    """Files and targets of a split."""
    with (root / f"{split}.csv").open(encoding="utf-8-sig") as file:
        rows = [(row["ID"], row["target"]) for row in csv.DictReader(file)]
    paths = [path if (path := root / split / name).exists() else root / name for name, _ in rows]
    return paths, [target for _, target in rows]


def pixels(root: Path) -> tuple[float, float]:
    """Macro-F1 on the test pages of logistic regression on grey pixels, and seconds."""
    started = time.perf_counter()
    sets = []
    for split in ("train", "test"):
        paths, targets = read(root, split)
        grey = [np.asarray(Image.open(path).convert("L").resize((24, 24), Image.Resampling.BOX)) for path in paths]
        sets.append((np.stack(grey).reshape(len(grey), -1) / 255, targets))
    (x, y), (test, truth) = sets
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)).fit(x, y)
    return float(f1_score(truth, model.predict(test), average="macro")), time.perf_counter() - started


def probe(script: Path, root: Path) -> tuple[float, float]:
    """The score that a script prints, and its seconds."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, script, root], check=True, stdout=subprocess.PIPE, text=True)
    return float(re.findall(r"test macro-F1 ([.\d]+)", done.stdout)[-1]), time.perf_counter() - started


def docclf(root: Path, budget: int, seed: int, overrides: list[str]) -> tuple[float, float, dict[str, float]]:
    """Macro-F1 on the test pages after a search, its seconds, and what it expects of other pages."""
    with tempfile.TemporaryDirectory() as folder:
        common = [
            sys.executable,
            "-m",
            "docclf.train",
            "-m",
            "hparams_search=optuna",
            "data=csv",
            f"data.root='{root}'",
        ]
        budgets = [f"search.timeout={budget}", "search.n_trials=null", f"search.seed={seed}", f"seed={seed}"]
        places = ["study_name=strength", f"data.cache_dir={folder}/cache"]
        started = time.perf_counter()
        subprocess.run([*common, *budgets, *places, *overrides], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        predict = [sys.executable, "-m", "docclf.predict", "run=multirun/strength", f"data.root='{root / 'test.csv'}'"]
        subprocess.run(predict, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        with Path(folder, "predictions.csv").open(encoding="utf-8") as file:
            predicted = {row["ID"]: row["target"] for row in csv.DictReader(file)}
        own = yaml.safe_load(Path(folder, "multirun/strength/best/result.yaml").read_text(encoding="utf-8"))
    with (root / "test.csv").open(encoding="utf-8-sig") as file:
        rows = [(row["target"], predicted[row["ID"]]) for row in csv.DictReader(file)]
    return float(f1_score(*zip(*rows, strict=True), average="macro")), seconds, own.get("expected_score", {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--budgets", type=int, nargs="+", default=[60, 180, 600], help="seconds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--probe", type=Path)
    arguments, overrides = parser.parse_known_args()
    root = arguments.root.resolve()
    print("what                 seconds  test   expected of other pages", flush=True)
    score, seconds = pixels(root)
    print(f"pixels + LR          {seconds:7.1f}  {score:.3f}", flush=True)
    bar = None
    if arguments.probe:
        bar, seconds = probe(arguments.probe.resolve(), root)
        print(f"probe                {seconds:7.1f}  {bar:.3f}", flush=True)
    for budget in arguments.budgets:
        scores = []
        for seed in arguments.seeds:
            score, seconds, expected = docclf(root, budget, seed, overrides)
            scores.append(score)
            said = "{macro_f1:.3f} ({low:.3f} to {high:.3f})".format(**expected) if expected else "no finalist in time"
            print(f"docclf {budget:4d} s seed {seed}   {seconds:7.1f}  {score:.3f}  {said}", flush=True)
        median = statistics.median(scores)
        ratio = f", error {(1 - median) / (1 - bar):.2f} of the probe's" if bar is not None else ""
        print(f"docclf {budget:4d} s median           {median:.3f}{ratio}", flush=True)


if __name__ == "__main__":
    main()
