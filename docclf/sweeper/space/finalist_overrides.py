"""The overrides with which finalists and references run, and that their configs compose."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from docclf.errors import ConfigError
from docclf.sweeper.config import FinalistsConfig
from docclf.sweeper.space.grammar import encode, to_text
from docclf.sweeper.space.parameters import Space


def to_overrides(values: Mapping[str, Any] | None) -> list[str]:
    """Texts of the overrides that a setting gives finalists or references; a null leaves a key as it is.

    >>> to_overrides({"validation": None, "seed": 43})
    ['seed=43']
    """
    return [f"{key}={to_text(value)}" for key, value in encoded(values or {}).items() if value is not None]


def encoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a config in the form of a study."""
    plain = OmegaConf.to_container(OmegaConf.create(dict(values)), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): encode(value) for key, value in plain.items()}


def check_finalists(settings: FinalistsConfig, space: Space, compose: Callable[[Sequence[str]], Any]) -> Any:
    """Compose the config of a finalist; None where there will be none.

    Raises:
        ConfigError: It cannot be composed.
    """
    if not settings.top_k:
        return None
    for name, overrides in (settings.references or {}).items():
        if not (re.fullmatch(r"\w[\w.-]*", str(name)) and isinstance(overrides, Mapping)):
            raise ConfigError(
                f"Expected `hydra.sweeper.finalists.references` to map names without spaces to overrides, as in "
                f"{{nearest: {{model.tune: head}}}}, got {name}: {overrides}."
            )
        reference = to_overrides(overrides)
        _compose_finalist(apart(space.fixed, reference), [*to_overrides(settings.overrides), *reference], compose)
    return _compose_finalist(space.fixed, to_overrides(settings.overrides), compose)


def apart(overrides: Sequence[str], others: Sequence[str]) -> list[str]:
    """Overrides without those that others replace: a config group may be chosen once.

    >>> apart(["model=swin", "+lr=1"], ["lr=2"])
    ['model=swin']
    """
    replaced = {text.partition("=")[0].lstrip("+") for text in others}
    return [text for text in overrides if text.partition("=")[0].lstrip("+") not in replaced]


def _compose_finalist(fixed: Sequence[str], again: Sequence[str], compose: Callable[[Sequence[str]], Any]) -> Any:
    try:
        return compose([*fixed, *again])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"Expected finalists to compose, but with {' '.join(again)} they do not: {error}") from error
