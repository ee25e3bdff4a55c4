"""Whether the winner of a search is better than the baseline where it counts, and whether nothing wins among noise.

    python benchmarks/winner.py real [SEED ...]         5 seeds, about 35 min on 2 cores
    python benchmarks/winner.py shuffled [SEED ...]     20 seeds with shuffled labels, about 20 min
    python benchmarks/winner.py DIR [SEED ...]          10 seeds of pages of one's own, about 25 min

`real`: the default search for every seed; winner and baseline are trained on all pages (refit=all), and score the test
pages of the data set and ten times as many of the same kind. Counted is how often the winner is above the baseline on
the test pages, and how often the interval of the difference on them holds the difference on the many.
`shuffled`: reduced searches on pages whose labels mean nothing. Counted is how often a search says so.
`DIR`, as for benchmarks/strength.py: searches of two minutes that export the mean of several trials. Counted is how
often its interval holds its score on the test pages, and how often it is not below the winner there.
"""

import csv
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.metrics import f1_score

from docclf.demo import draw_pages
from docclf.metrics.resampling import compare_scores
from docclf.metrics.scores import macro_f1
from docclf.results.reading import read_predictions

TRAIN = [sys.executable, "-m", "docclf.train"]
SMALL = ["data.image_size=48", "validation.epochs=2", "search.n_trials=6", "search.timeout=null"]


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def search(folder: Path, root: Path, seed: int, *overrides: str) -> Any:
    """The verdict of a search in `folder`."""
    name = ["hparams_search=optuna", f"hydra.sweep.dir={folder}", "study_name=winner", f"search.seed={seed}"]
    run(*TRAIN, "-m", *name, f"data.root={root}", *overrides)
    return yaml.safe_load((folder / "best" / "verdict.yaml").read_text(encoding="utf-8"))


def predicted(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels and predicted classes of a file of predictions, as indices, and the classes' names."""
    found = read_predictions(path)
    return np.array([int(t) for t in found.targets]), found.probabilities.argmax(axis=1), found.class_names


def real(scratch: Path, seeds: list[int]) -> None:
    root, many = scratch / "pages", scratch / "many"
    draw_pages(root, pages_per_class=70, test_pages_per_class=30)
    draw_pages(many, pages_per_class=2, test_pages_per_class=300, seed=1)
    print("seed  verdict  winner  baseline  difference on the test pages  on ten times as many  covered", flush=True)
    won = covered = 0
    for seed in seeds:
        folder = scratch / f"search-{seed}"
        verdict = search(folder, root, seed)
        where = {"winner": ["--config-dir", str(folder / "best"), "--config-name", "config"], "baseline": []}
        shared = ["refit=all", "keep_checkpoints=none", f"data.root={root}"]
        test, large = {}, {}
        for who, config in where.items():
            out = scratch / f"{who}-{seed}"
            run(*TRAIN, *config, *shared, f"hydra.run.dir={out}")
            test[who] = predicted(out / "predictions_test.csv")
            predict = [sys.executable, "-m", "docclf.predict", f"run={out}", f"data.root={many}"]
            run(*predict, f"output={out / 'many.csv'}")
            with (out / "many.csv").open(newline="", encoding="utf-8") as file:
                large[who] = [row["target"] for row in csv.DictReader(file)]
        with (many / "test.csv").open(newline="", encoding="utf-8") as file:
            truth = np.array([int(row["target"]) for row in csv.DictReader(file)])
        labels, ours, names = test["winner"]
        n, theirs = len(names), test["baseline"][1]
        near = compare_scores(labels, ours, theirs, n)
        scores = [macro_f1(truth, np.array(list(map(int, large[who]))), n) for who in where]
        far = scores[0] - scores[1]
        won += near.value > 0
        covered += near.low <= far <= near.high
        beats = "beats" if verdict["beats_baseline"] else "no"
        scored = f"{macro_f1(labels, ours, n):.3f}   {macro_f1(labels, theirs, n):.3f}    "
        print(f"{seed:>4}  {beats:<7}  {scored} {near}  {far:+.3f}  {near.low <= far <= near.high}", flush=True)
    print(f"winner above the baseline on the test pages: {won} of {len(seeds)}; interval holds: {covered}")


def shuffled(scratch: Path, seeds: list[int]) -> None:
    root = scratch / "pages"
    draw_pages(root, pages_per_class=30, test_pages_per_class=1)
    with (root / "train.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    silent = 0
    for seed in seeds:
        targets = [row["target"] for row in rows]
        random.Random(seed).shuffle(targets)
        with (root / "train.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["ID", "target"])
            writer.writerows(zip((row["ID"] for row in rows), targets, strict=True))
        verdict = search(scratch / f"search-{seed}", root, seed, "data.draw=null", *SMALL)
        silent += not verdict["beats_baseline"]
        print(f"{seed:>4}  {verdict['verdict']}", flush=True)
    print(f"nothing beats the baseline: {silent} of {len(seeds)}")


def ensembles(scratch: Path, root: Path, seeds: list[int], overrides: list[str]) -> None:
    with (root / "test.csv").open(newline="", encoding="utf-8-sig") as file:
        truth = [row["target"] for row in csv.DictReader(file)]
    print("seed  trials  expected              test   winner on test", flush=True)
    held = better = n = 0
    for seed in seeds:
        folder = scratch / f"search-{seed}"
        pages = ["data=csv", "search.timeout=2m", "search.n_trials=null"]
        verdict = search(folder, root, seed, *pages, "search.ensemble=true", *overrides)
        found = verdict.get("ensemble", {"exported": False, "text": verdict["verdict"]})
        if not found["exported"]:
            print(f"{seed:>4}  {found['text']}", flush=True)
            continue
        scores = []
        for i, run_folder in enumerate((folder, folder / verdict["winner"]["folder"])):
            output = scratch / f"{seed}-{i}.csv"
            predict = [sys.executable, "-m", "docclf.predict", f"run={run_folder}", f"data.root='{root / 'test.csv'}'"]
            run(*predict, f"output={output}")
            with output.open(newline="", encoding="utf-8") as file:
                scores.append(f1_score(truth, [row["target"] for row in csv.DictReader(file)], average="macro"))
        n += 1
        held += found["low"] <= scores[0] <= found["high"]
        better += scores[0] >= scores[1]
        expected = f"{found['macro_f1']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
        print(f"{seed:>4}  {len(found['trials']):>6}  {expected}  {scores[0]:.3f}  {scores[1]:.3f}", flush=True)
    print(f"interval holds: {held} of {n}; not below the winner: {better} of {n}")


if __name__ == "__main__":
    what = sys.argv[1]
    seeds = [int(text) for text in sys.argv[2:] if text.isdigit()]
    overrides = [text for text in sys.argv[2:] if not text.isdigit()]
    with tempfile.TemporaryDirectory() as place:
        if what == "real":
            real(Path(place), seeds or list(range(5)))
        elif what == "shuffled":
            shuffled(Path(place), seeds or list(range(20)))
        else:
            ensembles(Path(place), Path(what).resolve(), seeds or list(range(10)), overrides)
