"""Parts of your own for docclf: a net, a model, a loss, a reader, an augmentation, a schedule, a callback, ..."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from docclf.data.augment.batch import BatchAugment
from docclf.data.pages import Pages, PageSet
from docclf.loggers.run import RunLogger
from docclf.models.classifier import PageClassifier


class SmallNet(nn.Sequential):
    """Any `nn.Module` that takes `num_classes`: normalised images in, logits out."""

    def __init__(self, num_classes: int, width: int = 16, channels: int = 3) -> None:
        super().__init__(
            nn.Sequential(nn.Conv2d(channels, width, 5, stride=4, padding=2), nn.BatchNorm2d(width), nn.ReLU()),
            nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU()),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * width, num_classes),
        )


class NoisyClassifier(PageClassifier):
    """A LightningModule of your own: here every training step sees a little noise."""

    def __init__(self, *args: Any, noise: float = 0.01, **options: Any) -> None:
        super().__init__(*args, **options)
        self.noise = noise

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, labels = batch
        return super().training_step((images + self.noise * torch.randn_like(images), labels), index)


class FocalLoss(nn.Module):
    """Cross-entropy in which pages that are classified well count less (Lin et al., arXiv 1708.02002)."""

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, labels, reduction="none")
        return ((1 - torch.exp(-losses)) ** self.gamma * losses).mean()


def read_json_lines(root: Path) -> PageSet:
    """Pages of a file with a line {"file": ..., "label": ...} each."""
    lines = [json.loads(line) for line in (root / "pages.jsonl").read_text(encoding="utf-8").splitlines()]
    names = sorted({line["label"] for line in lines})
    files = [line["file"] for line in lines]
    labels = np.array([names.index(line["label"]) for line in lines])
    return PageSet(names, names, Pages(files, [root / file for file in files], labels))


class Inverted(BatchAugment):
    """An augmentation: some batches as their negatives, after those of `BatchAugment`."""

    def __init__(self, share: float = 0.1, **options: float) -> None:
        super().__init__(**options)
        self.share = share
        self.identity += f" inverted {share}"

    def view(self, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        images, aspects = super().view(*args, **options)
        return (1 - images if torch.rand(()) < self.share else images), aspects


def one_cycle(optimizer: Optimizer, *, total_steps: int, peak: float = 3e-3) -> LRScheduler:
    """A schedule: made for each training, with the number of its steps."""
    return OneCycleLR(optimizer, peak, total_steps=max(total_steps, 2))


class GradientNorm(pl.Callback):
    """A Lightning callback: logs the mean norm of the gradients of each epoch."""

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        gradients = [p.grad.norm() for p in pl_module.parameters() if p.grad is not None]
        pl_module.log("train/gradient_norm", torch.stack(gradients).norm(), on_step=False, on_epoch=True)


class LineLogger(RunLogger):
    """A logger: a line for each run, in one file."""

    def finish(self, result: Mapping[str, Any]) -> None:
        with (self.run.folder / "line.txt").open("w", encoding="utf-8") as file:
            file.write(f"{self.run.name} {result['state']} {self.run.value(result)}\n")


class LuckySampler(optuna.samplers.RandomSampler):
    """A sampler: any of Optuna's, or one that is derived from its base class."""
