"""Private names of Hydra and its plugins: used here alone, and checked with Hydra 1.4.0rc3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher as BasicLauncher  # no public class is its base
from hydra._internal.utils import get_args
from hydra.core.utils import JobReturn

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig
    from optuna.distributions import BaseDistribution


def read_arguments(arguments: Sequence[str]) -> Any:
    """What Hydra reads out of a command line, as attributes; to others it gives the overrides alone, once composed."""
    return get_args(arguments)


def returned(job: JobReturn) -> Any:
    """What a job has returned, or the exception that it raised: `JobReturn.return_value` prints and raises that."""
    return job._return_value


def distribution_of(override: Override) -> BaseDistribution:
    """What Optuna draws from, as the stock sweeper reads it: nothing of it that is public takes one override."""
    from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override

    return create_optuna_distribution_from_override(override)  # type: ignore[no-any-return]


def join_ray(settings: DictConfig) -> None:
    """Join Ray's cluster or start one, as its launcher does when it runs the first jobs, and not before."""
    from hydra_plugins.hydra_ray_launcher._launcher_util import start_ray

    start_ray(settings)
