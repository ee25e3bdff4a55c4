"""How a net is trained: which of its parts, how fast each, and what it makes small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.models import group_parameters
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

# Of the stages between stem and classifier, so many are the last ones.
_LAST = 0.4


def stages(net: Any) -> list[list[str]]:
    """Names of a net's parameters, stage by stage, from stem to classifier.

    Those of a timm backbone are what timm takes for stages, those of another net its children in their order.
    """
    if not hasattr(net, "group_matcher"):
        children = dict.fromkeys(name.partition(".")[0] for name, _ in net.named_parameters())
        return [[name for name, _ in net.named_parameters() if name.partition(".")[0] == child] for child in children]
    grouped = group_parameters(net, net.group_matcher(coarse=True))
    return [grouped[key] for key in sorted(grouped)]


def freeze_first(net: Any) -> None:
    """Leave all but the last stages and the classifier as they are.

    Of 7 stages between stem and classifier the last 3 are trained, of 4 the last 2, of 12 blocks the last 5.
    """
    found = stages(net)
    n_between = max(len(found) - 2, 0)
    n_trained = max(1, round(_LAST * n_between)) + 1
    frozen = {name for stage in found[:-n_trained] for name in stage}
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in frozen)


def parameter_groups(net: Any, layer_decay: float) -> Iterator[dict[str, Any]]:
    """Groups for an optimizer: of each stage the weights, and apart from them what is not decayed.

    Biases and scales of normalisation layers are not decayed. `lr_scale` is `layer_decay ** d`, with d the distance
    from the classifier in stages (ELECTRA, arXiv 2003.10555).
    """
    by_name = dict(net.named_parameters())
    found = stages(net) if layer_decay != 1 else [list(by_name)]
    for distance, names in enumerate(reversed(found)):
        trained = [by_name[name] for name in names if by_name[name].requires_grad]
        scale = {"lr_scale": layer_decay**distance}
        if decayed := [p for p in trained if p.ndim > 1]:
            yield {"params": decayed, **scale}
        if others := [p for p in trained if p.ndim <= 1]:
            yield {"params": others, "weight_decay": 0.0, **scale}


def scale_rates(optimizer: torch.optim.Optimizer) -> None:
    """Apply the `lr_scale` of each group."""
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("lr_scale", 1.0)


def keep_depthwise_in_32_bit(net: nn.Module) -> None:
    """Train depthwise convolutions in 32 bit where the CPU computes the rest in bfloat16.

    Their gradients take 2 to 3 times as long in bfloat16 there, while those of other convolutions take half. Where no
    gradient is needed, and on other devices, nothing changes.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
            module.forward = partial(_in_32_bit, module.forward)  # type: ignore[method-assign]


def _in_32_bit(forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    if images.device.type != "cpu" or not images.requires_grad or not torch.is_autocast_enabled("cpu"):
        return forward(images)
    with torch.autocast("cpu", enabled=False):
        return forward(images.float())


def begin_epoch(net: nn.Module, batch_norm: str) -> None:
    """Set what batch normalisation trains with in the next epoch.

    Args:
        net: In training mode.
        batch_norm: `frozen`, `running` or `epoch`, see `docclf.models.classifier.PageClassifier`.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    for module in (module for module in net.modules() if isinstance(module, kinds)):
        weight = module.weight  # None with affine=False
        if batch_norm == "frozen" or (weight is not None and not weight.requires_grad):
            module.eval()
        elif batch_norm == "epoch":
            module.reset_running_stats()
            module.momentum = None  # torch's way to say: the mean over all batches since the reset


def moving_average(net: nn.Module, decay: float) -> AveragedModel:
    """A net of the exponential moving averages of another's weights."""
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(net, multi_avg_fn=average, use_buffers=True)
    return averaged.requires_grad_(False)


def choose_batch_norm(asked: str, former: bool | None, *, is_trained: bool) -> str:
    """What `batch_norm` comes to; `former` is `epoch_batch_norm`."""
    if former is not None:
        return "epoch" if former else "running"
    return ("frozen" if is_trained else "epoch") if asked == "auto" else asked


def weighted_cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None, label_smoothing: float
) -> Tensor:
    """Mean over pages of the smoothed cross-entropy of each, times the weight of its class.

    `weight` of torch's own multiplies the smoothed part by the weights of all classes, so that rare ones attract every
    page, and divides by the weights of the batch, so that half a batch has another loss.

    Args:
        logits: Of shape (n, n_classes).
        labels: Class indices of shape (n,), or probabilities of shape (n, n_classes).
        class_weights: Of shape (n_classes,), of mean 1 over the training pages; None weighs all alike.
        label_smoothing: Fraction of a label that is spread over all classes, in [0, 1].

    >>> import torch
    >>> logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    >>> [round(float(weighted_cross_entropy(logits, labels, w, 0.0)), 3) for w in (None, torch.tensor([0.5, 1.5]))]
    [1.127, 1.627]
    """
    losses = F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
    if class_weights is None:
        return losses.mean()
    weights = class_weights[labels] if labels.ndim == 1 else labels @ class_weights.to(labels.dtype)
    return (losses * weights).mean()
