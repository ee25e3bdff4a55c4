"""Rules between keys: values that are right alone, and not beside each other."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from docclf.cli.leaves import CLEAN, METRICS
from docclf.errors import ConfigError
from docclf.safety.permission import allowed


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
