"""What becomes of a job, whatever its task returned or raised."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import TrialState, create_trial

from docclf.errors import error_text
from docclf.safety.faults import fault_of
from docclf.sweeper.study.outcome import outcome_of, violations

TRIAL = create_trial(state=TrialState.RUNNING)


def job(value: Any, status: JobStatus = JobStatus.COMPLETED) -> JobReturn:
    return JobReturn(status=status, _return_value=value)


class Odd:
    """Answers to nothing."""

    def __float__(self) -> float:
        raise SystemExit(1)

    def __repr__(self) -> str:
        raise RuntimeError


class OddList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no elements")


class OddError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(1.5), 1.5),
        (np.array(1.5), 1.5),
        (Decimal("1.5"), 1.5),
        (Fraction(3, 2), 1.5),
        (True, 1.0),
        ((1.5,), 1.5),
        (np.array([1.5]), 1.5),
        ({"value": 1.5}, 1.5),
    ],
)
def test_what_is_a_number_is_the_value(value: Any, expected: float) -> None:
    assert outcome_of(job(value), TRIAL, ["value"]).values == (expected,)


@pytest.mark.parametrize("value", [np.array([0.5, 3]), np.array([0.5, 3], np.float32), (0.5, np.float32(3)), [0.5, 3]])
def test_what_holds_as_many_numbers_as_there_are_objectives_is_the_values(value: Any) -> None:
    assert outcome_of(job(value), TRIAL, ["score", "seconds"]).values == (0.5, 3.0)


NO_NUMBERS: dict[str, Any] = {
    "too large": 10**400,
    "larger": 10**5000,
    "fraction": Fraction(10**400),
    "complex": 1j,
    "text": "many",
    "nested": ((1.0,),),
    "array": np.array([1.0, 2.0]),
    "array of texts": np.array(["a"]),
    "iterator": iter([1.0]),
    "nothing": None,
    "odd": Odd(),
    "odd in a list": [Odd()],
    "odd in a mapping": {"value": Odd()},
    "odd key": {Odd(): 1.0},
    "key that is no text": {"\udc80": 1.0},
    "odd list": OddList(),
    "long list": list(range(100_000)),
    "empty list": [],
    "empty mapping": {},
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_anything_else_fails_the_trial_with_a_cause_that_a_database_takes(name: str) -> None:
    outcome = outcome_of(job(NO_NUMBERS[name]), TRIAL, ["value"])
    assert outcome.state == TrialState.FAIL and outcome.cause
    assert len(outcome.cause.encode()) < 3_000


ERRORS: dict[str, tuple[BaseException, str]] = {
    "surrogate": (ValueError("a\udc80"), r"ValueError: a\udc80"),
    "long": (ValueError("x" * 10_000_000), f"ValueError: {'x' * 2_000}..."),
    "group": (ExceptionGroup("several", [KeyError("a")]), "ExceptionGroup: several (1 sub-exception)"),
    "cancelled": (asyncio.CancelledError(), "CancelledError"),
    "memory": (MemoryError(), "MemoryError"),
    "odd": (OddError(), "OddError: a OddError that cannot be shown"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_exception_is_told_and_no_fault_of_the_machine_whatever_it_does_when_asked(name: str) -> None:
    error, cause = ERRORS[name]
    assert error_text(error) == cause
    assert fault_of(error) is None
    assert outcome_of(job(error, JobStatus.FAILED), TRIAL, ["value"]).state == TrialState.FAIL


@pytest.mark.parametrize("value", [float("nan"), np.float32("nan"), 1j, "60", None, Odd()])
def test_what_is_no_number_keeps_to_no_constraint(value: Any) -> None:
    with pytest.raises(ValueError, match="Expected the task to give the number secs for its constraint, got "):
        violations({"secs": 60}, TRIAL, job({"secs": value}))
