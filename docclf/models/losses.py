"""What a net is trained to make small."""

import torch.nn.functional as F
from torch import Tensor


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
