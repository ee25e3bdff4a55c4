"""The parts of a training, made from its config: pages, heads, what trains the folds, what an interruption leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from docclf import CONF_DIR
from docclf.data.module import PageDataModule, class_weights
from docclf.models.backbone import count_flops, require_known
from docclf.models.frozen.cache import FeatureCache
from docclf.models.frozen.features import PIXELS, FrozenBackbone
from docclf.models.frozen.head import HeadOptions
from docclf.models.frozen.heads import Heads
from docclf.results.facts import HEAD
from docclf.safety.targets import build, build_model, own_model
from docclf.training.crossval import CrossValidation
from docclf.training.distillation import Teacher, read_teacher
from docclf.training.folds.checkpoints import FoldCheckpoints
from docclf.training.folds.trainer import FoldTrainer
from docclf.training.kept_model import keep_model, refit_all
from docclf.training.search_inputs import open_data, require_folds
from docclf.training.trainer import device_of
from docclf.training.validation import SCORES

if TYPE_CHECKING:
    from docclf.sweeper.job.trial import JobTrial

_VIEWS = 2  # augmented ones of each training page, that heads see where validation pages are augmented


@dataclass(frozen=True)
class TrainingParts:
    """What trains one configuration."""

    cfg: DictConfig  # the whole config
    folder: Path  # where the results go
    trial: JobTrial  # of the search; a stand-in outside one
    tune: str  # `head`, `last` or `all`
    heads: Heads  # fit heads on frozen features
    trainer: FoldTrainer  # trains the folds
    keeps: str | bool  # `folds`, `all`, `distill` or False: what is kept of a run that is worth it
    teacher: Teacher | None = None  # whose predictions nets learn, with `distill`

    @property
    def data(self) -> PageDataModule:
        """All pages."""
        return self.trainer.data

    @property
    def halved(self) -> dict[str, int]:
        """How many pages went through the model at once, where that is less than the batch."""
        data = self.data
        if self.tune == "head" or data.max_batch_size is None or data.max_batch_size >= data.batch_size:
            return {}
        return {"max_batch_size": data.max_batch_size, **({"halved": data.halved} if data.halved else {})}

    @property
    def net_flops(self) -> int:
        """Floating-point operations of the net that is trained, for one page."""
        side = self.data.image_size
        if own_model(self.cfg.model) is None:
            return self.heads.cache.flops(side)
        net = self.trainer.build_model().kept.eval()
        return count_flops(lambda: net(torch.zeros(1, self.cfg.data.channels, side, side)))

    def keep(self, done: CrossValidation) -> None:
        """Write the run's model: a head alone, the folds' nets, or one net that is trained on all pages."""
        weights = dict[str, Any]()
        if done.kept != HEAD and self.keeps != "folds":
            weights = {"all": refit_all(self.trainer, done.epochs)}
        elif done.kept != HEAD:
            weights = {f"fold_{fold.fold}": self.trainer.checkpoints.path(fold.fold, done.kept) for fold in done.folds}
        keep_model(self.heads, done, self.folder, weights, own_model(self.cfg.model) if weights else None)


def prepare(
    cfg: DictConfig, folder: Path, trial: JobTrial, *, rank: int = 0, leader: Path | None = None
) -> TrainingParts:
    """Make the parts of a training.

    Args:
        cfg: The whole config, checked.
        rank: Of this process among those that train one model, see `trainer.devices`.
        leader: Of one that is not the first: the first one's folder.

    Raises:
        ConfigError, DataError: The config or the pages are wrong.
        MachineError: The pages or the folds are not those any more that the search began with.
    """
    validation = build(cfg.validation, "validation")
    if not (isinstance(cfg.search.objective, str) and cfg.search.objective in SCORES):
        # Reported is the score, and by that a search for anything else would stop its best trials.
        validation = replace(validation, prune_after=validation.n_trained_folds * validation.epochs + 1)
    data = open_data(
        cfg,
        trial,
        augment=build(cfg.augment, "augment"),
        validation_augment=_read_augment(cfg.validation.augment),
        is_robust=validation.robust,
        **({"n_folds": validation.folds} if cfg.data.get("rare_classes") == "drop" else {}),
    )
    require_folds(cfg, trial, data, validation)
    data.rank, data.world_size = rank, cfg.trainer.get("devices", 1)
    data.max_batch_size = validation.max_batch_size
    heads = make_heads(cfg, data)
    keeps = _choose_refit(cfg, trial)
    teacher = read_teacher(Path(cfg.teacher), data.pages) if keeps == "distill" else None
    data.soft_labels = teacher.targets(data.labels) if teacher else None
    weights = heads.cache.backbone.weights
    same = [data.dataset.fingerprint, data.pages.targets, keeps == "folds", weights.identity]
    same += [teacher.digest] if teacher else []
    earlier = [folder.parent / str(number) for number in trial.retry_of] if leader is None else [leader]
    trainer = FoldTrainer(
        data,
        validation,
        build_model=lambda: _make_model(cfg, data),
        build_trainer=_trainer_builder(cfg),
        checkpoints=_make_checkpoints(cfg, folder, earlier, same),
        keep_weights=keeps == "folds",
        heads=heads if weights.are_trained else None,
        net_alone=teacher is not None,
    )
    return TrainingParts(cfg, folder, trial, cfg.model.get("tune", "all"), heads, trainer, keeps, teacher)


def make_feature_cache(cfg: DictConfig, **places: Any) -> FeatureCache:
    """Features of the frozen backbone of a config; `places` are arguments of `docclf.models.frozen.cache.FeatureCache`.

    Raises:
        ConfigError: There is no such backbone.
    """
    model = cfg.model
    if model.name != PIXELS:
        require_known(model.name)
    backbone = FrozenBackbone(
        model.name,
        cfg.data.image_size,
        cfg.data.channels,
        pretrained=model.get("pretrained", False),
        checkpoint_path=model.get("checkpoint_path"),
    )
    return FeatureCache(backbone, device=device_of(cfg.trainer.get("accelerator", "auto")), **places)


def make_heads(cfg: DictConfig, data: PageDataModule) -> Heads:
    """Heads on the frozen backbone. A config of an earlier release has neither `tune` nor `head`."""
    model, cache = cfg.model, make_feature_cache(cfg, **data.places)
    options = build(model.head, "model.head") if model.get("head") else HeadOptions()
    options = replace(options, scales=sorted(options.scales, reverse=True))  # the first is what a net starts from
    if options.views is None:
        options = replace(options, views=_VIEWS if data.validation_augment is not None else 0)
    return Heads(data, cache, options, _class_weights(cfg, data))


def _class_weights(cfg: DictConfig, data: PageDataModule) -> NDArray[np.float64] | None:
    return class_weights(data.labels, len(data.pages.class_names)) if cfg.model.get("class_weights") else None


def _choose_refit(cfg: DictConfig, trial: JobTrial) -> str | bool:
    """`refit` of a run alone. Of a search, the folds' models of finalists, and of a trial that is the best so far."""
    if trial.number is None:
        return cfg.refit  # type: ignore[no-any-return]
    return False if cfg.keep_checkpoints == "none" else "folds"


