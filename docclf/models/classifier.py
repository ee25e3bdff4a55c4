"""The LightningModule around a timm backbone."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from docclf.errors import ConfigError, NonFiniteLossError
from docclf.models.backbone import normalisation, with_weights
from docclf.models.frozen.head import Head, HeadOptions
from docclf.models.fused_norms import fuse_in_training
from docclf.models.tuning import (
    begin_epoch,
    choose_batch_norm,
    freeze_first,
    keep_depthwise_in_32_bit,
    moving_average,
    parameter_groups,
    scale_rates,
    weighted_cross_entropy,
)


class PageClassifier(pl.LightningModule):
    """Classifies page images with any timm backbone, or with a net of one's own.

    Of a LightningModule that stands in its place docclf needs: `net` and `kept`, the nets that are trained and kept,
    which take images that `mean` and `std` have normalised; `start`; and of every validation `logits` and
    `clean_logits`, and that it logs `val/macro_f1`. A class derived from this one has all that.

    Args:
        name: Name of a timm model, see `timm.list_models()`.
        num_classes: Number of classes.
        image_size: Height and width of the input in pixels, for backbones that are built for one size.
        tune: `all` trains the whole net, `last` its last stages and the classifier; `head`, which trains no net, is
            not for here.
        pretrained: Start from trained weights: True, False, or `auto` where they can be had.
        checkpoint_path: Start from this file instead; its classifier is left out if its classes are others.
        head: Of the frozen net, see `docclf.models.frozen.head.HeadOptions`; `start` takes a fitted one.
        drop_rate: Dropout before the classifier, in [0, 1).
        label_smoothing: Fraction of the target spread over all classes, in [0, 1).
        class_weights: Weight of each class in the loss, of length num_classes; None or False weighs all alike.
        channels: Of the images: 3 for RGB, 1 for grey.
        layer_decay: Factor on the learning rate from each stage to the one before it, in (0, 1]; applies to trained
            weights only.
        batch_norm: What batch normalisation trains and validates with. `frozen`: the statistics of the trained weights,
            which is right for batches of any size; `running`: those of the batch, and running averages; `epoch`:
            likewise, with the mean over the epoch just trained instead of running averages, which lag far behind in
            trainings of few steps; `auto`: frozen for trained weights, epoch for random ones.
        ema: Decay of the exponential moving average of the weights that is validated and kept, in [0, 1); 0: none.
        epoch_batch_norm: What `batch_norm` was called before: True is `epoch`, False `running`.
        net: Makes a net that takes the place of the backbone, see `docclf.models.backbone.make_own_net`; its weights
            count as trained where `pretrained` is True.
        loss: Mean loss of logits of shape (n, num_classes) and class indices of shape (n,), or, with mixup or cutmix,
            probabilities of shape (n, num_classes); None for cross-entropy. Parameters of a module are trained.
        optimizer: Makes the optimizer from parameter groups.
        scheduler: Makes the learning-rate schedule from optimizer and `total_steps`.

    Raises:
        ConfigError: timm has no such model, or its weights cannot be had: from the hub, or from the file.
    """

    _n_averaged = 0

    def __init__(
        self,
        name: str,
        *,
        num_classes: int,
        image_size: int,
        optimizer: Callable[[Any], Optimizer],
        scheduler: Callable[..., LRScheduler],
        tune: str = "all",
        pretrained: bool | str = False,
        checkpoint_path: str | None = None,
        head: HeadOptions | None = None,
        drop_rate: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | bool | None = None,
        channels: int = 3,
        layer_decay: float = 1.0,
        batch_norm: str = "auto",
        ema: float = 0.0,
        epoch_batch_norm: bool | None = None,
        net: Callable[..., torch.nn.Module] | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self._is_own, self._shape = net is not None, (channels, image_size, image_size)
        self.num_classes, self.label_smoothing, self.loss = num_classes, label_smoothing, loss
        shape = (num_classes, image_size, channels)
        weights: dict[str, Any] = {"pretrained": pretrained, "checkpoint_path": checkpoint_path}
        self.net, is_trained = with_weights(name, shape, own=net, drop_rate=drop_rate, **weights)
        self.batch_norm = choose_batch_norm(batch_norm, epoch_batch_norm, is_trained=is_trained)
        self.layer_decay = layer_decay if is_trained else 1.0
        keep_depthwise_in_32_bit(self.net)
        if tune == "last":
            freeze_first(self.net)
        self.averaged = moving_average(self.net, ema) if ema else None
        self._keep_constants(channels, class_weights or None)
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._outputs: list[list[tuple[Tensor, Tensor]]] = []  # of each loader
        self.logits = torch.empty(0, num_classes)
        self.clean_logits: Tensor | None = None

    def _keep_constants(self, channels: int, class_weights: Any) -> None:
        """Keep what moves to the device with the net and is no part of its weights."""
        for key, values in zip(("mean", "std"), normalisation(self.net, channels), strict=True):
            self.register_buffer(key, torch.tensor(values).reshape(-1, 1, 1), persistent=False)
        weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weight, persistent=False)
        self.class_weights: Tensor | None
        self.mean: Tensor
        self.std: Tensor

    def start(self, head: Head) -> None:
        """Take a head that was fitted to the frozen net's last features as the classifier to start from.

        Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution" (LP-FT, arXiv
        2202.10054). A net of one's own, which sees other features, starts from its own classifier, and so does one
        whose classifier is not one linear layer of these shapes.
        """
        if self._is_own:
            return
        classifier = self.net.get_classifier() if hasattr(self.net, "get_classifier") else None
        weight = torch.from_numpy(head.weight)
        if not isinstance(classifier, torch.nn.Linear) or classifier.weight.shape != weight.shape:
            return
        with torch.no_grad():
            classifier.weight.copy_(weight)
            if classifier.bias is not None:
                # A class without training pages has a logit of -10,000, from which nothing could be learnt.
                classifier.bias.copy_(torch.from_numpy(head.bias).clamp_min(-10.0))

    @property
    def kept(self) -> torch.nn.Module:
        """The net that is validated and kept: the moving average where there is one."""
        return self.net if self.averaged is None else self.averaged.module

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (n, num_classes) for RGB images of shape (n, 3, height, width) in [0, 1]."""
        normalised = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        net = self.net if self.training else self.kept
        given = next((parameter.dtype for parameter in net.parameters()), normalised.dtype)  # with trainer.precision
        logits: Tensor = net(normalised.to(given))
        if logits.shape[1:] != (self.num_classes,):
            shapes = f"(n, {self.num_classes}), a number for each class, got {tuple(logits.shape)}"
            raise ConfigError(f"Expected the net to return logits of shape {shapes}. Change its last layer.")
        return logits if given.itemsize > 2 else logits.float()

    def trained_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters for the optimizer: those of the net, and of a loss that learns too."""
        groups = [*parameter_groups(self.net, self.layer_decay)]
        if isinstance(self.loss, torch.nn.Module):  # of a temperature, margins or centres
            groups += parameter_groups(self.loss, 1.0)
        return groups

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(self.trained_groups())
        scale_rates(optimizer)
        total_steps = int(self.trainer.estimated_stepping_batches)
        schedule = self._make_scheduler(optimizer, total_steps=total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_fit_start(self) -> None:
        if self.batch_norm == "frozen" and self.device.type == "cpu" and not self._is_own:
            for net in dict.fromkeys((self.net, self.kept)):
                fuse_in_training(net, self._shape)

    def on_train_start(self) -> None:
        self._n_averaged = self.trainer.global_step  # of a training that goes on, not 0

    def on_train_epoch_start(self) -> None:
        self._loss = torch.zeros((), device=self.device)
        self._n_batches = 0
        begin_epoch(self.net, self.batch_norm)

    def on_train_batch_end(self, *_: Any) -> None:
        if self.averaged is not None and self.trainer.global_step != self._n_averaged:  # not while gradients accumulate
            self.averaged.update_parameters(self.net)
            self._n_averaged = self.trainer.global_step

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        logits = self(images)
        if self.loss is not None:
            loss = self.loss(logits, labels)
        else:
            loss = weighted_cross_entropy(logits, labels, self.class_weights, self.label_smoothing)
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

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int, dataloader_idx: int = 0) -> None:
        images, labels = batch
        if dataloader_idx == len(self._outputs):
            self._outputs.append([])
        self._outputs[dataloader_idx].append((self(images), labels))

    def on_validation_epoch_end(self) -> None:
        """Score all pages at once; `self.logits` keeps their logits, float32 of shape (n, num_classes), in order.

        Of a second loader, the same pages as they are, `self.clean_logits` keeps them; it is None without one.
        """
        # Lightning validates before the training epoch ends: no score of a broken model may be reported.
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._require_finite(float(self._loss), "training")
        labels = torch.cat([labels for _, labels in self._outputs[0]])
        logits, *clean = (torch.cat([logits for logits, _ in outputs]).float() for outputs in self._outputs)
        self._outputs.clear()
        self.logits, self.clean_logits = logits, clean[0] if clean else None
        loss = F.cross_entropy(logits, labels)
        self._require_finite(float(loss), "validation")  # the last step may have broken it
        self.log("val/loss", loss)
        self.log("val/accuracy", multiclass_accuracy(logits, labels, self.num_classes, average="micro"))
        # A class that is neither among the labels nor among the predictions has no F1 and is left out of the mean.
        score = partial(multiclass_f1_score, target=labels, num_classes=self.num_classes, average="macro")
        self.log("val/macro_f1", score(logits))
        if self.clean_logits is not None:
            self.log("val/macro_f1_clean", score(self.clean_logits))
