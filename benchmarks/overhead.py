"""How much of a trial's time is spent in training and validation steps.

    python benchmarks/overhead.py [override ...]        about 2 min on 2 cores

Runs a whole trial of the default search (data listed, folds, Lightning, result files) and a bare PyTorch loop that does
the same steps on the same pages, in turn, and prints bare / trial: the share of a trial that is work.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.core.utils import setup_globals
from hydra.utils import execution_whitelist, instantiate
from omegaconf import DictConfig

from docclf import CONF_DIR
from docclf.data.augment import resize
from docclf.data.folds import split_pages
from docclf.data.module import EvenBatches, PageDataModule
from docclf.models.classifier import PageClassifier, macro_f1
from docclf.train import TARGETS, train

ROUNDS = 3


def bare(cfg: DictConfig, data: PageDataModule) -> list[float]:
    """The same trainings as one trial, with nothing around them. Returns the score of each fold."""
    images, labels = data.data.train_images, torch.from_numpy(data.labels)
    scores = []
    names = data.pages.class_names
    folds = split_pages(data.pages.train, n_folds=cfg.validation.folds, seed=cfg.seed, class_names=names)
    for fold in range(cfg.validation.folds):
        torch.manual_seed(cfg.seed)
        model: PageClassifier = instantiate(
            cfg.model,
            num_classes=len(data.pages.class_names),
            image_size=data.image_size,
            optimizer=instantiate(cfg.optimizer),
            scheduler=instantiate(cfg.scheduler),
        ).to(memory_format=torch.channels_last)
        train_rows, rows = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        batches = EvenBatches(train_rows, cfg.data.batch_size)
        optimizer = instantiate(cfg.optimizer)(model.net.parameters())
        schedule = instantiate(cfg.scheduler)(optimizer, total_steps=len(batches) * cfg.validation.epochs)
        best = 0.0
        for _ in range(cfg.validation.epochs):
            model.train()
            for batch in batches:
                pages = data.augment(torch.from_numpy(images[batch]), data.image_size)
                logits = model(pages)
                optimizer.zero_grad()
                F.cross_entropy(logits, labels[batch]).backward()
                optimizer.step()
                schedule.step()
            model.eval()
            with torch.inference_mode():
                parts = [
                    resize(torch.from_numpy(images[rows[i : i + 256]]), data.image_size)
                    for i in range(0, len(rows), 256)
                ]
                logits = torch.cat([model(part) for part in parts])
            best = max(best, float(macro_f1(logits, labels[rows], logits.shape[1])))
        scores.append(best)
    return scores


def main() -> None:
    setup_globals()
    with initialize_config_dir(str(CONF_DIR)), execution_whitelist(TARGETS):
        cfg = compose("train", overrides=sys.argv[1:])
        data = instantiate(cfg.data, augment=instantiate(cfg.augment))
        seconds: dict[str, list[float]] = {"bare": [], "trial": []}
        for round_number in range(ROUNDS + 1):  # the first warms up
            started = time.perf_counter()
            scores = bare(cfg, data)
            middle = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                mean = train(cfg, Path(folder))
            if round_number:
                seconds["bare"].append(middle - started)
                seconds["trial"].append(time.perf_counter() - middle)
    for name, values in seconds.items():
        print(f"{name:6} median {statistics.median(values):.1f} s  ({', '.join(f'{value:.1f}' for value in values)})")
    shares = [a / b for a, b in zip(seconds["bare"], seconds["trial"], strict=True)]
    print(f"share of a trial that is work: median {statistics.median(shares):.0%}")
    print(f"macro-F1 bare {statistics.mean(scores):.3f}, trial {mean:.3f}")


if __name__ == "__main__":
    main()
