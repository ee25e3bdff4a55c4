"""The pruner of a study, from its option, and whether it can work."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import optuna

from docclf.errors import SpaceError
from docclf.sweeper.config import PRUNERS
from docclf.sweeper.strategy.race import Race
from docclf.sweeper.strategy.samplers import build_option

log = logging.getLogger(__name__)

# What the options of `hydra/sweeper/pruner` may be: by name, with plain values.
_PRUNERS = (
    *(str(option["_target_"]) for option in PRUNERS.values()),
    *("optuna.pruners.ThresholdPruner", "docclf.sweeper.strategy.race.Race"),
)


def make_pruner(config: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    """Build the pruner from the option of `hydra/sweeper/pruner`.

    Raises:
        ConfigError: It is none that may be called.
    """
    pruner: optuna.pruners.BasePruner = build_option(config, "hydra.sweeper.pruner", _PRUNERS)
    return pruner


def make_finalists_pruner(name: Any) -> optuna.pruners.BasePruner:
    """Build the pruner that a study of finalists names.

    The name is compared and never called: whoever may write to the storage may write it.

    Args:
        name: The study's attribute: `race`, or anything else for none.
    """
    is_race = name in ("race", {"_target_": "docclf.sweeper.race.Race"})  # the latter of studies of earlier releases
    return Race() if is_race else optuna.pruners.NopPruner()


def check_pruner(pruner: optuna.pruners.BasePruner, options: Mapping[str, Any], n_objectives: int, steps: int) -> None:
    """Refuse a pruner that cannot work, and warn of a Wilcoxon test that trials are too short for.

    Args:
        options: Arguments that it was made with; for others, its defaults.
        steps: Reports that a whole trial makes; 0 if unknown.

    Raises:
        SpaceError: Several objectives, which Optuna cannot prune by.
    """
    if isinstance(pruner, optuna.pruners.NopPruner):
        return
    if n_objectives > 1:
        raise SpaceError(
            f"Expected no pruner with {n_objectives} objectives, since there is no one value to stop by, got "
            f"{type(pruner).__name__}. Use hydra/sweeper/pruner=none."
        )
    if not isinstance(pruner, optuna.pruners.WilcoxonPruner) or not steps:
        return
    # n reports that are all worse have a one-sided p of 2^-n.
    need = int(options.get("n_startup_steps", 2))
    while need < 64 and 2.0**-need >= options.get("p_threshold", 0.1):
        need += 1
    if need > steps:
        log.warning(
            f"WilcoxonPruner can stop no trial: at the earliest it does so after {need} reports, "
            f"and a whole trial makes {steps}."
        )
