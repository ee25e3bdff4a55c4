"""What each part of the recipe brings: one training for each row, the defaults but for what the row says.

    python benchmarks/recipe.py DIR                                          the weights that come along
    python benchmarks/recipe.py DIR model.name=mobilenetv2_100 model.checkpoint_path=FILE
    python benchmarks/recipe.py DIR --only views --seeds 0 1 2

DIR as for benchmarks/strength.py. Printed are macro-F1 over the folds, on the test pages, and seconds: means over seeds
of folds and trainings. Heads take a few minutes together, fine-tuning half an hour on 2 cores.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HEAD = {
    "head": "",
    "one size": "model.head.scales=[1.0]",
    "last features alone": "model.head.stages=false",
    "no aspect ratio": "model.head.aspect=false",
    "probe: none of these": (
        "model.head.scales=[1.0] model.head.stages=false model.head.aspect=false model.head.sqrt=false"
    ),
    "letterbox": "data.fit=letterbox",
    "320 px": "data.image_size=320",
    "320 px, letterbox": "data.image_size=320 data.fit=letterbox",
    "160 px": "data.image_size=160",
    "first order alone": "model.head.second_order=false",
    "C 1": "model.head.C=1",
    "C 0.01": "model.head.C=0.01",
    "C 10": "model.head.C=10",
    "features as they are": "model.head.sqrt=false",
    "pages weigh alike": "model.class_weights=false",
    "2 augmented views": "model.head.views=2",
}
TUNED = "model.tune=last"
NET = {
    "last stages": "",
    "all stages": "model.tune=all",
    "8 epochs": "validation.epochs=8",
    "letterbox": "data.fit=letterbox",
    "no layer decay": "model.layer_decay=1",
    "layer decay 0.5": "model.layer_decay=0.5",
    "no warm-up": "scheduler.warmup=0",
    "constant rate": "scheduler=constant",
    "batch norm: running": "model.batch_norm=running",
    "batch norm: epoch": "model.batch_norm=epoch",
    "moving average": "model.ema=0.98",
    "no label smoothing": "model.label_smoothing=0",
    "gradient clipping": "trainer.gradient_clip_val=1",
    "no augmentation": "augment=none",
    "scan augmentation": "augment=scan",
    "float32": "trainer.precision=32-true",
}


def run(root: Path, overrides: list[str], seed: int, cache: str) -> dict[str, float]:
    """Scores and seconds of one training."""
    with tempfile.TemporaryDirectory() as folder:
        data = ["data=csv", f"data.root='{root}'", f"data.cache_dir={cache}"]
        command = [
            sys.executable,
            "-m",
            "docclf.train",
            *data,
            f"hydra.run.dir={folder}",
            f"seed={seed}",
            "refit=folds",
        ]
        subprocess.run([*command, *overrides], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        result = yaml.safe_load(Path(folder, "result.yaml").read_text(encoding="utf-8"))
    kept = {f"of {kind}": score for kind, score in result.get("kept_scores", {}).items()}
    test = result["refit"]["test/macro_f1"]
    return {"folds": result["mean"], "test": test, "seconds": result["seconds"], **kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", default="", help="rows whose name has this text")
    arguments, overrides = parser.parse_known_args()
    rows = [*(("", *row) for row in HEAD.items()), *((TUNED, *row) for row in NET.items())]
    with tempfile.TemporaryDirectory() as cache:
        print(f"{'row':36} folds   test  seconds", flush=True)
        for first, name, changed in rows:
            if arguments.only not in name:
                continue
            given = [*overrides, *first.split(), *changed.split()]
            runs = [run(arguments.root.resolve(), given, seed, cache) for seed in arguments.seeds]
            means = {key: statistics.fmean(one[key] for one in runs) for key in runs[0]}
            more = "  ".join(f"{key} {value:.3f}" for key, value in means.items() if key.startswith("of "))
            row = f"{'fine-tuned: ' if first else ''}{name}"
            print(f"{row:36} {means['folds']:.3f}  {means['test']:.3f}  {means['seconds']:7.1f}  {more}", flush=True)


if __name__ == "__main__":
    main()
