"""The keys of a config, and which of them a mistyped one was meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Likeness in [0, 1] below which one name does not stand for another.
_NEAR = 0.6


def has_key(config: DictConfig, key: str) -> bool:
    """Whether a config has a dotted key, be its value missing."""
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    # `in` would deny a key whose value is `???`.
    return isinstance(node, DictConfig) and leaf in list(node)


def leaves(config: DictConfig | Mapping[Any, Any], prefix: str = "") -> Iterable[str]:
    """Dotted keys of all values of a config, `hydra` left out."""
    written: Any = OmegaConf.to_container(config) if isinstance(config, DictConfig) else config
    for key, value in written.items():
        if not prefix and key == "hydra":
            continue
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def nearest(key: str, known: Iterable[str], n: int = 3) -> list[str]:
    """The keys, at most `n`, that a mistyped dotted one may stand for, the likeliest first.

    The last part counts more than what is before it, and may be written out, or be a word of the right one.

    >>> known = ["optimizer.lr", "optimizer.weight_decay", "search.n_trials"]
    >>> nearest("optimzer.lr", known), nearest("optimizer.learning_rate", known), nearest("trials", known)
    (['optimizer.lr'], ['optimizer.lr'], ['search.n_trials'])
    >>> nearest("optimizer.gamma", known)
    []
    """
    found = [(likeness, other) for other in dict.fromkeys(known) if (likeness := _likeness(key, other))]
    return [other for _, other in sorted(found, key=lambda pair: -pair[0])[:n]]


def _likeness(key: str, other: str) -> float:
    """In [0, 1]; 0 where they have nothing to do with each other."""
    if "." in other and key.startswith(f"{other}."):
        return _NEAR  # a value has no keys
    (parent, _, leaf), (other_parent, _, other_leaf) = key.rpartition("."), other.rpartition(".")
    short, long = sorted((leaf, other_leaf), key=len)
    words = long.split("_")
    is_initials = len(words) > 1 and short == "".join(word[:1] for word in words)
    near = max(_ratio(leaf, other_leaf), 0.9 * is_initials, 0.8 * (short in words))
    if near < _NEAR:
        return 0.0
    # Who leaves out the first part knows no better; who gives another one does.
    before = 0.5 if bool(parent) != bool(other_parent) else _ratio(parent, other_parent)
    return 0.65 * near + 0.35 * before


def _ratio(text: str, other: str) -> float:
    return SequenceMatcher(None, text, other).ratio()
