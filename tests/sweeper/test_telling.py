"""What a job says that it is at: kept now and then, at no cost to the job."""

import time
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from processes import wait_until

from docclf.sweeper import telling
from docclf.sweeper.trial import JobTrial


class Storage(InMemoryStorage):
    """One that takes its time, or is away.

    Args:
        seconds: That it takes to keep an attribute.
        is_away: Whether it raises then.
    """

    def __init__(self, seconds: float = 0.0, is_away: bool = False) -> None:
        super().__init__()
        self.seconds, self.is_away = seconds, is_away
        self.kept: list[tuple[float, str]] = []

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        time.sleep(self.seconds)
        if self.is_away:
            raise ConnectionError("away")
        super().set_trial_user_attr(trial_id, key, value)
        self.kept.append((time.monotonic(), value))


def trial_in(storage: InMemoryStorage) -> JobTrial:
    return JobTrial(optuna.create_study(storage=storage).ask())


def test_the_first_text_is_kept_at_once_and_later_ones_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_PAUSE_S", 0.2)
    storage = Storage()
    trial = trial_in(storage)
    started = time.monotonic()
    while time.monotonic() < started + 0.7:
        trial.tell_progress(f"{time.monotonic() - started:.3f}")
        time.sleep(0.001)
    wait_until(lambda: len(storage.kept) >= 2)
    times = [when - started for when, _ in storage.kept]
    assert times[0] < 0.5 and 2 <= len(times) <= 5
    assert all(0 <= when - float(text) < 0.5 for when, (_, text) in zip(times, storage.kept, strict=True)), "the latest"
    assert storage.get_all_trials(0)[0].user_attrs["progress"] == storage.kept[-1][1]


def test_a_slow_storage_keeps_nobody_waiting_and_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_PAUSE_S", 0.0)
    storage = Storage(seconds=0.05)
    trial = trial_in(storage)
    started = time.perf_counter()
    trial.tell_progress("first")
    assert time.perf_counter() - started < 0.04
    wait_until(lambda: storage.kept)
    for _ in range(100):
        trial.tell_progress("later")
        time.sleep(0.002)
    assert len(storage.kept) == 1, "the next one is due after 10 s"


def test_of_a_long_trial_fewer_texts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(telling.time, "monotonic", lambda: clock[0])
    trial = trial_in(InMemoryStorage())
    assert trial._teller is not None
    for second in range(1200):
        clock[0] = 1000.0 + second
        trial.tell_progress(str(second))
        if trial._teller._writer is not None:
            trial._teller._writer.join()
        if second == 60:
            assert trial._teller._next <= clock[0] + 2
    assert clock[0] < trial._teller._next <= clock[0] + 10
    trial._teller._next = 0.0
    trial.tell_progress("now")
    assert trial._teller._next == clock[0] + 10


def test_a_storage_that_is_away_harms_nobody(recwarn: pytest.WarningsRecorder) -> None:
    trial = trial_in(Storage(is_away=True))
    trial.tell_progress("lost")
    assert trial._teller is not None and trial._teller._writer is not None
    trial._teller._writer.join()
    assert not recwarn.list


def test_what_is_told_too_late_is_dropped() -> None:
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage)
    asked = study.ask()
    trial = JobTrial(asked)
    study.tell(asked, 1.0)
    trial.tell_progress("late")
    assert trial._teller is not None and trial._teller._writer is not None
    trial._teller._writer.join()
    assert "progress" not in study.trials[0].user_attrs


def test_outside_a_search_nothing_happens() -> None:
    JobTrial().tell_progress("alone")


def test_telling_costs_next_to_nothing() -> None:
    trial = trial_in(InMemoryStorage())
    trial.tell_progress("first")
    started = time.perf_counter()
    for _ in range(1000):
        trial.tell_progress("dropped")
    assert (time.perf_counter() - started) / 1000 < 20e-6
