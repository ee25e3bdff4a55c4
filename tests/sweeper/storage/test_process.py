"""Who a process is, and which of them are told dead from this machine."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.run.asker import Asker
from docclf.sweeper.study import finalists, process, trials
from docclf.sweeper.study.attributes import BEAT, INTERRUPTED, OWNER
from docclf.sweeper.study.finalists import await_sign_of_life, other_owner, own
from docclf.sweeper.study.process import (
    EndingSignals,
    has_this_name,
    host_of,
    is_here,
    is_of_an_earlier_boot,
    runs_here,
    this_process,
)
from docclf.sweeper.study.trials import fail_stale

NAME = [
    sys.executable,
    "-c",
    "from docclf.sweeper.study.process import this_process; print(this_process(), flush=True)",
]


def said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()


@pytest.fixture(scope="module")
def contained() -> str:
    """A process with ids of its own, as in a container of this machine's name."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", *NAME]
    if os.name != "posix" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a namespace can't be made here")
    return said(command)


def after(owner: str, silent: float, hours_ahead: float = 0.0) -> FrozenTrial:
    """What `fail_stale` makes of a running trial.

    Args:
        owner: Of the trial.
        silent: Seconds since its last heartbeat.
        hours_ahead: Of its machine's time zone.
    """
    study = optuna.create_study()
    running = create_trial(state=TrialState.RUNNING, user_attrs={OWNER: owner, BEAT: time.time() - silent})
    running.datetime_start = datetime.now() - timedelta(hours=1 - hours_ahead)
    study.add_trial(running)
    fail_stale(study)
    return study.trials[0]


def test_a_process_of_this_machine_is_known_to_be_dead() -> None:
    dead = said(NAME)
    assert is_here(dead) and not runs_here(dead) and host_of(dead) == host_of(this_process())
    assert after(dead, silent=0).user_attrs[INTERRUPTED] == "process"


def test_a_process_of_this_machine_is_known_to_run() -> None:
    with subprocess.Popen([*NAME[:2], f"{NAME[2]}; input()"], stdin=-1, stdout=-1, encoding="utf-8") as other_process:
        assert other_process.stdout is not None
        alive = other_process.stdout.readline().strip()
        assert is_here(alive) and runs_here(alive)
        assert after(alive, silent=1e6).state == TrialState.RUNNING
        other = alive.rpartition(".")[0] + ".1"
        assert not runs_here(other), "another process had that id before"
        other_process.communicate("\n")


def test_a_container_of_the_same_name_is_judged_by_its_heartbeat(contained: str) -> None:
    assert has_this_name(contained) and not is_here(contained) and not is_of_an_earlier_boot(contained)
    assert after(contained, silent=0).state == TrialState.RUNNING
    assert after(contained, silent=1000).user_attrs[INTERRUPTED] == "process"


@pytest.mark.parametrize("hours_ahead", [-9.0, 9.0])
def test_a_process_of_another_time_zone_is_judged_by_its_heartbeat_alone(hours_ahead: float) -> None:
    other = f"else{this_process()}"
    assert after(other, silent=0, hours_ahead=hours_ahead).state == TrialState.RUNNING
    assert after(other, silent=1000, hours_ahead=hours_ahead).user_attrs[INTERRUPTED] == "process"


def test_a_trial_has_a_heartbeat_from_its_first_moment_on() -> None:
    study, began = optuna.create_study(sampler=optuna.samplers.RandomSampler()), time.time()
    Asker(study).take()
    (trial,) = study.trials
    assert trial.user_attrs[OWNER] == this_process() and began <= trial.user_attrs[BEAT] <= time.time()


def test_what_another_machine_or_an_earlier_release_wrote_is_not_here() -> None:
    host, pid, where = this_process().rsplit(":", 2)
    assert not is_here(f"else{host}:{pid}:{where}") and not is_here(f"{host}:{pid}:2") and not is_here("")
    assert is_of_an_earlier_boot(f"{host}:{pid}:2") and is_of_an_earlier_boot(f"{host}:{pid}:0123abcd-40.2")
    assert not any(map(is_of_an_earlier_boot, (this_process(), f"else{host}:{pid}:2", "")))


# What ends a process


def test_while_what_a_signal_ended_is_recorded_the_next_ones_raise_nothing() -> None:
    with EndingSignals() as signals:
        signals.end_once()
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
        signals.end_once()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert signals.exit_code == 143


@pytest.mark.parametrize(("handler", "ends"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_terminal_that_is_closed_ends_what_runs_unless_somebody_has_it_ignored(handler: Any, ends: bool) -> None:
    before = signal.signal(signal.SIGHUP, handler)
    try:
        with pytest.raises(SystemExit, match="129") if ends else nullcontext(), EndingSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
        assert signals.is_received == ends
    finally:
        signal.signal(signal.SIGHUP, before)


ENDS = """
import signal, sys, time
def end(number, _):
    time.sleep(0.5)
    print("saved after", signal.Signals(number).name, flush=True)
    sys.exit()
signal.signal(getattr(signal, sys.argv[1]), end)
signal.signal(signal.SIGINT, end if sys.argv[1] == "SIGINT" else signal.SIG_IGN)
print("begun", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM"])
def test_a_command_that_ctrl_c_has_reached_ends_by_itself_and_any_other_is_terminated(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "SIGTERM":
        monkeypatch.setattr(process, "_ENDS_IN_S", 0.2)
    said: list[str] = []
    with subprocess.Popen([sys.executable, "-c", ENDS, by], stdout=-1, encoding="utf-8") as command:
        assert command.stdout is not None and command.stdout.readline() == "begun\n"
        command.send_signal(signal.SIGINT)
        process.let_end(command, said.append)
    assert (said, command.returncode) == ([f"saved after {by}\n"], 0)


# Who has the finalists


def owned_by(owner: str, silent: float) -> optuna.Study:
    """Finalists whose owner was last heard of so many seconds ago."""
    study = optuna.create_study()
    own(study, owner)
    study.set_user_attr(BEAT, time.time() - silent)
    return study


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "STALE_AFTER_S", 2.0)
    monkeypatch.setattr(finalists, "_LOOK_S", 0.02)


def test_finalists_of_a_container_that_ended_are_taken_over(contained: str, quick: None) -> None:
    study = owned_by(contained, silent=0.5)
    assert other_owner(study) == contained
    await_sign_of_life(study)
    assert other_owner(study) is None


def test_finalists_of_a_container_that_lives_are_left_to_it(contained: str, quick: None) -> None:
    study = owned_by(contained, silent=1.0)
    beats = threading.Timer(0.3, lambda: study.set_user_attr(BEAT, time.time() + 1000))
    beats.start()
    await_sign_of_life(study)
    assert other_owner(study) == contained
    beats.join()


@pytest.mark.parametrize("owner", ["elsewhere:1:2", "", None])
def test_nobody_waits_for_another_machine_or_for_nobody(owner: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docclf.sweeper.study.finalists.time.sleep", lambda _: pytest.fail("it waits"))
    await_sign_of_life(owned_by(owner, 0.0) if owner is not None else optuna.create_study())
