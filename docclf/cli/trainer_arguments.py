"""Arguments of Lightning's trainer. Loads Lightning only where there are more of them than conf/ has."""

import inspect
import os
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from docclf.errors import ConfigError, unknown_key

_NODES = "A training runs on one machine, on as many devices as trainer.devices=N says"
_EPOCHS = "Trainings are counted in epochs: validation.epochs=N"
_SCREEN = "The screen shows the progress, the run's log the rest"
# Of conf/trainer.
_GIVEN = (
    *("_target_", "_partial_", "accelerator", "devices", "strategy"),
    *("precision", "gradient_clip_val", "deterministic"),
)
_PROFILER = "pytorch_lightning.profilers.SimpleProfiler"
_VALIDATION = "Each epoch is validated once, on all pages of its fold"
# Each with what to say instead.
OWNED = {
    "num_nodes": _NODES,
    "use_distributed_sampler": "Each device takes its part of every batch",
    **dict.fromkeys(("max_epochs", "min_epochs", "max_steps", "min_steps"), _EPOCHS),
    "max_time": "Say search.timeout=30m, which is spent on all that a search needs",
    "accumulate_grad_batches": "Say validation.max_batch_size=N: gradients of larger batches are accumulated",
    "callbacks": "Say +callbacks.my_name._target_=mine.Callback --allow mine.Callback",
    "logger": "Say logger=csv, logger=wandb or 'logger=[csv,wandb]'",
    "enable_checkpointing": "The best epoch of each fold is kept: refit=folds, or refit=all",
    **dict.fromkeys(("enable_progress_bar", "enable_model_summary"), _SCREEN),
    **dict.fromkeys(
        ("num_sanity_val_steps", "limit_val_batches", "check_val_every_n_epoch", "val_check_interval"), _VALIDATION
    ),
    "plugins": "They would have to follow a training that goes on after an interruption, which others do not",
    "fast_dev_run": "Say validation.epochs=1 validation.run_folds=1",
    "overfit_batches": "Say data.root=DIR with few pages",
    "barebones": "It would leave out the scores of each epoch",
    "profiler": f"Say '+trainer.profiler={{_target_: {_PROFILER}, dirpath: ., filename: profile}}' --allow {_PROFILER}",
    "default_root_dir": "Say hydra.run.dir=DIR or study_name=NAME for the folder of results",
}


def check_trainer(cfg: DictConfig) -> None:
    """Refuse arguments that docclf sets itself, those that the trainer has not, and an accelerator that is not there.

    Raises:
        ConfigError: There is one.
    """
    found = OmegaConf.select(cfg, "trainer", default=None)
    if not OmegaConf.is_dict(found):
        return
    for name in map(str, found):
        if name in OWNED and not (name == "profiler" and OmegaConf.is_dict(found[name])):
            raise ConfigError(f"Expected no `trainer.{name}`, which docclf sets, got {found[name]}. {OWNED[name]}.")
    _check_names([name for name in map(str, found) if name not in _GIVEN])
    if (asked := str(found.get("accelerator", "auto"))) not in ("auto", "cpu"):
        from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator, XLAAccelerator

        kinds = {"gpu": CUDAAccelerator, "cuda": CUDAAccelerator, "mps": MPSAccelerator, "tpu": XLAAccelerator}
        there = [name for name, kind in kinds.items() if kind.is_available()]
        if asked not in there and not (asked == "gpu" and "mps" in there):
            raise ConfigError(
                f"Expected `trainer.accelerator` to be one that this machine has ({', '.join(['cpu', *there])}), "
                f"got {asked}. Say trainer.accelerator=auto."
            )


def _check_names(names: Sequence[str]) -> None:
    if not names:
        return
    from pytorch_lightning import Trainer

    known = [name for name in inspect.signature(Trainer).parameters if name not in OWNED]
    for name in names:
        if name not in known and name != "profiler":
            raise unknown_key("arguments of Lightning's trainer", "trainer", name, known)


def require_one_device(cfg: DictConfig) -> None:
    """See that a trial of a search trains on one device.

    Raises:
        ConfigError: It does not.
    """
    if (devices := OmegaConf.select(cfg, "trainer.devices", default=1)) != 1:
        raise ConfigError(
            f"Expected trainer.devices=1 in a search, whose workers train a trial each, got {devices}. "
            f"Say search.workers={devices}; `trainer.devices` is for a training alone."
        )


def process_rank(cfg: DictConfig) -> int:
    """Rank of this process among those that train one model; 0 is the first one, which alone writes.

    Lightning starts the others with the first one's command.
    """
    devices = OmegaConf.select(cfg, "trainer.devices", default=1)
    return int(os.environ.get("LOCAL_RANK", "0")) if devices > 1 else 0
