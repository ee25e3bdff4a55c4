"""How a job ended, as a study records it; one that was tried before need not run, and ends as that did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import optuna
from hydra.core.utils import JobReturn, JobStatus
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import TrialPruned
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import error_text, safe_text
from docclf.sweeper.hydra_private import returned
from docclf.sweeper.job.task import TaskEndedError
from docclf.sweeper.optuna_private import comparable, id_of, storage_of
from docclf.sweeper.study.attributes import CAUSE, DUPLICATE_OF, INTERRUPTED, ITS_OWN, NOT_COMPARABLE, PRUNED_AT


@dataclass(frozen=True)
class Outcome:
    """State, and what belongs to it."""

    state: TrialState  # COMPLETE, PRUNED or FAIL
    values: tuple[float, ...] | None = None  # one an objective if complete
    cause: str | None = None  # why it failed
    error: Any = None  # the exception that the job raised
    interrupted: str | None = None  # see `docclf.sweeper.study.attributes.INTERRUPTED`

    def is_worth_retrying(self, names: Sequence[str]) -> bool:
        """Whether the job raised one of these exceptions, by class name, or one derived from it."""
        return any(cls.__name__ in names for cls in type(self.error).__mro__) if self.error is not None else False


def outcome_of(job: JobReturn, trial: FrozenTrial, objectives: Sequence[str]) -> Outcome:
    """What became of a job; a failure where code of what it returned or raised fails.

    Args:
        objectives: Names of the objectives, which a task that returns a mapping is asked for.
    """
    try:
        return _judge(job, trial, objectives)
    except BaseException as error:  # as in `safe_text`
        return Outcome(TrialState.FAIL, cause=error_text(error))


def _judge(job: JobReturn, trial: FrozenTrial, objectives: Sequence[str]) -> Outcome:
    result = returned(job)
    error = result if job.status == JobStatus.FAILED else None
    if isinstance(error, TrialPruned):
        return Outcome(TrialState.PRUNED)
    if error is not None:
        cause = safe_text(error) if isinstance(error, TaskEndedError) else error_text(error)
        return Outcome(TrialState.FAIL, cause=cause, error=error)
    if result is None and PRUNED_AT in trial.user_attrs:
        return Outcome(TrialState.PRUNED)
    if result is None and INTERRUPTED in trial.user_attrs:
        return Outcome(TrialState.FAIL, cause="stopped by the search's timeout", interrupted="timeout")
    try:
        return Outcome(TrialState.COMPLETE, values=_values(result, objectives))
    except ValueError as wrong:
        return Outcome(TrialState.FAIL, cause=safe_text(wrong))


def _values(returned: Any, objectives: Sequence[str]) -> tuple[float, ...]:
    """The objective values that a job returned.

    >>> _values(1, ["score"]), _values({"score": 0.5, "seconds": 3}, ["seconds", "score"])
    ((1.0,), (3.0, 0.5))
    """
    if isinstance(returned, Mapping):
        if missing := [name for name in objectives if name not in returned]:
            raise ValueError(f"Expected the task to return {', '.join(missing)}, got {', '.join(map(str, returned))}")
        values: list[Any] = [returned[name] for name in objectives]
    elif isinstance(returned, Sequence) and not isinstance(returned, str):
        values = list(returned)
    else:
        plain = (
            returned.tolist() if callable(getattr(returned, "tolist", None)) else returned
        )  # of NumPy, torch, pandas
        values = plain if isinstance(plain, list) else [returned]
    try:
        numbers = tuple(float(value) for value in values)
    except Exception:  # of the value's own code, too
        raise ValueError(f"Expected the task to return a number, got {safe_text(returned, repr)}") from None
    if len(numbers) != len(objectives):
        raise ValueError(f"Expected {len(objectives)} objective values, got {len(numbers)}")
    if any(map(math.isnan, numbers)):
        raise ValueError(f"The objective is not a number: {safe_text(returned, repr)}")
    return numbers


def tell(study: optuna.Study, trial: FrozenTrial, outcome: Outcome) -> None:
    """Record an outcome; what `Study.tell` does, which reads the trial twice more.

    Args:
        trial: As the storage holds it.

    Raises:
        UpdateFinishedTrialError: Another process has ended the trial.
    """
    storage, trial_id = storage_of(study), id_of(trial)
    if outcome.cause:
        storage.set_trial_user_attr(trial_id, CAUSE, outcome.cause)
    if outcome.interrupted:
        storage.set_trial_user_attr(trial_id, INTERRUPTED, outcome.interrupted)
    elif trial.user_attrs.get(INTERRUPTED):  # the task was out of time and has ended all the same
        storage.set_trial_user_attr(trial_id, INTERRUPTED, None)
    values = outcome.values
    if outcome.state == TrialState.PRUNED and trial.last_step is not None:
        last = trial.intermediate_values[trial.last_step]
        values = None if math.isnan(last) else (last,)
    study.sampler.after_trial(comparable(study, trial), trial, outcome.state, values)
    storage.set_trial_state_values(trial_id, outcome.state, values)


def violations(constraints: Mapping[str, Any], trial: FrozenTrial, job: JobReturn) -> dict[str, float]:
    """By how much a trial misses each constraint; zero or less where it keeps to it.

    Args:
        constraints: Name of a returned metric or of a user attribute to a bound: a number that it must not exceed, or
            text such as "<= 60" or ">= 0.5".

    Raises:
        ValueError: The task gave no such number.
        Exception: What code of the object that it gave raises.
    """
    metrics = returned(job)
    given = {**trial.user_attrs, **(metrics if isinstance(metrics, Mapping) else {})}
    excess = {}
    for name, bound in constraints.items():
        value = given.get(name)
        if not isinstance(value, Real) or math.isnan(value):  # NumPy's are, too
            got = safe_text(value, repr)
            raise ValueError(f"Expected the task to give the number {name} for its constraint, got {got}")
        limit, sign = read_bound(bound)
        excess[str(name)] = sign * (float(value) - limit)
    return excess


def read_bound(bound: Any) -> tuple[float, int]:
    """The limit, and 1 for at most or -1 for at least.

    Raises:
        ValueError: It is no number.

    >>> read_bound(60), read_bound("<= 60"), read_bound(">= 0.5")
    ((60.0, 1), (60.0, 1), (0.5, -1))
    """
    text = str(bound).strip()
    sign = -1 if text.startswith(">=") else 1
    limit = float(text.removeprefix("<=").removeprefix(">="))
    if math.isnan(limit):
        raise ValueError(f"Expected a number, got {text}")
    return limit, sign


def find_twin(trial: optuna.Trial, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The earlier trial with a result and the same parameters; None without one, or where a parameter is continuous.

    Of several, as of a ladder where a trial goes on in another one, the first of those that came furthest.
    """
    discrete = (isinstance(d, CategoricalDistribution) or d.step is not None for d in trial.distributions.values())  # type: ignore[attr-defined]
    if not all(discrete):
        return None
    known = (TrialState.COMPLETE, TrialState.PRUNED)
    ended = (t for t in trials if t.state in known and NOT_COMPARABLE not in t.user_attrs)
    twins = [t for t in ended if t.params == trial.params]
    far = [(t.state == TrialState.COMPLETE, max(t.intermediate_values, default=-1)) for t in twins]
    return twins[far.index(max(far))] if twins else None


def take_over(trial: optuna.Trial, twin: FrozenTrial) -> Outcome:
    """Give a trial what its twin has measured, but not what is the twin's own; how it ends."""
    for key, value in twin.user_attrs.items():
        if key not in ITS_OWN:
            trial.set_user_attr(key, value)
    trial.set_user_attr(DUPLICATE_OF, twin.user_attrs.get(DUPLICATE_OF, twin.number))
    for step, value in twin.intermediate_values.items():
        trial.storage.set_trial_intermediate_value(id_of(trial), step, value)
    for key, value in twin.constraints.items():
        trial.set_constraint(key, value)
    return Outcome(twin.state, tuple(twin.values) if twin.state == TrialState.COMPLETE else None)
