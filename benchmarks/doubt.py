"""How far to believe labels and predictions: wrong labels found, answers that are right, pages of an unknown class.

    python benchmarks/doubt.py DIR [override ...]      about 8 min on 2 cores

DIR as for benchmarks/strength.py: train.csv, test.csv with targets, meta.csv, and the pages in train/ and test/.

flips: 5 % of the training labels are changed to another class, by five seeds. Counted is the share of them among the
first tenth of label_issues.csv.
abstain: pages of the test set that `predict abstain=0.95` answers, and how many of the answers are right.
unlike: each class is left out of training once. The area under the ROC curve of `novelty`, its pages in the test set
against all others.
"""

import csv
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from sklearn.metrics import roc_auc_score

SHARE, TOP, ASKED = 0.05, 0.1, 0.95


def run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", f"docclf.{module}", *arguments], check=True, stdout=subprocess.DEVNULL)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def copy(source: Path, target: Path, rows: list[dict[str, str]]) -> list[str]:
    """A data set with the same pages and these rows as its training pages; the overrides that take it."""
    target.mkdir()
    for name in ("train", "test", "test.csv", "meta.csv"):
        (target / name).symlink_to((source / name).resolve())
    with (target / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return ["data=csv", f"data.root={target}"]


def flips(source: Path, scratch: Path, overrides: list[str]) -> None:
    shares = []
    for seed in range(5):
        rows, draw = read(source / "train.csv"), random.Random(seed)
        classes = sorted({row["target"] for row in rows})
        changed = draw.sample(rows, round(SHARE * len(rows)))
        for row in changed:
            row["target"] = draw.choice([one for one in classes if one != row["target"]])
        out, pages = scratch / f"run-{seed}", copy(source, scratch / f"flips-{seed}", rows)
        run("train", *pages, *overrides, f"hydra.run.dir={out}")
        first = [row["ID"] for row in read(out / "label_issues.csv")][: round(TOP * len(rows))]
        shares.append(len({row["ID"] for row in changed} & set(first)) / len(changed))
    print(f"flips: {[round(share, 3) for share in shares]} found among the first tenth", flush=True)
    print(f"  median {statistics.median(shares):.3f}", flush=True)


def abstain(source: Path, scratch: Path, overrides: list[str]) -> None:
    out, pages = scratch / "whole", copy(source, scratch / "pages", read(source / "train.csv"))
    run("train", *pages, *overrides, "refit=folds", f"hydra.run.dir={out}")
    run("predict", f"run={out}", f"data.root={source}", f"abstain={ASKED}", f"output={out / 'found.csv'}")
    truth = {row["ID"]: row["target"] for row in read(source / "test.csv")}
    answered = [row for row in read(out / "found.csv") if not row["review"]]
    right = sum(truth[row["ID"]] == row["target"] for row in answered)
    print(f"abstain={ASKED}: {len(answered)} of {len(truth)} answered, {right / len(answered):.3f} right", flush=True)


def unlike(source: Path, scratch: Path, overrides: list[str]) -> None:
    rows, truth = read(source / "train.csv"), {row["ID"]: row["target"] for row in read(source / "test.csv")}
    areas = {}
    for name in sorted(set(truth.values()), key=int):
        rest, out = [row for row in rows if row["target"] != name], scratch / f"without-{name}"
        pages = copy(source, scratch / f"pages-{name}", rest)
        for file in ("test.csv", "meta.csv"):  # which would name the class
            (scratch / f"pages-{name}" / file).unlink()
        run("train", *pages, *overrides, "refit=folds", f"hydra.run.dir={out}")
        run("predict", f"run={out}", f"data.root={source / 'test'}", f"abstain={ASKED}", f"output={out / 'found.csv'}")
        found = read(out / "found.csv")
        is_new = [truth[row["ID"]] == name for row in found]
        areas[name] = roc_auc_score(is_new, [float(row["novelty"]) for row in found])
        print(f"  without class {name}: {areas[name]:.3f}", flush=True)
    print(f"unlike: mean {statistics.mean(areas.values()):.3f}, least {min(areas.values()):.3f}", flush=True)


def main(source: str, *overrides: str) -> None:
    with tempfile.TemporaryDirectory(prefix="doubt-") as scratch:
        for measure in (flips, abstain, unlike):
            measure(Path(source), Path(scratch), list(overrides))


if __name__ == "__main__":
    main(*sys.argv[1:])
