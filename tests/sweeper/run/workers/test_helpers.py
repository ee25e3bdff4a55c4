"""Workers without a trial help the trials that run."""

import logging
import re
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus

from docclf.sweeper.run.workers.pool import Helpers, Job


def jobs(text: str) -> list[Job]:
    """Jobs by the numbers of their trials, helpers with a plus: "3 4 +4"."""
    return [Job(SimpleNamespace(number=int(word)), (word.strip("+"),), word.startswith("+")) for word in text.split()]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("most", "running", "number"),
    [
        (1, "", None),
        (0, "3", None),
        (1, "3", 3),
        (1, "3 +3", None),
        (2, "3 +3", 3),
        (2, "3 4", 4),
        (2, "4 3", 4),
        (2, "3 4 +4", 3),
        (2, "3 4 +3 +4", 4),
        (1, "+3", None),
    ],
)
def test_the_trial_with_the_fewest_helpers_gets_the_next_one_of_several_the_latest(
    most: int, running: str, number: int | None
) -> None:
    helpers = Helpers(most, "trial")
    helpers.running.update(job.trial.number for job in jobs(running) if job.helps)
    before = helpers.running.total()
    found = helpers.next(jobs(running))
    assert helpers.running.total() - before == (number is not None)
    assert (found and found.trial.number) == number
    assert found is None or (found.helps and found.overrides == (str(number),))


def ended(result: Any = None, error: Exception | None = None) -> Future[JobReturn]:
    future: Future[JobReturn] = Future()
    if error is not None:
        future.set_exception(error)
    else:
        status = JobStatus.FAILED if isinstance(result, Exception) else JobStatus.COMPLETED
        future.set_result(JobReturn(_return_value=result, status=status))
    return future


@pytest.mark.parametrize(
    ("future", "warning"),
    [
        (ended(), None),
        (ended(ValueError("wrong")), "trial 4 goes on without its helper: ValueError: wrong"),
        (ended(error=OSError("no such file")), "trial 4 goes on without its helper: OSError: no such file"),
    ],
)
def test_a_trial_whose_helper_has_ended_gets_no_other(
    future: Any, warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    helpers = Helpers(2, "trial")
    assert helpers.next(jobs("4")) is not None and helpers.running == {4: 1}
    with caplog.at_level(logging.WARNING):
        helpers.end(4, future)
    assert caplog.messages == ([warning] if warning else []) and helpers.running.total() == 0
    assert helpers.next(jobs("4")) is None and helpers.next(jobs("3 4")).trial.number == 3  # type: ignore[union-attr]


# The toy application

TWO = ("hydra.sweeper.n_jobs=2", "n_trials=3", "hydra.sweeper.helpers=1")


def helped(toy: Any) -> list[int]:
    return sorted(int(path.parent.name) for path in toy.folder.glob("*/helped"))


@pytest.mark.slow
def test_what_others_are_pruned_by_is_helped_before_another_trial_begins_and_so_is_the_last(toy: Any) -> None:
    waits = "await_at=[[0, multirun/toy/0/helped], [1, multirun/toy/1/helped], [3, multirun/toy/3/helped]]"
    pruner = ("hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=2")
    output = toy.run(*TWO, "n_trials=4", *pruner, waits, "seconds=0.2").output
    assert toy.states()[:2] == ["COMPLETE", "COMPLETE"] and len(toy.counted()) == 4
    assert {0, 1, 3} <= set(helped(toy))
    for number in (0, 1):
        at = (toy.folder / str(number) / "helped").stat().st_mtime
        assert at < toy.trials[number + 1].datetime_start.timestamp(), f"trial {number + 1} waits for it"
    assert re.findall("begin x=", (toy.folder / "0" / "app.log").read_text()) == ["begin x="]
    assert "output_subdir: .hydra" in (toy.folder / "0" / ".hydra" / "hydra.yaml").read_text()
    assert "goes on without" not in output


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [("hydra.sweeper.helpers=0",), ("hydra.sweeper.n_jobs=1",), ("hydra/launcher=joblib",)]
)
def test_nobody_helps_where_it_is_not_asked_for_or_the_workers_are_no_processes_of_the_search(
    toy: Any, options: tuple[str, ...]
) -> None:
    toy.run(*TWO, "hydra/sweeper/pruner=median", *options)
    assert len(toy.counted()) == 3 and helped(toy) == []


@pytest.mark.slow
def test_without_a_pruner_trials_come_first(toy: Any) -> None:
    waits = "await_at=[[0, multirun/toy/2/app.log], [2, multirun/toy/2/helped]]"
    toy.run(*TWO, waits)
    assert len(toy.counted()) == 3 and 2 in helped(toy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("helper", "cause"),
    [
        ("fails", "ArithmeticError: asked to fail"),
        pytest.param("dies", "its worker process ended, SIGKILL(-9)", marks=pytest.mark.slow),
    ],
)
def test_a_helper_that_fails_harms_nobody(toy: Any, helper: str, cause: str) -> None:
    waits = "await_at=[[0, multirun/toy/0/helped]]"
    output = toy.run(*TWO, "hydra/sweeper/pruner=median", waits, f"helper={helper}").output
    assert f"trial 0 goes on without its helper: {cause}" in output
    assert [t.state.name for t in toy.trials].count("FAIL") == 0 and len(toy.trials) == 3
