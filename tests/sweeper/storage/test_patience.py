"""A database that is away for a while. With a real server that stops and starts: test_postgres.py."""

import logging
import pickle
import random
import time
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage
from sqlalchemy.exc import IntegrityError, OperationalError, PendingRollbackError, ProgrammingError

from docclf.sweeper.storage import patience
from docclf.sweeper.storage.patience import back_since, in_a_hurry, patient
from docclf.sweeper.storage.shared import SharedStorage


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(patience._Patience, "back", 0.0)


REFUSED = OperationalError("SELECT 1", {}, Exception("connection refused\nIs the server running?"))


def wrapped(error: Exception) -> StorageInternalError:
    """As Optuna raises it."""
    outer = StorageInternalError("An exception is raised during the commit.")
    outer.__cause__ = error
    return outer


def failing(times: int, error: Exception) -> Callable[[], str]:
    """Raises so many times, and then answers."""
    left = [error] * times

    def call() -> str:
        if left:
            raise left.pop()
        return "answer"

    return call


@pytest.mark.parametrize(
    "error",
    [REFUSED, wrapped(REFUSED), wrapped(PendingRollbackError("Can't reconnect until it is rolled back"))],
    ids=["SQLAlchemy's", "Optuna's", "after a lost connection"],
)
def test_a_call_is_made_again_until_it_is_answered_and_that_is_told_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = time.time()
    assert patient(failing(5, error), "get_trial") == "answer"
    away, back = caplog.messages
    assert away.startswith("The database is away, trying again (get_trial): ")
    assert "\n" not in away
    assert back.startswith("The database is back after")
    assert back_since() >= before


def test_an_answer_at_once_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    assert patient(failing(0, REFUSED), "get_trial") == "answer"
    assert caplog.messages == []
    assert back_since() == 0.0


@pytest.mark.parametrize(
    "error",
    [
        ProgrammingError("SELECT", {}, Exception("no such column")),
        wrapped(IntegrityError("INSERT", {}, Exception("unique"))),
        OperationalError("", {}, Exception('FATAL: password authentication failed for user "me"')),
        KeyError("no such study"),
    ],
    ids=["ProgrammingError", "IntegrityError", "a wrong password", "KeyError"],
)
def test_what_is_wrong_with_the_question_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        patient(failing(1, error), "get_trial")


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience._Patience, "seconds", 0.1)
    with pytest.raises(OperationalError):
        patient(failing(10_000, REFUSED), "get_trial")


def test_in_a_hurry_a_database_that_is_away_is_left_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = [0.0]
    monkeypatch.setattr(patience.time, "sleep", waited.append)
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(waited))
    with in_a_hurry():
        patient(failing(10_000, REFUSED), "get_trial")
    assert 3 < sum(waited) < 10
    assert "The database is away; once it is back" in caplog.text
    assert patience._Patience.seconds == 300.0


def test_in_a_hurry_other_errors_are_raised() -> None:
    with pytest.raises(KeyError), in_a_hurry():
        raise KeyError


class Away:
    """A storage of whose calls one in five finds no server."""

    def __init__(self, inner: BaseStorage) -> None:
        self.inner, self.failed, self.rng = inner, 0, random.Random(0)

    def __getattr__(self, name: str) -> Any:
        if self.rng.random() < 0.2:
            self.failed += 1
            raise REFUSED
        return getattr(self.inner, name)


def test_a_study_in_a_patient_storage_loses_nothing() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    away: Any = Away(InMemoryStorage())
    study = optuna.create_study(storage=SharedStorage(away, is_remote=True))  # type: ignore[abstract]
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=10)
    assert [trial.state.name for trial in study.trials] == 10 * ["COMPLETE"]
    assert away.failed > 5


def test_every_public_call_of_a_storage_is_patient() -> None:
    names = [name for name in vars(BaseStorage) if not name.startswith("_") and callable(vars(BaseStorage)[name])]
    assert {"create_new_trial", "set_trial_state_values", "get_all_trials", "set_trial_user_attr"} <= set(names)
    assert all(name in vars(SharedStorage) for name in names)


def test_a_patient_storage_can_be_pickled_and_has_what_its_inner_one_has() -> None:
    inner = InMemoryStorage()
    storage = pickle.loads(pickle.dumps(SharedStorage(inner, is_remote=True)))  # type: ignore[abstract]
    assert isinstance(storage.inner, InMemoryStorage)
    with pytest.raises(AttributeError):
        _ = storage.nothing_of_this_name
