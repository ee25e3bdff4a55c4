"""What is checked before the first trial: keys, values, the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import FloatDistribution, IntDistribution

from docclf.errors import ConfigError, SpaceError
from docclf.sweeper.space.grammar import describe, encode, extremes, to_text
from docclf.sweeper.space.keys import has_key, leaves, nearest
from docclf.sweeper.space.parameters import Space

_NOTHING = object()


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
        if key.startswith("+") or key in choices or has_key(config, key):
            continue
        near = nearest(key, [*leaves(config), *choices])
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise SpaceError(f"Expected keys of the config in the search space, got `{key}`, which it does not have.{hint}")


def check_space(space: Space, compose: Callable[[Sequence[str]], DictConfig], config: DictConfig) -> None:
    """Refuse searched keys that the config of no trial has, a conditional one in each context in which it is drawn.

    Args:
        compose: Makes the config of a job from its overrides.
        config: The composed config, `hydra` included.

    Raises:
        SpaceError: There is one, or a context that cannot be composed.
    """
    for parameter in space.parameters:

        def tried(overrides: Sequence[str], key: str = parameter.key) -> None:
            check_keys([key], compose(overrides))

        if contexts := [*_contexts(space, parameter.when)]:
            for context in contexts:
                _compose(space, tried, context)
        else:
            check_keys([parameter.key], config)


def values_of(keys: Iterable[str], config: DictConfig) -> dict[str, Any]:
    """What a config has at some keys, config groups among them, in the form of a study; missing ones are left out."""
    choices = config.hydra.runtime.choices
    values = {}
    for key in keys:
        name = key.lstrip("+")
        value = choices[name] if name in choices else OmegaConf.select(config, name, default=_NOTHING)
        if value is _NOTHING:
            continue
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
        values[key] = encode(value)
    return values


def baseline(space: Space, config: DictConfig) -> dict[str, Any]:
    """The draws, by name in the study, that give every searched key the value that the config has without the search.

    Raises:
        SpaceError: A value lies outside the space.
    """
    values = values_of(space.keys, config)
    if misfits := space.misfits(values):
        key, distribution = next(iter(misfits.items()))
        got = f"is {to_text(values[key])}" if key in values else "is not set"
        raise SpaceError(
            f"Expected the default of `{key}` within its search range {describe(distribution)}, but it {got}. "
            "Widen the range, set another default, or search without a baseline: hydra.sweeper.baseline=false."
        )
    return space.to_names(values)


def check_values(
    space: Space, compose: Callable[[Sequence[str]], Any], check: Callable[[Any], object] | None = None
) -> None:
    """Compose the config with every choice and both ends of every range.

    Args:
        compose: Makes the config of a job from its overrides.
        check: Raises ConfigError for a config with a value that cannot be.

    Raises:
        SpaceError: A value cannot be composed, or is refused; or there is nothing to search.
    """
    if not space.varies:
        _require_one_trial(compose(space.overrides({})).hydra.sweeper)

    def tried(overrides: Sequence[str]) -> None:
        config = compose(overrides)
        if check is not None:
            check(config)

    _compose(space, tried, {})
    lowest: dict[str, Any] = {}
    highest: dict[str, Any] = {}
    for parameter in space.parameters:
        context = _context(space, parameter.when)
        found = extremes(parameter.distribution) if parameter.distribution is not None else [None]
        if not parameter.when and isinstance(parameter.distribution, FloatDistribution | IntDistribution):
            # all ranges at once
            lowest[parameter.key], highest[parameter.key] = found
            continue
        for value in found:
            _compose(space, tried, {**context, **({} if parameter.distribution is None else {parameter.key: value})})
    for values in (lowest, highest):
        try:
            _compose(space, tried, values)
        except SpaceError:
            for key, value in values.items():
                _compose(space, tried, {key: value})
            raise


def _require_one_trial(sweeper: DictConfig) -> None:
    if sweeper.n_trials != 1 and not sweeper.custom_search_space:
        raise SpaceError(
            "Expected keys to search, got none that varies: every trial would be the same. Give one a range, such as "
            "'KEY=interval(0, 1)', or run one trial: hydra.sweeper.n_trials=1"
        )


def _context(space: Space, when: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Draws under which a condition holds."""
    values: dict[str, Any] = {}
    for key, allowed in when.items():
        if key not in space.constants:
            parent = next(p for p in space.parameters if p.key == key and p.can_be(allowed[0]))
            values |= {**_context(space, parent.when), key: allowed[0]}
    return values


def _contexts(space: Space, when: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Draws under which a condition holds, once with every value that it allows for a key."""
    for key in (key for key in when if key not in space.constants):
        yield from (_context(space, {**when, key: (value,)}) for value in when[key])


def _compose(space: Space, compose: Callable[[Sequence[str]], Any], values: Mapping[str, Any]) -> None:
    overrides = space.overrides(space.to_names(values))
    try:
        compose(overrides)
    except (HydraException, OmegaConfBaseException, ConfigError) as error:
        drawn = ", ".join(f"{key}={to_text(value)}" for key, value in values.items())
        what = f"`{drawn}`" if drawn else f"the config with {' '.join(overrides)}"
        if isinstance(error, ConfigError):
            if not drawn:  # the config as it was given
                raise
            raise SpaceError(f"{error} It comes from the search space, with {what}.") from error
        message = f"Expected every value of the search space to compose, but {what} does not: {error}"
        raise SpaceError(message) from error
