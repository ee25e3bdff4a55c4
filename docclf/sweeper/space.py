"""From override text to distributions, and the checks that come before the first trial."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from docclf.errors import SpaceError


@dataclass(frozen=True)
class Space:
    """What a search varies, and what it holds fixed for every trial.

    Attributes:
        distributions: Config key (or config group) to the distribution that it is drawn from.
        fixed: Overrides that every job gets besides, in the order given.
    """

    distributions: dict[str, BaseDistribution]
    fixed: tuple[str, ...]

    def overrides(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Hydra overrides of one trial.

        >>> Space({}, ("seed=1",)).overrides({"lr": 0.01})
        ('lr=0.01', 'seed=1')
        """
        return (*(f"{key}={value}" for key, value in params.items()), *self.fixed)

    def to_json(self) -> dict[str, str]:
        """Key to the JSON of its distribution, to compare the spaces of two runs."""
        return {key: distribution_to_json(distribution) for key, distribution in self.distributions.items()}


def parse_space(params: Mapping[str, Any] | None, arguments: Sequence[str]) -> Space:
    """Read a search space in Hydra's override grammar.

    Args:
        params: Config key to a sweep such as `tag(log, interval(1e-5, 1e-2))`, `choice(16, 32)`, `range(1, 5)`,
            or to one value, which every trial gets.
        arguments: Overrides of the command line. A later one replaces an earlier one of the same key, so a sweep
            narrows a range of `params`, and a plain value or a deletion takes the key out of the search.

    Raises:
        SpaceError: A sweep that cannot be parsed, or that holds no value.

    >>> parse_space({"lr": "tag(log, interval(1e-4, 1e-2))"}, ["bs=choice(16, 32)", "seed=1"])
    Space(distributions={'lr': FloatDistribution(high=0.01, log=True, low=0.0001, step=None), \
'bs': CategoricalDistribution(choices=(16, 32))}, fixed=('seed=1',))
    """
    distributions: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    for text in [*(f"{key}={value}" for key, value in (params or {}).items()), *arguments]:
        try:
            swept, values, deletions = create_params_from_overrides([text])
            _require_finite(swept)
        except (HydraException, ValueError, TypeError, AssertionError, NotImplementedError) as error:
            reason = str(error).rstrip(".") or "Optuna cannot draw from it"
            raise SpaceError(
                f"Expected a range or choice with at least one value, got `{text}`: {reason}. "
                "Write for example `tag(log, interval(1e-5, 1e-2))`, `interval(0.0, 0.3)` or `choice(16, 32)`."
            ) from error
        deleted = (deletion.lstrip("~").partition("=")[0] for deletion in deletions)
        for key in (*swept, *values, *deleted):
            distributions.pop(key, None)
            fixed.pop(key, None)
        distributions.update(swept)
        fixed.update({key: f"{key}={value}" for key, value in values.items()})
        fixed.update({deletion: deletion for deletion in deletions})
    return Space(distributions, tuple(fixed.values()))


def _require_finite(distributions: Mapping[str, BaseDistribution]) -> None:
    for d in distributions.values():
        if isinstance(d, FloatDistribution) and not (math.isfinite(d.low) and math.isfinite(d.high)):
            raise ValueError(f"its bounds must be finite, but are {d.low} and {d.high}")


def check_keys(keys: Iterable[str], config: DictConfig) -> None:
    """Refuse keys that the config has not, naming the nearest that it has.

    Args:
        keys: Keys of a search space. One that starts with `+` is new by intent and not checked.
        config: The composed config, `hydra` included.

    Raises:
        SpaceError: A key is neither in the config nor the name of a config group.
    """
    choices = config.hydra.runtime.choices
    for key in keys:
        if key.startswith("+") or key in choices or _has(config, key):
            continue
        near = difflib.get_close_matches(key, [*leaves(config), *choices], n=3, cutoff=0.5)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise SpaceError(f"Expected keys of the config in the search space, got `{key}`, which it does not have.{hint}")


def baseline(distributions: Mapping[str, BaseDistribution], config: DictConfig) -> dict[str, Any]:
    """The values that the config has without the search, one for each key of the space.

    Raises:
        SpaceError: The config has no value for a key, or one outside its range.
    """
    values = {}
    for key, distribution in distributions.items():
        name = key.lstrip("+")
        is_group = name in config.hydra.runtime.choices
        value = config.hydra.runtime.choices[name] if is_group else OmegaConf.select(config, name)
        if not contains(distribution, value):
            raise SpaceError(
                f"Expected the default of `{key}` within its search range {describe(distribution)}, got {value}. "
                f"Widen the range, set another default, or search without a baseline: hydra.sweeper.baseline=false."
            )
        values[key] = value
    return values


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a distribution can yield a value.

    >>> contains(IntDistribution(0, 10, step=5), 5), contains(IntDistribution(0, 10, step=5), 6)
    (True, False)
    """
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.low <= value <= distribution.high:
        return False
    steps = (value - distribution.low) / distribution.step if distribution.step else 0.0
    return abs(steps - round(steps)) < 1e-8


def describe(distribution: BaseDistribution) -> str:
    """A distribution as a reader writes it.

    >>> describe(FloatDistribution(0.1, 1, log=True)), describe(CategoricalDistribution([1, 2]))
    ('0.1..1.0 (log)', '1, 2')
    >>> describe(IntDistribution(0, 10, step=5))
    '0..10 (step 5)'
    """
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    kind = (
        " (log)" if distribution.log else f" (step {distribution.step})" if distribution.step not in (None, 1) else ""
    )
    return f"{distribution.low}..{distribution.high}{kind}"


def _has(config: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    # `in` would deny a key whose value is `???`.
    return isinstance(node, DictConfig) and node._get_node(leaf, validate_access=False) is not None


def leaves(config: DictConfig, prefix: str = "") -> Iterable[str]:
    """Dotted keys of all values of a config, `hydra` left out."""
    for key in map(str, config):
        if not prefix and key == "hydra":
            continue
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from leaves(node, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
