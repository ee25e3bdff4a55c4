"""Learning-rate schedules, step by step over a whole training."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def cosine(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.1) -> LRScheduler:
    """Linear warm-up, then half a cosine down to zero, step by step.

    Args:
        total_steps: Steps of the optimizer in the whole training.
        warmup: Fraction of the steps in which the learning rate rises, in [0, 1).
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
