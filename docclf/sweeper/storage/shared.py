"""A study's storage, which others may write to as well, and whose server may be away for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import DataError, safe_text
from docclf.sweeper.optuna_private import id_of
from docclf.sweeper.storage.patience import patient
from docclf.sweeper.study.attributes import of_their_kind


class SharedStorage(BaseStorage):
    """Passes every call on, and leaves out what is not of the kind that docclf's processes write.

    Of a server that cannot be reached a call is made again. If its answer was lost it may take effect twice. Little
    comes of that: a trial without an owner is taken for dead, what is queued twice runs once, and a trial that has
    ended stays as it is.
    """

    def __init__(self, inner: BaseStorage, is_remote: bool) -> None:
        self.inner, self._is_remote = inner, is_remote
        self._checked: dict[int, FrozenTrial] = {}
        if is_remote:
            # Of a lost connection Optuna logs whole SQL statements before it raises, SQLAlchemy a traceback.
            logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
            logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)

    def __getattr__(self, name: str) -> Any:  # what only some storages have
        if name == "inner":  # asked for while it is unpickled
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __reduce__(self) -> Any:
        return SharedStorage, (self.inner, self._is_remote)

    def _check(self, trial: FrozenTrial) -> None:
        if self._checked.get(id_of(trial)) is trial:
            return
        if trial.state == TrialState.COMPLETE and not trial.values:
            raise _damaged(f"the value of trial {trial.number}, which is complete, got none")
        _require_numbers(trial)
        kept = of_their_kind(trial.user_attrs)
        if kept != trial.user_attrs:
            trial.user_attrs = kept
        if trial.state.is_finished():  # nothing about it changes, and Optuna keeps the object
            self._checked[id_of(trial)] = trial


def _require_numbers(trial: FrozenTrial) -> None:
    """See that numbers of a trial are numbers: SQLite and journals take texts for them, and a number names a folder.

    Raises:
        DataError: One is none.
    """
    if type(trial.number) is not int or trial.number < 0:
        raise _damaged(f"a number from 0 up for each trial, got {safe_text(trial.number, ascii)}")
    drawn = (
        trial.params[key] for key, kind in trial.distributions.items() if type(kind) is not CategoricalDistribution
    )
    steps = trial.intermediate_values
    for value in (*(trial.values or ()), *steps, *steps.values(), *drawn):
        if not isinstance(value, int | float):
            raise _damaged(f"numbers for trial {trial.number}, got {safe_text(value, ascii)}")


def _damaged(expected: str) -> DataError:
    return DataError(f"Expected {expected}: the study is damaged. Copy it again from where it is whole.")


def _forward(name: str) -> Callable[..., Any]:
    def method(self: SharedStorage, *args: Any, **kwargs: Any) -> Any:
        def call() -> Any:
            return getattr(self.inner, name)(*args, **kwargs)

        answer = patient(call, name) if self._is_remote else call()
        if name in ("get_study_user_attrs", "get_trial_user_attrs"):
            return of_their_kind(answer)
        for trial in answer if name == "get_all_trials" else [answer]:
            if isinstance(trial, FrozenTrial):
                self._check(trial)
        return answer

    method.__name__ = name
    return method


for _name in (name for name in vars(BaseStorage) if not name.startswith("_") and callable(getattr(BaseStorage, name))):
    setattr(SharedStorage, _name, _forward(_name))
SharedStorage.__abstractmethods__ = frozenset()
