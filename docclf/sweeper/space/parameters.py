"""The search space: which keys are searched, under which conditions, and what becomes of a trial's draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from optuna.distributions import BaseDistribution, distribution_to_json

from docclf.errors import SpaceError
from docclf.sweeper.space.grammar import (
    contains,
    decode,
    describe,
    draw,
    encode,
    parse_override,
    to_distribution,
    to_text,
)

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """What a key is drawn from, or the one value that it gets, where its condition holds.

    Attributes:
        key: As in an override: a config key or a config group, perhaps with `+` before it.
        distribution: None for one value.
        text: The one value, as the right side of an override.
        when: Key to the values of which it must have one, for every key; empty for always.
    """

    key: str
    distribution: BaseDistribution | None
    text: str = ""
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def active(self, values: Values) -> bool:
        """Whether the condition holds.

        Args:
            values: Of the keys that the condition names, in the form of a study; one that is not drawn is missing.
        """
        return all(key in values and _is_in(values[key], allowed) for key, allowed in self.when.items())

    @property
    def condition(self) -> str:
        """
        >>> Parameter("lr", None, when={"model": ("swin", "vit"), "n": (1,)}).condition
        'model=swin|vit, n=1'
        """
        return ", ".join(f"{key}={'|'.join(map(to_text, allowed))}" for key, allowed in self.when.items())


@dataclass(frozen=True)
class Space:
    """What a search varies, and what it holds fixed for every trial.

    Where several parameters have one key, the last one that is active counts.

    Attributes:
        parameters: Each after those that its condition names.
        fixed: Overrides that every job gets besides, in the order given.
        constants: Values that conditions name but that are not searched, in the form of a study.
    """

    parameters: tuple[Parameter, ...]
    fixed: tuple[str, ...] = ()
    constants: Values = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """Every key once."""
        return list(dict.fromkeys(parameter.key for parameter in self.parameters))

    @property
    def is_conditional(self) -> bool:
        """Whether trials have different keys."""
        return any(parameter.when.keys() - self.constants.keys() for parameter in self.parameters)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Name in the study to distribution, of all that is drawn."""
        return {self.name(p): p.distribution for p in self.parameters if p.distribution is not None}

    def name(self, parameter: Parameter) -> str:
        """What the study calls a parameter: its key, with the condition where several have that key."""
        shared = sum(other.key == parameter.key for other in self.parameters) > 1
        return f"{parameter.key} [{parameter.condition}]" if shared and parameter.when else parameter.key

    def active(self, values: Values) -> list[Parameter]:
        """The parameters that count where searched keys have these values, in the form of a study."""
        known = {**self.constants, **values}
        found: dict[str, Parameter] = {}
        for parameter in self.parameters:
            if parameter.active({k: v for k, v in known.items() if k in self.constants or k in found}):
                found[parameter.key] = parameter
                if parameter.distribution is None:
                    known[parameter.key] = encode(decode(parameter.text))
                elif parameter.key in values:
                    known[parameter.key] = values[parameter.key]
        return list(found.values())

    def suggest(self, trial: optuna.Trial) -> None:
        """Draw every parameter whose condition holds."""
        values = dict(self.constants)
        for key in self.keys:
            chosen = [p for p in self.parameters if p.key == key and p.active(values)]
            if not chosen:
                continue
            parameter = chosen[-1]
            if parameter.distribution is None:
                values[key] = encode(decode(parameter.text))
            else:
                values[key] = draw(trial, self.name(parameter), parameter.distribution)

    def overrides(self, params: Values) -> tuple[str, ...]:
        """Hydra overrides of one trial.

        Args:
            params: The trial's, by name in the study. Names that the space does not have come from a hook.

        >>> Space((), ("seed=1",)).overrides({"lr": 0.01})
        ('lr=0.01', 'seed=1')
        """
        values = {key_of(name): value for name, value in params.items()}
        given = (f"{p.key}={p.text}" for p in self.active(values) if p.distribution is None)
        return (*(f"{key}={to_text(value)}" for key, value in values.items()), *given, *self.fixed)

    def to_names(self, values: Values) -> dict[str, Any]:
        """The draws that give keys these values, by name in the study; of inactive ones and single values nothing."""
        active = (p for p in self.active(values) if p.distribution is not None and p.key in values)
        return {self.name(p): values[p.key] for p in active}

    def misfits(self, values: Values) -> dict[str, BaseDistribution]:
        """Active keys whose value, in the form of a study, is missing or not one that they can have."""
        return {
            p.key: p.distribution
            for p in self.active(values)
            if p.distribution is not None and not (p.key in values and contains(p.distribution, values[p.key]))
        }

    def fitting(self, values: Values) -> dict[str, Any]:
        """Draws of these values but for those that the space does not hold, which are left to the sampler."""
        misfits = self.misfits(values)
        return self.to_names({key: value for key, value in values.items() if key not in misfits})

    def to_json(self) -> dict[str, str]:
        """Name to the JSON of its distribution or its one value, to compare the spaces of two runs."""
        return {
            f"{p.key} [{p.condition}]" if p.when else p.key: distribution_to_json(p.distribution)
            if p.distribution is not None
            else p.text
            for p in self.parameters
        }


def key_of(name: str) -> str:
    """The key that a parameter of a study sets.

    >>> key_of("optimizer.lr [model=swin_tiny]"), key_of("optimizer.lr")
    ('optimizer.lr', 'optimizer.lr')
    """
    return name.partition(" [")[0]


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
                if choices and not any(_can_be(p, value) for p in choices):
                    ways = "; ".join(describe(p.distribution) if p.distribution else p.text for p in choices)
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


def _can_be(parameter: Parameter, value: Any) -> bool:
    if parameter.distribution is None:
        return bool(encode(decode(parameter.text)) == value)
    return contains(parameter.distribution, value)


def _is_in(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in allowed)
