"""The options of `hydra/sweeper/pruner`. Imported with `docclf.sweeper.config`: keep it light."""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING


@dataclass
class PrunerConfig:
    """What an option of `hydra/sweeper/pruner` has at least."""

    _target_: str = MISSING


@dataclass
class NonePrunerConfig(PrunerConfig):
    """Every trial runs to its end."""

    _target_: str = "optuna.pruners.NopPruner"


@dataclass
class MedianPrunerConfig(PrunerConfig):
    """Stops a trial whose best report so far is worse than the median of the others at the same step."""

    _target_: str = "optuna.pruners.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class PercentilePrunerConfig(MedianPrunerConfig):
    """As median, but keeps the best `percentile` percent at each step."""

    _target_: str = "optuna.pruners.PercentilePruner"
    percentile: float = 25.0


@dataclass
class SuccessiveHalvingPrunerConfig(PrunerConfig):
    """Asynchronous successive halving: one of `reduction_factor` trials goes on at each rung."""

    _target_: str = "optuna.pruners.SuccessiveHalvingPruner"
    min_resource: Any = 1
    reduction_factor: int = 3
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0


@dataclass
class HyperbandPrunerConfig(PrunerConfig):
    """Successive halving at several degrees of haste. `max_resource` is the number of steps of a whole trial."""

    _target_: str = "optuna.pruners.HyperbandPruner"
    min_resource: int = 1
    max_resource: Any = "auto"
    reduction_factor: int = 3
    bootstrap_count: int = 0


@dataclass
class PatientPrunerConfig(PrunerConfig):
    """Stops a trial that has not improved for `patience` steps; with `wrapped_pruner`, only if that agrees."""

    _target_: str = "optuna.pruners.PatientPruner"
    wrapped_pruner: Any = None
    patience: int = 3
    min_delta: float = 0.0


@dataclass
class WilcoxonPrunerConfig(PrunerConfig):
    """Signed-rank test against the best trial, step by step. At p = 0.1 it cannot stop a trial before step 4."""

    _target_: str = "optuna.pruners.WilcoxonPruner"
    p_threshold: float = 0.1
    n_startup_steps: int = 2


PRUNERS: dict[str, type[PrunerConfig]] = {
    "none": NonePrunerConfig,
    "median": MedianPrunerConfig,
    "percentile": PercentilePrunerConfig,
    "successive_halving": SuccessiveHalvingPrunerConfig,
    "hyperband": HyperbandPrunerConfig,
    "patient": PatientPrunerConfig,
    "wilcoxon": WilcoxonPrunerConfig,
}
