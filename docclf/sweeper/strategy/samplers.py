"""The sampler of a study, from its option."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning

from docclf.errors import ConfigError, NotAllowedError, SpaceError
from docclf.safety.allow import build_listed
from docclf.safety.permission import allowed, is_listed
from docclf.sweeper.space.grammar import describe
from docclf.sweeper.space.parameters import Space

_CROSSOVERS = ("BLXAlpha", "SBX", "SPX", "UNDX", "Uniform", "VSBX")
# What the options of `hydra/sweeper/sampler` and their arguments may be: by name, with plain values. None of them opens
# pickles, as CmaEsSampler does: it keeps its state in the study, where others may write.
_SAMPLERS = (
    *(f"optuna.samplers.{kind}Sampler" for kind in ("BruteForce", "GP", "Grid", "NSGAII", "NSGAIII")),
    *(f"optuna.samplers.{kind}Sampler" for kind in ("PartialFixed", "QMC", "Random", "TPE")),
    *(f"hydra_plugins.hydra_optuna_sweeper._impl.create_{kind}_sampler" for kind in ("nsgaii", "nsgaiii")),
    "hydra_plugins.hydra_optuna_sweeper.config.raise_motpe_removed",
    *(f"optuna.samplers.nsgaii.{kind}Crossover" for kind in _CROSSOVERS),
    "optuna.samplers.nsgaii.PolynomialMutation",
)
_CMA_ES = "optuna.samplers.CmaEsSampler"

# Samplers that look up in the study what is next, and so must be asked by one process at a time.
IN_TURN = (optuna.samplers.BruteForceSampler, optuna.samplers.GridSampler, optuna.samplers.QMCSampler)


class Grid(optuna.samplers.GridSampler):
    """`GridSampler` for ask and tell, where the sweeper ends the study and `Study.stop` is refused."""

    def after_trial(self, *_: Any) -> None:
        pass

    @property
    def size(self) -> int:
        """Number of points."""
        return len(self._all_grids)


class BruteForce(optuna.samplers.BruteForceSampler):
    """`BruteForceSampler` for ask and tell, for the same reason."""

    def after_trial(self, *_: Any) -> None:
        pass


def make_sampler(
    config: Mapping[str, Any], space: Space, n_before: int, part: float = 1.0
) -> optuna.samplers.BaseSampler:
    """Build the sampler of a study.

    Args:
        config: The option of `hydra/sweeper/sampler`. A null leaves the choice to Optuna.
        n_before: Trials of the study so far, or the number of the first trial of this process; moves the seed on. A
            continued study must not draw the random numbers of its first trials again, nor those of another process.
        part: Of the trials that the sampler draws at random before it learns, how many there are: rungs share them.

    Raises:
        ConfigError: It is none that may be called, or Optuna refuses its arguments.
        SpaceError: A grid over a continuous range or with conditions.
    """
    chosen = {key: value for key, value in config.items() if value is not None}
    if chosen.get("multivariate") == 0 and chosen["multivariate"] is not False:
        del chosen["multivariate"]  # see docclf.sweeper.config.TPESamplerConfig
    target = chosen["_target_"]
    if target == "optuna.samplers.GridSampler":
        if space.is_conditional:
            raise SpaceError(
                "Expected a space without `conditional` for a grid, whose points all have the same keys. "
                "Choose another sampler, for example hydra/sweeper/sampler=tpe."
            )
        # In the order of the seed; shuffled by another one, a continued study would still leave no point out.
        found = {space.name(p): p.distribution for p in space.active({}) if p.distribution is not None}
        return Grid({key: _points(key, d) for key, d in found.items()}, seed=chosen.get("seed"))
    if target == "optuna.samplers.BruteForceSampler":
        return BruteForce(**{k: v for k, v in chosen.items() if k != "_target_"})
    if target == _CMA_ES and not is_listed(target, allowed()):
        raise NotAllowedError(
            f"Expected a sampler that opens no pickles, got {target}, which runs whatever a study holds: others may "
            "write to it. Choose another sampler, for example hydra/sweeper/sampler=gp; for a study that nobody else "
            f"writes to, set DOCCLF_ALLOW={target} where you type the command."
        )
    if target == "optuna.samplers.TPESampler" and space.is_conditional and chosen.get("multivariate") is not False:
        # Parameters of one branch together; otherwise TPE draws them one by one. Of several objectives, Optuna warns
        # where `multivariate`, which that takes, is not said.
        chosen["group"] = chosen["multivariate"] = True
    if "n_startup_trials" in chosen:
        chosen["n_startup_trials"] = math.ceil(part * chosen["n_startup_trials"])
    if "seed" in chosen:
        chosen["seed"] = (chosen["seed"] + n_before) % 2**32  # the seeds that there are
    sampler: optuna.samplers.BaseSampler = build_option(chosen, "hydra.sweeper.sampler", _SAMPLERS)
    return sampler


def build_option(config: Any, key: str, listed: tuple[str, ...]) -> Any:
    """Make what an option of `hydra/sweeper/sampler` or `hydra/sweeper/pruner` describes.

    Args:
        key: Its key, for messages.
        listed: Names that it may call.

    Raises:
        ConfigError: It is none of these, or has arguments that Optuna refuses.
    """
    with warnings.catch_warnings():
        # Who names an option has chosen it, and some of ours are experimental in Optuna.
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return build_listed(config, key, listed)
        except (HydraException, ValueError, TypeError, AttributeError) as error:  # of code of the user's own, too
            reason = error.__cause__ or error
            raise ConfigError(f"Expected options of `{key}` that Optuna takes, got others: {reason}") from error


def _points(key: str, distribution: BaseDistribution) -> list[Any]:
    """Every value of a distribution.

    >>> _points("n", IntDistribution(2, 6, step=2)), _points("x", FloatDistribution(0.1, 0.3, step=0.1))
    ([2, 4, 6], [0.1, 0.2, 0.3])
    """
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        raise SpaceError(
            f"Expected a finite set of values of `{key}` for a grid, got the interval {describe(distribution)}. "
            "Write `choice(...)` or `range(start, stop, step)`, or choose another sampler."
        )
    n = round((distribution.high - distribution.low) / distribution.step)
    return [round(distribution.low + i * distribution.step, 12) for i in range(n + 1)]
