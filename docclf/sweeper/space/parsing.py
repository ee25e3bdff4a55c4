"""A search space read from a config and a command line, in Hydra's override grammar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from optuna.distributions import BaseDistribution

from docclf.errors import SpaceError
from docclf.sweeper.space.grammar import contains, encode, parse_override, to_distribution, to_text
from docclf.sweeper.space.parameters import Parameter, Space, Values


def parse_space(
    params: Values | None,
    arguments: Sequence[str] = (),
    conditional: Sequence[Values] = (),
    loader: ConfigLoader | None = None,
) -> Space:
    """Read a search space in Hydra's override grammar.

    Args:
        params: Config key to a sweep such as `tag(log, interval(1e-5, 1e-2))`, `choice(16, 32)`, `range(1, 5)`,
            or to one value, which every trial gets; None takes a key out that another config put in.
        arguments: Overrides of the command line. A later one replaces an earlier one of the same key, so a sweep
            narrows a range of `params`, or of `conditional` where its conditions hold, and a plain value or a deletion
            takes the key out of the search. Conditions that a narrowed key cannot fulfil are left out.
        conditional: Mappings with `when` (key to a value, or a list of values of which it must have one) and `params`.
        loader: Knows the options of config groups, for `glob`.

    Raises:
        SpaceError: A sweep that cannot be parsed or holds no value, or conditions that can never hold.

    >>> parse_space({"lr": "interval(0, 1)"}, ["n=choice(1, 2)", "seed=1"]).distributions["n"]
    CategoricalDistribution(choices=(1, 2))
    """
    params = params or {}
    found: dict[str, Parameter] = {}
    fixed: dict[str, str] = {}
    texts = [f"{key}={_right_side(value)}" for key, value in params.items() if value is not None]
    given: set[str] = set()
    for text in [*texts, *arguments]:
        override = parse_override(text, loader)
        key = override.get_key_element().lstrip("~")
        name = key.lstrip("+")
        fixed.pop(name, None)
        if text in arguments:
            given.add(name)
        if override.is_delete() or not override.is_sweep_override():
            found.pop(name, None)
            fixed[name] = text
        else:  # in the place that the key had: the order of draws is part of what a seed gives
            found[name] = Parameter(key, to_distribution(override))
    branches: list[Parameter] = []
    for parameter in (p for block in conditional for p in _branch(block, loader)):
        name = parameter.key.lstrip("+")
        if name in given and name in found and params.get(name) is None:
            parameter = replace(parameter, distribution=found[name].distribution, text="")
        elif name in given:
            continue
        branches.append(parameter)
    narrowed = {p.key.lstrip("+") for p in branches} & given
    searched = [parameter for name, parameter in found.items() if name not in narrowed]
    choices = {p.key: p.distribution for p in searched if p.key in given}
    branches = [p for p in (_possible(p, choices) for p in branches) if p is not None]
    return Space(_in_order([*searched, *branches]), tuple(fixed.values()))


def _possible(parameter: Parameter, choices: Mapping[str, BaseDistribution | None]) -> Parameter | None:
    """A parameter without conditions on values that keys cannot have; None where none is left."""
    when = {
        key: tuple(v for v in allowed if (d := choices.get(key)) is None or contains(d, v))
        for key, allowed in parameter.when.items()
    }
    return replace(parameter, when=when) if all(when.values()) else None


def _branch(block: Values, loader: ConfigLoader | None) -> Iterable[Parameter]:
    is_block = isinstance(block, Mapping) and set(block) == {"when", "params"}
    if not is_block or not all(isinstance(part, Mapping) and part for part in block.values()):
        raise SpaceError(
            f"Expected entries of `conditional` with `when` and `params`, got {block}. "
            "Write for example {when: {model: swin_tiny}, params: {optimizer.lr: 'interval(1e-5, 1e-3)'}}."
        )
    when = {
        str(key): tuple(map(encode, allowed)) if isinstance(allowed, list | tuple) else (encode(allowed),)
        for key, allowed in block["when"].items()
    }
    for key, value in block["params"].items():
        override = parse_override(f"{key}={_right_side(value)}", loader)
        if override.is_sweep_override():
            yield Parameter(override.get_key_element(), to_distribution(override), when=when)
        else:
            yield Parameter(override.get_key_element(), None, _right_side(value), when)


def _right_side(value: Any) -> str:
    """A value of the YAML: a string is in the grammar already."""
    return value if isinstance(value, str) else to_text(encode(value))


def _in_order(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Sort so that what a condition names comes first; refuse conditions that cannot hold."""
    keys = {p.key for p in parameters}
    for parameter in parameters:
        for key, allowed in parameter.when.items():
            choices = [p for p in parameters if p.key == key]
            for value in allowed:
                if choices and not any(p.can_be(value) for p in choices):
                    ways = "; ".join(p.domain for p in choices)
                    raise SpaceError(
                        f"Expected `when` to name a value that `{key}` can have ({ways}), "
                        f"got {to_text(value)}, for `{parameter.key}`."
                    )
    done: list[Parameter] = []
    rest = list(parameters)
    while rest:
        open_keys = {p.key for p in rest}
        ready = [p.key for p in rest if not any(open_keys & set(q.when) for q in rest if q.key == p.key)]
        if not ready:
            raise SpaceError(
                "Expected conditions that end, got keys that wait for each other: "
                + ", ".join(f"`{p.key}` for {', '.join(f'`{k}`' for k in p.when if k in keys)}" for p in rest)
                + "."
            )
        # All of a key together: the last active one counts.
        done += [p for p in rest if p.key == ready[0]]
        rest = [p for p in rest if p.key != ready[0]]
    return tuple(done)
