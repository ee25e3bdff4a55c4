"""Who a process is, and which of them are told dead from this machine."""

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.attributes import BEAT, INTERRUPTED, OWNER
from docclf.sweeper.process import host_of, is_here, runs_here, this_process
from docclf.sweeper.study import fail_dead

NAME = [sys.executable, "-c", "from docclf.sweeper.process import this_process; print(this_process(), flush=True)"]


def said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()


@pytest.fixture(scope="module")
def contained() -> str:
    """A process with ids of its own, as in a container of this machine's name."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", *NAME]
    if os.name != "posix" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a namespace can't be made here")
    return said(command)


def after(owner: str, silent: float) -> FrozenTrial:
    """What `fail_dead` makes of a running trial.

    Args:
        owner: Of the trial.
        silent: Seconds since its last heartbeat.
    """
    study = optuna.create_study()
    running = create_trial(state=TrialState.RUNNING, user_attrs={OWNER: owner, BEAT: time.time() - silent})
    running.datetime_start = datetime.now() - timedelta(hours=1)
    study.add_trial(running)
    fail_dead(study)
    return study.trials[0]


def test_a_process_of_this_machine_is_known_to_be_dead() -> None:
    dead = said(NAME)
    assert is_here(dead) and not runs_here(dead) and host_of(dead) == host_of(this_process())
    assert after(dead, silent=0).user_attrs[INTERRUPTED] == "process"


def test_a_process_of_this_machine_is_known_to_run() -> None:
    with subprocess.Popen([*NAME[:2], f"{NAME[2]}; input()"], stdin=-1, stdout=-1, encoding="utf-8") as process:
        assert process.stdout is not None
        alive = process.stdout.readline().strip()
        assert is_here(alive) and runs_here(alive)
        assert after(alive, silent=1e6).state == TrialState.RUNNING
        other = alive.rpartition(".")[0] + ".1"
        assert not runs_here(other), "another process had that id before"
        process.communicate("\n")


def test_a_container_of_the_same_name_is_judged_by_its_heartbeat(contained: str) -> None:
    assert host_of(contained) == host_of(this_process()) and not is_here(contained)
    assert after(contained, silent=0).state == TrialState.RUNNING
    assert after(contained, silent=1000).user_attrs[INTERRUPTED] == "process"


def test_what_another_machine_or_an_earlier_release_wrote_is_not_here() -> None:
    host, pid, _ = this_process().rsplit(":", 2)
    assert not is_here(f"else{host}:{pid}:1.2") and not is_here(f"{host}:{pid}:2") and not is_here("")
