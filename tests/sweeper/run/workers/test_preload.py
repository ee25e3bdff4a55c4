"""What worker processes import before their first job, and what becomes of them if there is none."""

import os
import signal
import tempfile
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from omegaconf import OmegaConf
from processes import descendants, runs, shared_memory, wait_until

from docclf.sweeper.run.workers import pool as module
from docclf.sweeper.run.workers.pool import Workers
from docclf.sweeper.run.workers.process import held_signals


def test_workers_import_what_they_need_while_the_data_are_checked(toy: Any) -> None:
    """The preflight waits for the imports, of a module that is there and of one that is not."""
    toy.run(
        "n_trials=2", "hydra.sweeper.n_jobs=2", "limit=2", "seconds=0.3", "hydra.sweeper.preload=[absent,heavy]",
        "hydra.sweeper.preflight=hooks.await_imports",
    )  # fmt: skip
    imported = {path.name.partition("-")[2] for path in toy.cwd.glob("imported-*")}
    assert {str(trial.user_attrs["process"]) for trial in toy.trials} == imported


@pytest.mark.slow
def test_no_more_processes_start_than_there_are_trials_and_none_for_a_search_that_is_done(toy: Any) -> None:
    command = ("hydra.sweeper.n_jobs=4", "seconds=0", "hydra.sweeper.preload=[heavy]", "limit=2")
    for _ in range(2):
        toy.run("n_trials=2", *command, "hydra.sweeper.preflight=hooks.await_imports")
        assert len(list(toy.cwd.glob("imported-*"))) == 2
    toy.run("n_trials=3", *command, "hydra.sweeper.preflight=hooks.await_imports")
    assert 2 < len(list(toy.cwd.glob("imported-*"))) <= 5


@pytest.mark.slow
def test_sigterm_while_workers_import_ends_all_of_them_tidily(toy: Any) -> None:
    process = toy.start(
        "hydra.sweeper.n_jobs=2", "limit=3", "hydra.sweeper.preload=[heavy]",
        "hydra.sweeper.preflight=hooks.await_imports",
    )  # fmt: skip
    wait_until(lambda: len(list(toy.cwd.glob("imported-*"))) == 2)
    everyone = [process.pid, *descendants(process.pid)]
    process.terminate()
    output = process.communicate(timeout=60)[0]
    assert (process.returncode, output) == (143, "")
    wait_until(lambda: not any(map(runs, everyone)))
    assert shared_memory(everyone) == []


def test_a_signal_waits_until_a_process_that_starts_is_known() -> None:
    with pytest.raises(KeyboardInterrupt), held_signals():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # Python would have raised it here
        raised_before_the_end = False
    assert not raised_before_the_end
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_that_dies_at_its_start_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is more to tell it than a pipe holds."""
    monkeypatch.setattr(module, "worker_environment", lambda *_: {"PYTHONHOME": str(tmp_path / "nowhere")})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    launcher = BasicLauncher()
    launcher.config = OmegaConf.create({"long": "text" * 100_000})
    workers = Workers(launcher, 2)
    future = workers.submit([], 0)
    assert workers.wait([future], 60) == {future}
    assert isinstance(future.exception(), BrokenProcessPool)
    workers.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_data_that_are_refused_wait_for_no_import_and_leave_nothing_running(toy: Any) -> None:
    (toy.cwd / "slow").touch()
    process = toy.start(
        "hydra.sweeper.n_jobs=2", "limit=2", "hydra.sweeper.preload=[heavy]", "hydra.sweeper.preflight=hooks.refuse"
    )
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and output.strip() == "Expected other data."
    started = [int(path.name.partition("-")[2]) for path in toy.cwd.glob("imported-*")]
    assert len(started) == 2
    wait_until(lambda: not any(map(runs, started)))
    assert shared_memory([process.pid, *started]) == []
