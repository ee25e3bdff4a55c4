"""Whose the next trial is, when several processes of one machine search one study in a file."""

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from docclf.sweeper.storage.claims import claim_lock, is_remote
from docclf.sweeper.storage.places import open_storage
from docclf.sweeper.study.queue import drop_queued_twice, retry_interrupted


def journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


HOLD = """
import sys, time
from docclf.sweeper.storage.claims import claim_lock
from docclf.sweeper.storage.places import open_storage
with claim_lock(open_storage(sys.argv[1]), "a"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
    print(time.monotonic(), flush=True)  # the same clock in all processes
"""


def hold(storage: str, seconds: float) -> subprocess.Popen[str]:
    """A process that has the claim."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, storage, str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("name", ["sqlite:///{}/a.db", pytest.param("{}/a.log", marks=pytest.mark.slow)])
def test_a_claim_is_held_by_one_process_and_ends_with_it(name: str, tmp_path: Path) -> None:
    url = name.format(tmp_path)
    storage = open_storage(url)
    holder = hold(url, 0.5)
    with claim_lock(storage, "a"):
        had = time.monotonic()
    given_back = float(holder.communicate()[0])
    assert given_back < had

    holder = hold(url, 600)
    holder.kill()
    holder.communicate()
    with claim_lock(storage, "a").acquire(timeout=60):  # type: ignore[attr-defined]
        pass  # or it would have been held for good


def test_a_claim_costs_little(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/a.db")
    started = time.process_time()
    for _ in range(100):
        with claim_lock(storage, "a"):
            pass
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    "storage", [InMemoryStorage(), RDBStorage("sqlite:///:memory:")], ids=["memory", "sqlite in memory"]
)
def test_a_storage_of_one_process_needs_no_claim(storage: BaseStorage) -> None:
    with claim_lock(storage, "a"), claim_lock(storage, "a"):
        pass


def test_a_file_is_not_remote(tmp_path: Path) -> None:
    assert not is_remote(open_storage(f"sqlite:///{tmp_path}/a.db"))
    assert not is_remote(open_storage(f"{tmp_path}/a.log"))


# Many processes on one file

STORAGES = ["null", "shared.log"]


def trials_of(toy: Any, storage: str) -> list[optuna.trial.FrozenTrial]:
    if storage == "null":
        return list(toy.trials)
    return optuna.load_study(study_name="toy", storage=journal(toy.cwd / storage)).trials


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGES)
def test_4_processes_come_to_exactly_the_total_and_repeat_no_trial(storage: str, toy: Any) -> None:
    command = (
        "n_trials=40", "hydra.sweeper.baseline=true", "hydra.sweeper.enqueue=[{x:0.25,n:2,colour:blue}]",
        "hydra.sweeper.preflight=hooks.gather", "limit=4", f"hydra.sweeper.storage={storage}", "seconds=0.05",
        "hydra.sweeper.n_jobs=2",
    )  # fmt: skip
    started = [toy.start(*command) for _ in range(4)]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == 4 * [0], "\n".join(outputs)
    trials = trials_of(toy, storage)
    assert [trial.state.name for trial in trials] == 40 * ["COMPLETE"]
    assert [trial.number for trial in trials] == toy.folders() == list(range(40))
    assert [t.number for t in trials if t.user_attrs.get("role") == "baseline"] == [0]
    assert [t.params for t in trials if "enqueued" in t.user_attrs] == [{"x": 0.25, "n": 2, "colour": "blue"}]
    for trial in trials:
        text = (toy.folder / str(trial.number) / "app.log").read_text()
        assert re.findall("begin x=(.*)", text) == [str(trial.params["x"])]
    assert len({trial.params["x"] for trial in trials}) == 40, "two processes drew the same random numbers"
    assert len({trial.user_attrs["owner"] for trial in trials}) > 1
    assert "Traceback" not in "".join(outputs)


@pytest.mark.slow
@pytest.mark.parametrize("storage", STORAGES)
def test_trials_of_a_killed_process_are_finished_by_the_others(storage: str, toy: Any) -> None:
    command = ("n_trials=24", f"hydra.sweeper.storage={storage}", "seconds=0.6", "hydra.sweeper.baseline=true")
    started = [toy.start(*command) for _ in range(4)]
    deadline = time.monotonic() + 60
    while not (toy.folder / "6" / "app.log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for process in started[:2]:
        process.kill()
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [-9, -9, 0, 0], "\n".join(outputs)
    trials = trials_of(toy, storage)
    counted = [trial for trial in trials if not trial.user_attrs.get("interrupted")]
    assert Counter(trial.state.name for trial in counted) == {"COMPLETE": 24}
    dead = [trial.number for trial in trials if trial.user_attrs.get("interrupted")]
    assert 1 <= len(dead) <= 2
    assert sorted(t.user_attrs["retry_of"] for t in counted if "retry_of" in t.user_attrs) == dead


@pytest.mark.slow
def test_a_grid_is_walked_once_by_several_processes(toy: Any) -> None:
    command = ("n_trials=100", "hydra/sweeper/sampler=grid", "hydra.sweeper.preflight=hooks.gather", "limit=3")
    space = ("x=choice(0.0,0.1,0.2)", "n=range(0,4)", "colour=blue")
    started = [toy.start(*command, *space) for _ in range(3)]
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == 3 * [0], "\n".join(outputs)
    points = Counter((trial.params["x"], trial.params["n"]) for trial in toy.trials)
    assert points == {(x, n): 1 for x in (0.0, 0.1, 0.2) for n in range(4)}


# What two processes have queued at the same moment


def interrupted_study() -> optuna.Study:
    """Trial 0 was interrupted, and two processes have queued it again."""
    study = optuna.create_study()
    study.enqueue_trial({"x": 1.0}, user_attrs={"enqueued": "x=1"})
    trial = study.ask()
    trial.suggest_float("x", 0, 2)
    trial.set_user_attr("interrupted", "process")
    study.tell(trial, state=TrialState.FAIL)
    other = optuna.load_study(study_name=study.study_name, storage=study._storage)
    before = study.get_trials()
    retry_interrupted(study)
    assert len(before) == 1
    other.enqueue_trial({"x": 1.0}, user_attrs={"retry_of": 0, "enqueued": "x=1"})
    return study


def test_a_trial_that_was_queued_again_twice_runs_once() -> None:
    study = interrupted_study()
    drop_queued_twice(study, study.get_trials())
    assert [t.state.name for t in study.trials] == ["FAIL", "WAITING", "FAIL"]
    assert study.trials[2].user_attrs["interrupted"] == "unwanted"
    retry_interrupted(study)
    assert len(study.trials) == 3, "what nobody wants is not tried again"


def test_a_retry_that_died_is_no_double_of_its_own_retry() -> None:
    study = interrupted_study()
    drop_queued_twice(study, study.get_trials())
    again = study.ask()
    again.suggest_float("x", 0, 2)
    again.set_user_attr("interrupted", "timeout")
    study.tell(again, state=TrialState.FAIL)
    retry_interrupted(study)
    drop_queued_twice(study, study.get_trials())
    assert [t.state.name for t in study.trials] == ["FAIL", "FAIL", "FAIL", "WAITING"]


def test_a_trial_that_is_being_interrupted_is_not_queued_again_before_it_has_ended() -> None:
    study = optuna.create_study()
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 2)})
    trial.set_user_attr("interrupted", "process")
    retry_interrupted(study)
    assert len(study.trials) == 1
    study.tell(trial, state=TrialState.FAIL)
    retry_interrupted(study)
    assert [t.state.name for t in study.trials] == ["FAIL", "WAITING"]


def test_an_entry_that_two_processes_have_queued_runs_once() -> None:
    study = optuna.create_study()
    for text in ("x=1", "x=2", "x=1"):
        study.enqueue_trial({"x": float(text[-1])}, user_attrs={"enqueued": text})
    drop_queued_twice(study, study.get_trials())
    assert [t.state.name for t in study.trials] == ["WAITING", "WAITING", "FAIL"]
