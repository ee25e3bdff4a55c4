"""The Lightning trainer, set for many short trainings, and what it computes on and with."""

import functools
import logging
import warnings
from typing import Any

import pytorch_lightning as pl
import torch

from docclf import n_cores
from docclf.errors import ConfigError
from docclf.models.process import be_exact, prepare_cpu


def make_trainer(*, accelerator: str = "auto", precision: str = "auto", devices: int = 1, **options: Any) -> pl.Trainer:
    """A trainer that neither prints nor writes by itself.

    Args:
        accelerator: As Lightning has it; `auto` takes a GPU where there is one.
        precision: As Lightning has it, or `auto`: see `choose_precision`.
        devices: How many GPUs, or processes on a CPU, train one model: each takes its part of every batch, and all
            validate all pages, so that all know the scores.
        **options: Further arguments of `pytorch_lightning.Trainer`.

    Raises:
        ConfigError: There are fewer GPUs, or cores.
    """
    has_gpus = device_of(accelerator) == "cuda"
    most, what = (torch.cuda.device_count(), "GPUs") if has_gpus else (n_cores(), "cores")
    if devices > max(most, 1):
        raise ConfigError(
            f"Expected `trainer.devices` to be at most the number of {what}, {most}, got {devices}. "
            f"Say trainer.devices={max(most, 1)}."
        )
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # A batch is one gather from memory: worker processes would only cost.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # all processes have the same scores
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")  # on each machine of a cluster, at each fold
    warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists.*")  # of a fold that goes on
    # Lightning 2.6 with torch 2.13 and later; to be removed when Lightning asks `treespec.is_leaf()`.
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    prepare_cpu()
    be_exact()
    return pl.Trainer(
        accelerator=accelerator,
        precision=choose_precision(accelerator, precision),  # type: ignore[arg-type]
        devices=devices,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        **options,
    )


def device_of(accelerator: str = "auto") -> str:
    """`cuda` where the accelerator is a GPU of CUDA, otherwise `cpu`."""
    return "cuda" if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu"


def choose_precision(accelerator: str = "auto", precision: str = "auto") -> str:
    """The precision that is asked for; `auto` is bfloat16 where GPU or CPU compute with it, 32 bit otherwise."""
    if precision != "auto":
        return precision
    if device_of(accelerator) == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if accelerator in ("auto", "cpu") and _cpu_has_bf16() else "32-true"


@functools.cache
def _cpu_has_bf16() -> bool:
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
