"""Small draws from a numpy generator. The layouts make hundreds a page, so each is one cheap call."""

from collections.abc import Sequence
from typing import TypeVar

from numpy.random import Generator

T = TypeVar("T")


def pick(rng: Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def coin(rng: Generator, fraction: float = 0.5) -> bool:
    """True in this fraction of the draws."""
    return bool(rng.random() < fraction)


def between(rng: Generator, low: float, high: float) -> float:
    """A number from [low, high)."""
    return low + (high - low) * float(rng.random())


def count_between(rng: Generator, low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(rng.integers(low, high + 1))
