"""Small draws from a numpy generator. The layouts make hundreds a page, so each is one cheap call."""

from collections.abc import Sequence
from typing import TypeVar

from numpy.random import Generator

T = TypeVar("T")


def pick(rng: Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely as the others.

    >>> import numpy as np
    >>> pick(np.random.default_rng(0), ["a"])
    'a'
    """
    return options[int(rng.integers(len(options)))]


def picks(rng: Generator, options: Sequence[T], count: int) -> list[T]:
    """`count` options, repeats allowed; one call to the generator however many are asked for.

    >>> import numpy as np
    >>> picks(np.random.default_rng(0), ["a"], 3)
    ['a', 'a', 'a']
    """
    return [options[index] for index in rng.integers(len(options), size=count).tolist()]


def coin(rng: Generator, share: float = 0.5) -> bool:
    """True in `share` of the draws.

    >>> import numpy as np
    >>> coin(np.random.default_rng(0), 1.0)
    True
    """
    return bool(rng.random() < share)


def between(rng: Generator, low: float, high: float) -> float:
    """A number from [low, high).

    >>> import numpy as np
    >>> 2.0 <= between(np.random.default_rng(0), 2.0, 3.0) < 3.0
    True
    """
    return low + (high - low) * float(rng.random())


def count_between(rng: Generator, low: int, high: int) -> int:
    """A whole number from low to high, both included.

    >>> import numpy as np
    >>> count_between(np.random.default_rng(0), 4, 4)
    4
    """
    return int(rng.integers(low, high + 1))
