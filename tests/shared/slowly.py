"""Parameters of tests that `make test-slow` runs alone."""

from collections.abc import Iterator
from typing import Any

import pytest


def slowly(*values: Any) -> Iterator[Any]:
    """Each of these values, or tuple of values, of a parametrized test as one of the slow tests."""
    for value in values:
        if isinstance(value, type(pytest.param())):
            yield pytest.param(*value.values, marks=[*value.marks, pytest.mark.slow], id=value.id)
        else:
            yield pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
