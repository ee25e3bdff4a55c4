"""What a job says that it is at: kept now and then, at no cost to the job."""

import threading
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage

from docclf.sweeper.job.trial import JobTrial
from docclf.sweeper.screen import progress_writer


class Storage(InMemoryStorage):
    """One that takes its time, or is away.

    Args:
        is_away: Whether it raises when it is to keep an attribute.

    Attributes:
        is_asked: Set once it is to keep one.
        is_free: Set but where it is to take until this is set.
    """

    def __init__(self, is_away: bool = False) -> None:
        super().__init__()
        self.is_away = is_away
        self.is_asked, self.is_free = threading.Event(), threading.Event()
        self.is_free.set()
        self.kept: list[str] = []

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.is_asked.set()
        self.is_free.wait(60)
        if self.is_away:
            raise ConnectionError("away")
        super().set_trial_user_attr(trial_id, key, value)
        self.kept.append(value)


def trial_in(storage: InMemoryStorage) -> JobTrial:
    return JobTrial(optuna.create_study(storage=storage).ask())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Of the progress writer: its first item, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(progress_writer.time, "monotonic", lambda: now[0])
    return now


def tell(trial: JobTrial, text: str) -> None:
    """Tell it and wait until it is written, if it is."""
    trial.tell_progress(text)
    assert trial._progress is not None and trial._progress._writer is not None
    trial._progress._writer.join()


def test_the_first_text_is_kept_at_once_and_later_ones_now_and_then(clock: list[float]) -> None:
    storage = Storage()
    trial = trial_in(storage)
    for tenth in range(50):
        clock[0] = 1000 + tenth / 10
        tell(trial, f"{tenth}")
    assert storage.kept == ["0", "20", "40"]
    assert storage.get_all_trials(0)[0].user_attrs["progress"] == "40"


def test_a_slow_storage_keeps_nobody_waiting_and_is_asked_less_often(clock: list[float]) -> None:
    storage = Storage()
    trial = trial_in(storage)
    storage.is_free.clear()
    trial.tell_progress("first")
    assert trial._progress is not None and trial._progress._writer is not None
    assert not storage.kept, "it is being written still"
    assert storage.is_asked.wait(60)
    clock[0] += 1
    storage.is_free.set()
    trial._progress._writer.join()
    for second in range(1, 202):
        clock[0] = 1000.0 + second
        tell(trial, f"{second}")
    assert storage.kept == ["first", "201"], "the next one is due after 200 s"


def test_of_a_long_trial_fewer_texts_are_kept(clock: list[float]) -> None:
    trial = trial_in(InMemoryStorage())
    assert trial._progress is not None
    for second in range(1200):
        clock[0] = 1000.0 + second
        tell(trial, str(second))
        if second == 60:
            assert trial._progress._next <= clock[0] + 2
    assert clock[0] < trial._progress._next <= clock[0] + 10
    trial._progress._next = 0.0
    trial.tell_progress("now")
    assert trial._progress._next == clock[0] + 10


def test_a_storage_that_is_away_harms_nobody(recwarn: pytest.WarningsRecorder) -> None:
    tell(trial_in(Storage(is_away=True)), "lost")
    assert not recwarn.list


def test_what_is_told_too_late_is_dropped() -> None:
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage)
    asked = study.ask()
    trial = JobTrial(asked)
    study.tell(asked, 1.0)
    tell(trial, "late")
    assert "progress" not in study.trials[0].user_attrs


def test_outside_a_search_nothing_happens() -> None:
    JobTrial().tell_progress("alone")
