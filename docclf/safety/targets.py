"""What a config may call, and where: these names alone, unless `--allow` or `DOCCLF_ALLOW` names more."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from docclf.errors import ConfigError
from docclf.safety import allow
from docclf.safety.permission import allowed, take_allowed

# Key to the names that may stand there. None of them runs, loads or writes what its arguments say.
SLOTS: dict[str, tuple[str, ...]] = {
    "augment": ("docclf.data.augment.batch.BatchAugment", "docclf.data.augment.augraphy.AugraphyAugment"),
    "data": ("docclf.data.module.PageDataModule",),
    "data.reader": ("docclf.data.readers.read_csv", "docclf.data.readers.read_folder"),
    "data.draw": ("docclf.demo.draw_pages",),
    "model": ("docclf.models.classifier.PageClassifier",),
    "model.head": ("docclf.models.frozen.head.HeadOptions",),
    "optimizer": tuple(
        f"torch.optim.{name}"
        for name in ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")
    ),
    "scheduler": ("docclf.models.schedules.constant", "docclf.models.schedules.cosine"),
    "trainer": ("docclf.training.trainer.make_trainer",),
    "validation": ("docclf.training.validation.Validation",),
    # of configs of earlier releases, which had one
    "logger": tuple(
        f"docclf.loggers.{name}" for name in ("csv_files.CsvLogger", "run.RunLogger", "wandb_run.WandbRunLogger")
    ),
}
# Names in configs and studies of earlier releases, and what they are called now.
FORMER = {
    "docclf.crossval.Validation": "docclf.training.validation.Validation",
    "docclf.data.augment.BatchAugment": "docclf.data.augment.batch.BatchAugment",
    "docclf.data.augraphy.AugraphyAugment": "docclf.data.augment.augraphy.AugraphyAugment",
    "docclf.data.pages.read_csv": "docclf.data.readers.read_csv",
    "docclf.data.pages.read_folder": "docclf.data.readers.read_folder",
    "docclf.data.synthetic.draw_pages": "docclf.demo.draw_pages",
    "docclf.loggers.CsvLogger": "docclf.loggers.csv_files.CsvLogger",
    "docclf.loggers.RunLogger": "docclf.loggers.run.RunLogger",
    "docclf.loggers.WandbRunLogger": "docclf.loggers.wandb_run.WandbRunLogger",
    "docclf.model.PageClassifier": "docclf.models.classifier.PageClassifier",
    "docclf.model.constant": "docclf.models.schedules.constant",
    "docclf.model.cosine": "docclf.models.schedules.cosine",
    "docclf.models.classifier.constant": "docclf.models.schedules.constant",
    "docclf.models.classifier.cosine": "docclf.models.schedules.cosine",
    "docclf.models.head.HeadOptions": "docclf.models.frozen.head.HeadOptions",
    "docclf.training.crossval.Validation": "docclf.training.validation.Validation",
    "docclf.trainer.make_trainer": "docclf.training.trainer.make_trainer",
}
# Arguments that docclf adds where it makes a part, and where it calls one of `_partial_`.
_OF_NETS = ("num_classes", "image_size", "channels")
_ADDED = {
    "data": ("augment", "validation_augment", "is_robust", "n_folds"),
    "model": (*_OF_NETS, "class_weights", "optimizer", "scheduler"),
    "model.net": _OF_NETS,
}
_CALLED_WITH = {"optimizer": ("params",), "scheduler": ("optimizer", "total_steps")}
_LOGGERS = (
    "docclf.loggers.csv_files.CsvLogger",
    "docclf.loggers.tensorboard_events.TensorBoardRunLogger",
    "docclf.loggers.wandb_run.WandbRunLogger",
)
# What `hydra` names in conf/: callbacks, and functions of the search.
_OF_HYDRA = (
    "docclf.loggers.callback.LogStudy",
    "docclf.results.study.export.ExportBest",
    "docclf.results.study.export.export_best",
    "docclf.results.study.ensemble.missing_members",
    "docclf.cli.preflight.preflight",
    "docclf.cli.preflight.check_drawn",
    "docclf.training.crossval",
)


def whitelist() -> tuple[str, ...]:
    """What Hydra may call by itself; a wrong `DOCCLF_ALLOW` is told of by `check_targets`."""
    try:
        take_allowed()
        more = allowed()
    except ConfigError:
        more = ()
    return (*(name for names in SLOTS.values() for name in names), *_LOGGERS, *_OF_HYDRA, *more)


def _listed(key: str) -> tuple[str, ...]:
    if key == "search.storage" or key.startswith("search.storage."):  # which the sweeper looks at again
        return allow.STORAGES
    return _LOGGERS if key.startswith("logger.") and key.count(".") == 1 else SLOTS.get(key, ())


def check_targets(cfg: DictConfig) -> None:
    """Refuse a config that names what it may not call, wherever that stands.

    Raises:
        ConfigError: It does; nothing was imported.
    """
    allowed()
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    plain.pop("hydra", None)
    for key, _ in allow.targets_in(plain, ""):
        name = OmegaConf.select(cfg, f"{key}._target_")
        if name is None:
            raise ConfigError(
                f"Expected `{key}._target_` to name what is called there, got no value. Say {key}._target_=mine.Net "
                "--allow mine.Net"
            )
        allow.require_allowed(FORMER.get(str(name), name), _listed(key), f"{key}._target_")


def check_parts(cfg: DictConfig, *, whole: bool = True) -> None:
    """See that what a config names is there and takes its arguments. Imports it, and torch with most of it.

    Args:
        whole: See that it has all that it needs, too; not of a config that lacks what a search will draw.

    Raises:
        ConfigError: It is not, or does not; or it may not be called, and nothing was imported.
    """
    check_targets(cfg)
    for key in (*SLOTS, "callbacks"):
        node = OmegaConf.select(cfg, key)
        if OmegaConf.is_dict(node) and "." not in key:
            plain = _today(OmegaConf.to_container(node, resolve=True))
            allow.check_calls(plain, key, _ADDED if whole else None, _CALLED_WITH)


def build(node: Any, key: str, **given: Any) -> Any:
    """Make what the part `key` of the whole config describes, see `docclf.safety.allow.build_listed`.

    Raises:
        ConfigError: It names what it may not call there.
    """
    plain = _today(OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node)
    if key in SLOTS and isinstance(plain, dict) and plain and "_target_" not in plain:
        made = f"Leave ~{key}._target_ out, or say {key}._target_={SLOTS[key][0]}"
        raise ConfigError(f"Expected `{key}._target_`, which says what to make, in the config, which lacks it. {made}")
    listed = {where: _listed(where) for where, _ in allow.targets_in(plain, key)}
    return allow.build_listed(plain, key, listed, **given)


def _today(value: Any) -> Any:
    """A plain value of a config with names as they are now."""
    if isinstance(value, list):
        return [_today(child) for child in value]
    if not isinstance(value, dict):
        return value
    found = {key: _today(child) for key, child in value.items()}
    return found | ({"_target_": FORMER.get(str(value["_target_"]), value["_target_"])} if "_target_" in value else {})


def build_model(config: Any, **given: Any) -> Any:
    """Make the model that `model` of a config describes; its `net`, where it has one of its own, is made by the model.

    Errors as for `build`.
    """
    plain = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else {**config}
    assert isinstance(plain, dict)
    if isinstance(plain.get("net"), dict):
        plain["net"] = {**plain["net"], "_partial_": True}
    return build(plain, "model", **given)


def own_model(config: DictConfig) -> dict[str, Any] | None:
    """What makes the net of a model that is not timm's anew, as `model` of the config; None for a timm backbone."""
    plain = _today(OmegaConf.to_container(config, resolve=True))
    if plain["_target_"] in SLOTS["model"] and not plain.get("net"):
        return None
    return {key: value for key, value in plain.items() if key not in ("tune", "head", "loss", "class_weights")}
