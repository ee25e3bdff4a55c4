"""The pruner of a study, from its option, and whether it can stop a trial at all."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from inspect import signature
from typing import Any

import optuna

from docclf.errors import SpaceError
from docclf.sweeper.strategy.options import build_option
from docclf.sweeper.strategy.race import Race

log = logging.getLogger(__name__)

# What the options of `hydra/sweeper/pruner` may be: by name, with plain values.
_PRUNERS = (
    *(f"optuna.pruners.{kind}Pruner" for kind in ("Hyperband", "Median", "Nop", "Patient", "Percentile")),
    *(f"optuna.pruners.{kind}Pruner" for kind in ("SuccessiveHalving", "Threshold", "Wilcoxon")),
    "docclf.sweeper.strategy.race.Race",
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


def check_pruner(
    pruner: optuna.pruners.BasePruner, asked: Mapping[str, Any], n_objectives: int, steps: int | None
) -> None:
    """Refuse a pruner that cannot work, and warn of one that can never stop a trial.

    Args:
        asked: Arguments that it was made with; for others, its defaults.
        steps: Reports that a whole trial makes; None if unknown.

    Raises:
        SpaceError: Several objectives, which Optuna cannot prune by.
    """
    if isinstance(pruner, optuna.pruners.NopPruner):
        return
    name = type(pruner).__name__
    if n_objectives > 1:
        raise SpaceError(
            f"Expected no pruner with {n_objectives} objectives, since there is no one value to stop by, got {name}. "
            "Use hydra/sweeper/pruner=none."
        )
    if steps is None:
        return
    try:
        need = _steps_needed(pruner, asked)
    except KeyError:  # of somebody's own class, with other arguments
        return
    if need is not None and need > steps:
        log.warning(
            f"{name} can stop no trial: at the earliest it does so after {need} reports, "
            f"and a whole trial makes {steps}."
        )


def _steps_needed(pruner: optuna.pruners.BasePruner, asked: Mapping[str, Any]) -> int | None:
    """Reports before a pruner can first stop a trial, None if unknown."""
    given: dict[str, Any] = {name: p.default for name, p in signature(type(pruner)).parameters.items()} | dict(asked)
    if isinstance(pruner, optuna.pruners.WilcoxonPruner):
        # n reports that are all worse have a one-sided p of 2^-n.
        n = max(1, int(given["n_startup_steps"]))
        while n < 64 and 2.0**-n >= given["p_threshold"]:
            n += 1
        return n
    if isinstance(pruner, optuna.pruners.PercentilePruner):  # the median is one
        return int(given["n_warmup_steps"]) + 1
    if isinstance(pruner, optuna.pruners.PatientPruner):
        return int(given["patience"]) + 2
    if isinstance(pruner, optuna.pruners.SuccessiveHalvingPruner) and isinstance(given["min_resource"], int):
        # The first rung is a step, and steps count from 0.
        return int(given["min_resource"] * given["reduction_factor"] ** given["min_early_stopping_rate"]) + 1
    if isinstance(pruner, optuna.pruners.HyperbandPruner):
        return int(given["min_resource"]) + 1
    return None
