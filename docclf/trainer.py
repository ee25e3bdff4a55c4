"""The Lightning trainer, set for many short trainings."""

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
import torch


def make_trainer(*, accelerator: str = "auto", precision: str = "auto", **options: Any) -> pl.Trainer:
    """A trainer that neither prints nor writes by itself.

    Args:
        accelerator: As Lightning has it; `auto` takes a GPU where there is one.
        precision: As Lightning has it; `auto` is bfloat16 on GPUs that compute with it, 32 bit otherwise.
        **options: Further arguments of `pytorch_lightning.Trainer`.
    """
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # A batch is one gather from memory: worker processes would only cost.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
    # Lightning 2.6 with torch 2.13 and later; to be removed when Lightning asks `treespec.is_leaf()`.
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    if precision == "auto":
        precision = "bf16-mixed" if _has_bf16(accelerator) else "32-true"
    return pl.Trainer(
        accelerator=accelerator,
        precision=precision,  # type: ignore[arg-type]
        devices=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def _has_bf16(accelerator: str) -> bool:
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
