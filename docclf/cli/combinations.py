"""Rules between keys: values that are right alone, and not beside each other; and keys that change nothing."""

import logging
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from docclf import CONF_DIR
from docclf.cli.key_table import CLEAN, METRICS
from docclf.errors import ConfigError
from docclf.safety.permission import allowed
from docclf.safety.untrusted import read_yaml
from docclf.sweeper.space.keys import nearest

log = logging.getLogger(__name__)

# What changes nothing where a head alone is fitted, and what does below these.
OF_NETS = (
    *("optimizer", "scheduler", "trainer", "callbacks", "data.batch_size", "data.balance", "validation.epochs"),
    *("validation.max_batch_size", "validation.prune_after", "model.drop_rate", "model.label_smoothing"),
    *("model.layer_decay", "model.batch_norm", "model.ema", "model.loss", "model.net"),
)
_OF_HEADS = ("trainer", "trainer.accelerator", "trainer.precision")


def check_combinations(cfg: DictConfig) -> None:
    """Refuse keys whose values do not go together. A config of an earlier release lacks some of them.

    Raises:
        ConfigError: There are such.
    """

    def value(key: str, default: Any = None) -> Any:
        return OmegaConf.select(cfg, key, default=default)

    if value("model.name") == "pixels" and value("model.tune") != "head":
        raise ConfigError(
            "Expected a timm model in `model.name`, got pixels, which cannot be fine-tuned. Say model.tune=head."
        )
    objective = [cfg.search.objective] if isinstance(cfg.search.objective, str) else cfg.search.objective
    if CLEAN in objective and not value("validation.robust"):
        raise ConfigError(
            f"Expected validation.robust=true with search.objective={CLEAN}, which it needs, got false. "
            "Say validation.robust=true validation.augment=photo."
        )
    for name in value("search.constraints") or ():
        if name not in METRICS and not allowed():  # code of one's own may measure more
            raise ConfigError(
                f"Expected `search.constraints` to bound one of {', '.join(METRICS)}, got {name}. "
                "Say for example 'search.constraints={train_seconds: 60}'."
            )
    if value("refit") != "distill":
        return
    if value("teacher") is None:
        raise ConfigError(
            "Expected `teacher` with refit=distill, the run or search to learn from, got none. "
            "Say teacher=multirun/NAME."
        )
    if value("model.tune", "all") == "head":
        raise ConfigError(
            "Expected a net with refit=distill, which learns probabilities, got a head. Say model.tune=last."
        )
    if value("model.loss") is not None:
        raise ConfigError("Expected no loss of your own with refit=distill. Say model.loss=null.")
    for key in ("augment.mixup", "augment.cutmix"):
        if value(key, 0):
            raise ConfigError(f"Expected `{key}` to be 0 with refit=distill, got {value(key)}. Say {key}=0.")


def warn_unused(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Say which overrides of a run alone change nothing, since no net is trained."""
    if OmegaConf.select(cfg, "model.tune", default="all") != "head":
        return
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    unused = [
        key
        for key in keys
        if key not in _OF_HEADS and any(key == name or key.startswith(f"{name}.") for name in OF_NETS)
    ]
    if unused:
        log.warning(f"{', '.join(unused)}: no effect with model.tune=head. To fine-tune, say model.tune=last or all.")


def tell_unread(cfg: DictConfig) -> None:
    """Say which keys at the top of a config docclf does not read, where one that it does was likely meant."""
    own = read_yaml(CONF_DIR / "train.yaml")
    groups = [name for entry in own.pop("defaults") if isinstance(entry, dict) for name in entry]
    known = [*own, *groups, "hydra"]
    for key in map(str, cfg):
        if key not in known and (near := nearest(key, known, n=1)):
            log.warning(
                f"docclf reads no key `{key}`. Did you mean `{near[0]}`? If it is there for other values to refer to, "
                "all is well."
            )
