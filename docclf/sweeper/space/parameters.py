"""The search space: which keys are searched, under which conditions, and what becomes of a trial's draws."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json

from docclf.sweeper.space.grammar import contains, decode, describe, draw, encode, is_among, to_text

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """What a key is drawn from, or the one value that it gets, where its condition holds."""

    key: str  # as in an override: a config key or a config group, perhaps with `+` before it
    distribution: BaseDistribution | None  # None for one value
    text: str = ""  # the one value, as the right side of an override
    # key to the values of which it must have one, for every key; empty for always
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def active(self, values: Values) -> bool:
        """Whether the condition holds.

        Args:
            values: Of the keys that the condition names, in the form of a study; one that is not drawn is missing.
        """
        return all(key in values and is_among(values[key], allowed) for key, allowed in self.when.items())

    def can_be(self, value: Any) -> bool:
        """Whether it can have a value, in the form of a study."""
        return bool(self.value == value) if self.distribution is None else contains(self.distribution, value)

    @property
    def value(self) -> Any:
        """The one value, in the form of a study."""
        return encode(decode(self.text))

    @property
    def domain(self) -> str:
        """What it can be, as a reader writes it.

        >>> Parameter("lr", None, "0.1").domain
        '0.1'
        """
        return describe(self.distribution) if self.distribution is not None else self.text

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
    """

    parameters: tuple[Parameter, ...]  # each after those that its condition names
    fixed: tuple[str, ...] = ()  # overrides that every job gets besides, in the order given
    # values that conditions name but that are not searched, in the form of a study
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
    def varies(self) -> bool:
        """Whether a parameter can have several values, so that trials can differ."""
        return any(p.distribution is not None and not p.distribution.single() for p in self.parameters)

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
                    known[parameter.key] = parameter.value
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
                values[key] = parameter.value
            else:
                values[key] = draw(trial, self.name(parameter), parameter.distribution)

    def overrides(self, params: Values, more: Collection[str] = ()) -> tuple[str, ...]:
        """Hydra overrides of one trial.

        Args:
            params: The trial's, by name in the study. Others may have written more: names that are not known are left
                out.
            more: Names that a hook has drawn besides.

        >>> Space((), ("seed=1",)).overrides({"lr": 0.01, "hydra.run.dir": "/x"}, {"lr"})
        ('lr=0.01', 'seed=1')
        """
        known = {*self.distributions, *more}
        values = {key_of(name): value for name, value in params.items() if name in known}
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
