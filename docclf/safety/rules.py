"""Kinds of values that a key of a config or a file may have: each says what was expected of one it does not take."""

import math
import os
from collections.abc import Callable
from typing import Any

# What was expected, to stand behind "Expected `key` to be "; empty of a value that fits.
Rule = Callable[[Any], str]

_VAST = 10**9  # a bound that need not be told of where a value is not beyond it


def number(
    least: float = -math.inf,
    *,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    whole: bool = False,
    null: bool = False,
) -> Rule:
    """A finite number within bounds.

    Args:
        least, above, most, below: The bounds, of which the first and the third are in.
        whole: No fraction, and no number that is written with a point.
        null: Null is taken too.

    >>> number(0, below=1)(1.5), number(0)(None), number(1, whole=True)(2.0), number(1)(2)
    ('at least 0 and below 1', 'a number', 'a whole number', '')
    """
    bounds = {"at least": least, "above": above, "at most": most, "below": below}

    def rule(value: Any) -> str:
        if value is None and null:
            return ""
        is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not is_number or value != value or abs(value) == math.inf:
            return "a whole number" if whole else "a number"
        if least <= value <= most and above < value < below:
            return ""
        told = {
            word: bound for word, bound in bounds.items() if math.isfinite(bound) and (bound < _VAST or value > bound)
        }
        return " and ".join(f"{word} {bound:,}" for word, bound in told.items())

    return rule


def one_of(*allowed: Any) -> Rule:
    """One of some values; 1 is not true.

    >>> one_of("all", False)("some"), one_of("all", False)(0), one_of("all", False)(False)
    ('all or false', 'all or false', '')
    """
    names = [*dict.fromkeys("null" if v is None else str(v).lower() for v in allowed)]
    said = " or ".join(names) if len(names) < 3 else f"one of {', '.join(names)}"
    return lambda value: "" if any(value == v and type(value) is type(v) for v in allowed) else said


FLAG = one_of(True, False)


def text(
    said: str = "a text", *, null: bool = False, numbers: bool = False, fits: Callable[[str], bool] = bool
) -> Rule:
    """A text that can be printed.

    Args:
        said: What is expected.
        null: Null is taken too.
        numbers: So is a number, which a folder may be called by.
        fits: Whether a text is one; by default, whether it is not empty.
    """

    def rule(value: Any) -> str:
        if value is None:
            return "" if null else said
        is_text = isinstance(value, str) or (numbers and isinstance(value, int | float) and not isinstance(value, bool))
        return "" if is_text and str(value).isprintable() and fits(str(value)) else said

    return rule


def file(said: str = "a file") -> Rule:
    """The path of a file that is there, or null."""
    return text(f"{said}, or null for none", null=True, fits=os.path.isfile)


def listed(each: Rule, said: str, *, least: int = 0) -> Rule:
    """A list whose values another rule takes."""

    def rule(value: Any) -> str:
        fits = isinstance(value, list) and len(value) >= least and not any(map(each, value))
        return "" if fits else said

    return rule


def mapping(said: str, *, fits: Callable[[Any], bool] = bool, null: bool = False) -> Rule:
    """Keys and values, of which all must fit."""

    def rule(value: Any) -> str:
        if value is None and null:
            return ""
        return "" if isinstance(value, dict) and all(map(fits, value.items())) else said

    return rule


def either(*rules: Rule) -> Rule:
    """What one of some rules takes; of other values, what the last one says."""
    return lambda value: "" if any(not rule(value) for rule in rules) else rules[-1](value)
