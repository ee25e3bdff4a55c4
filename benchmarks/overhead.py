"""Images a second in a trial that fine-tunes, beside a bare loop of timm and PyTorch that takes the same steps.

    python benchmarks/overhead.py [override ...]        about 5 min on 2 cores

Both train the last stages of the same net on the same folds, pages and augmentation, and validate after each epoch. The
trial is docclf's, with all that surrounds the steps and all that makes them fast; the loop has the allocator, threads,
memory layout and precision that PyTorch has by itself. Each runs in its own process, in turn.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from omegaconf import OmegaConf

ROUNDS = 3
OVERRIDES = ["model.tune=last", "validation.augment=null", "refit=false"]


def trial(overrides: list[str]) -> dict[str, float]:
    """One run of docclf."""
    import docclf

    with tempfile.TemporaryDirectory() as folder:
        result = docclf.train([*overrides, f"hydra.run.dir={folder}"]).result
        validation = OmegaConf.load(Path(folder) / ".hydra" / "config.yaml").validation
    n = result["data"]["pages"] * (1 - 1 / validation.folds) * len(result["folds"]) * validation.epochs
    return {"images": n / result["metrics"]["train_seconds"], "score": result["kept_scores"]["net"]}


def bare(overrides: list[str]) -> dict[str, float]:
    """The same folds with nothing around them."""

    import numpy as np
    import torch
    import torch.nn.functional as F
    from hydra import compose, initialize_config_dir
    from hydra.utils import execution_whitelist
    from sklearn.metrics import f1_score

    from docclf import CONF_DIR
    from docclf.data.augment.batch import resize
    from docclf.data.folds import split_pages
    from docclf.data.module import EvenBatches
    from docclf.models.backbone import normalisation, with_weights
    from docclf.models.tuning import freeze_first
    from docclf.safety.targets import build, whitelist

    with initialize_config_dir(str(CONF_DIR)), execution_whitelist(whitelist()):
        cfg = compose("train", overrides=overrides)
        data = build(cfg.data, "data", augment=build(cfg.augment, "augment"))
        make_optimizer, make_scheduler = build(cfg.optimizer, "optimizer"), build(cfg.scheduler, "scheduler")
    images, labels, size, n_classes = (
        data.dataset.train_images,
        data.labels,
        data.image_size,
        len(data.pages.class_names),
    )
    folds = split_pages(
        data.pages.train, n_folds=cfg.validation.folds, seed=cfg.validation.seed, class_names=data.pages.class_names
    )
    scores, n, seconds = [], 0, 0.0
    for fold in range(cfg.validation.folds):
        torch.manual_seed(cfg.seed)
        train, rows = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        started = time.perf_counter()
        name, channels = cfg.model.name, cfg.data.channels
        net, _ = with_weights(
            name,
            (n_classes, size, channels),
            pretrained=cfg.model.pretrained,
            checkpoint_path=cfg.model.checkpoint_path,
        )
        mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in normalisation(net, channels))
        freeze_first(net)
        batches = EvenBatches(train, cfg.data.batch_size)
        optimizer = make_optimizer([parameter for parameter in net.parameters() if parameter.requires_grad])
        schedule = make_scheduler(optimizer, total_steps=len(batches) * cfg.validation.epochs)
        best = 0.0
        for _ in range(cfg.validation.epochs):
            net.train()
            for batch in batches:
                pages = data.augment.view(torch.from_numpy(images[batch]), size)[0]
                loss = F.cross_entropy(net((pages - mean) / std), torch.from_numpy(labels[batch]))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                n += len(batch)
            net.eval()
            with torch.inference_mode():
                parts = [torch.from_numpy(images[rows[i : i + 64]]) for i in range(0, len(rows), 64)]
                found = torch.cat([net((resize(part, size) - mean) / std) for part in parts]).argmax(1).numpy()
            best = max(best, float(f1_score(labels[rows], found, average="macro")))
        seconds += time.perf_counter() - started
        scores.append(best)
    return {"images": n / seconds, "score": statistics.mean(scores)}


def main() -> None:
    if sys.argv[1:2] in (["--bare"], ["--trial"]):
        print(json.dumps((bare if sys.argv[1] == "--bare" else trial)([*OVERRIDES, *sys.argv[2:]])))
        return
    found: dict[str, list[dict[str, float]]] = {"bare": [], "trial": []}
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    for round_number in range(ROUNDS + 1):  # the first draws pages and computes features
        for name, results in found.items():
            command = [sys.executable, __file__, f"--{name}", *sys.argv[1:]]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            if round_number:
                results.append(json.loads(done.stdout.strip().splitlines()[-1]))
    for name, results in found.items():
        rates = [result["images"] for result in results]
        shown = ", ".join(f"{rate:.1f}" for rate in rates)
        print(f"{name:5}  {statistics.median(rates):5.1f} images/s ({shown})  macro-F1 {results[-1]['score']:.3f}")
    ratios = [a["images"] / b["images"] for a, b in zip(found["trial"], found["bare"], strict=True)]
    print(f"trial beside bare: median {statistics.median(ratios):.2f} times as many images a second")


if __name__ == "__main__":
    main()