def _make_checkpoints(cfg: DictConfig, folder: Path, earlier: list[Path], facts: list[Any]) -> FoldCheckpoints:
    # What an interrupted run trained is of use to one that trains the same.
    keys = ["data", "augment", "model", "optimizer", "scheduler", *(["callbacks"] if cfg.get("callbacks") else [])]
    trained = [OmegaConf.to_yaml(cfg[key], resolve=True) for key in keys]
    validation = {key: value for key, value in cfg.validation.items() if key != "max_batch_size"}
    key = hashlib.sha256("".join([*trained, str(validation), *map(str, facts)]).encode()).hexdigest()
    return FoldCheckpoints(folder, key, earlier)


def _read_augment(name: str | None) -> Any:
    """An augmentation by the name of its option in `augment`, which `docclf.cli.key_table` has checked."""
    if name is None:
        return None
    none, option = (OmegaConf.load(CONF_DIR / "augment" / f"{stem}.yaml") for stem in ("none", name))
    merged: Any = OmegaConf.merge(none, option)
    merged.pop("defaults", None)
    return build(merged, "augment")


def _trainer_builder(cfg: DictConfig) -> Callable[..., Any]:
    """Makes trainers, each with fresh callbacks of the config behind those that it is given."""
    make, nodes = build(cfg.trainer, "trainer"), cfg.get("callbacks") or {}

    def make_with_callbacks(*, callbacks: Sequence[Any] = (), **options: Any) -> Any:
        own = [build(node, f"callbacks.{name}") for name, node in nodes.items() if node is not None]
        return make(callbacks=[*callbacks, *own], **options)

    return make_with_callbacks


def _make_model(cfg: DictConfig, data: PageDataModule) -> Any:
    weights = None if data.balance == "sampler" else _class_weights(cfg, data)  # classes that are drawn alike weigh so
    optimizer = cfg.optimizer
    if cfg.trainer.get("gradient_clip_val") and optimizer.get("fused"):  # Lightning clips none of a fused one's
        optimizer = OmegaConf.merge(optimizer, {"fused": False})
    return build_model(
        cfg.model,
        num_classes=len(data.pages.class_names),
        image_size=data.image_size,
        channels=cfg.data.channels,
        class_weights=None if weights is None else weights.tolist(),
        optimizer=build(optimizer, "optimizer"),
        scheduler=build(cfg.scheduler, "scheduler"),
    )
