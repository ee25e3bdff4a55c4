"""The LightningModule around a timm backbone."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from docclf.backbone import make_net, normalisation, with_weights
from docclf.errors import NonFiniteLossError


class PageClassifier(pl.LightningModule):
    """Classifies page images with any timm backbone.

    Args:
        name: Name of a timm model, see `timm.list_models()`.
        num_classes: Number of classes.
        image_size: Height and width of the input in pixels, for backbones that are built for one size.
        pretrained: Start from the weights that timm's hub has for `name`.
        checkpoint_path: Start from this file instead; its classifier is left out if its classes are others.
        drop_rate: Dropout before the classifier, in [0, 1).
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        class_weights: Weight of each class in the loss, of length num_classes; None or False weighs all alike.
        channels: Of the images: 3 for RGB, 1 for grey.
        epoch_batch_norm: Batch normalisation validates with the mean statistics of the epoch just trained, not with
            running averages, which lag far behind in trainings of few steps.
        optimizer: Makes the optimizer from parameter groups.
        scheduler: Makes the learning-rate schedule from optimizer and `total_steps`.

    Raises:
        ConfigError: timm has no such model, or its weights cannot be had: from the hub, or from the file.
    """

    def __init__(
        self,
        name: str,
        *,
        num_classes: int,
        image_size: int,
        optimizer: Callable[[Any], Optimizer],
        scheduler: Callable[..., LRScheduler],
        pretrained: bool = False,
        checkpoint_path: str | None = None,
        drop_rate: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | bool | None = None,
        channels: int = 3,
        epoch_batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.epoch_batch_norm = epoch_batch_norm
        make = partial(make_net, name, num_classes, image_size, channels, drop_rate=drop_rate)
        self.net = with_weights(make, name, pretrained=pretrained, checkpoint_path=checkpoint_path)
        for key, values in zip(("mean", "std"), normalisation(self.net, channels), strict=True):
            self.register_buffer(key, torch.tensor(values).reshape(-1, 1, 1), persistent=False)
        weights = torch.tensor(class_weights, dtype=torch.float32) if class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)
        self.class_weights: Tensor | None
        self.mean: Tensor
        self.std: Tensor
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._outputs: list[tuple[Tensor, Tensor]] = []
        self.logits = torch.empty(0, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, num_classes) for RGB images of shape (n, 3, height, width) in [0, 1]."""
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.net(normalised)
        return logits

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(list(_parameter_groups(self.net)))
        total_steps = int(self.trainer.estimated_stepping_batches)
        schedule = self._make_scheduler(optimizer, total_steps=total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        self._loss = torch.zeros((), device=self.device)
        self._n_batches = 0
        if self.epoch_batch_norm:
            for module in self.net.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.reset_running_stats()
                    module.momentum = None  # torch's way to say: the mean over all batches since the reset

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        loss = F.cross_entropy(self(images), labels, weight=self.class_weights, label_smoothing=self.label_smoothing)
        self._loss += loss.detach()  # on the device: to look at it would stop the GPU at every step
        self._n_batches += 1
        return loss

    def on_train_epoch_end(self) -> None:
        loss = float(self._loss) / max(self._n_batches, 1)
        self._require_finite(loss, "training")
        self.log("train/loss", loss)

    def _require_finite(self, loss: float, split: str) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"The {split} loss became {loss} in epoch {self.current_epoch + 1}. "
                "A smaller optimizer.lr or a longer scheduler.warmup may help."
            )

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        self._outputs.append((self(images), labels))

    def on_validation_epoch_start(self) -> None:
        self._outputs.clear()

    def on_validation_epoch_end(self) -> None:
        """Score all pages at once; `self.logits` keeps their logits, float32 of shape (n, num_classes), in order."""
        # Lightning validates before the training epoch ends: no score of a broken model may be reported.
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._require_finite(float(self._loss), "training")
        logits = torch.cat([logits for logits, _ in self._outputs]).float()
        labels = torch.cat([labels for _, labels in self._outputs])
        self._outputs.clear()
        self.logits = logits
        split = "test" if self.trainer.testing else "val"
        loss = F.cross_entropy(logits, labels)
        self._require_finite(float(loss), {"val": "validation"}.get(split, split))  # the last step may have broken it
        self.log(f"{split}/loss", loss)
        self.log(f"{split}/accuracy", multiclass_accuracy(logits, labels, self.num_classes, average="micro"))
        self.log(f"{split}/macro_f1", macro_f1(logits, labels, self.num_classes))

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end


def macro_f1(logits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Unweighted mean of the classes' F1 = 2 TP / (2 TP + FP + FN).

    A class that is neither among the labels nor among the predictions has no F1 and is left out of the mean, as
    scikit-learn's `f1_score(average="macro")` does.

    Args:
        logits: Shape (n, num_classes).
        labels: Class indices, shape (n,).

    >>> macro_f1(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 0]), 3)
    tensor(0.6667)
    """
    return multiclass_f1_score(logits, labels, num_classes, average="macro")


def cosine(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.1) -> LRScheduler:
    """Linear warm-up, then half a cosine down to zero, step by step.

    Args:
        total_steps: Steps of the optimizer in the whole training.
        warmup: Share of the steps in which the learning rate rises, in [0, 1).
    """
    n_warmup = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < n_warmup:
            return (step + 1) / n_warmup
        return 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / max(total_steps - n_warmup, 1)))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.0) -> LRScheduler:
    """Linear warm-up, then the same learning rate to the end. Arguments as for `cosine`."""
    n_warmup = round(warmup * total_steps)
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(n_warmup, 1)))


def _parameter_groups(net: torch.nn.Module) -> Iterator[dict[str, Any]]:
    """Weights, and apart from them what is not decayed: biases and scales of normalisation layers."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    yield {"params": [p for p in parameters if p.ndim > 1]}
    yield {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}
