"""Faults of the machine: they end a search with their cause, count no trial, and the same command goes on."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from slowly import slowly

from docclf.errors import DataError, MachineError
from docclf.safety.faults import fault_of, told

NUMBERS = ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "EMFILE", "ENFILE", "ENODEV", "ENOTCONN", "EFBIG")


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize("name", NUMBERS)
def test_an_error_number_of_the_machine_is_a_fault_of_it_whatever_is_made_of_it(name: str) -> None:
    number = getattr(errno, name)
    error = OSError(number, os.strerror(number), "page.png")
    for wrapped in (
        error,
        raised(DataError("cannot be read"), error),
        raised(ValueError("x"), raised(KeyError(), error)),
    ):
        found = fault_of(wrapped)
        assert found is not None and os.strerror(number) in str(found)
        assert fault_of(found) is found


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/3: file write failed"),
        RuntimeError("can't start new thread"),
        BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)),
        RuntimeError("std::system_error: Resource temporarily unavailable"),
        TimeoutError(errno.ETIMEDOUT, "timed out", "/nfs/page.png"),
        PermissionError(errno.EACCES, "Permission denied", "/nfs/page.png"),
    ],
)
def test_so_is_what_libraries_say_of_it(error: Exception) -> None:
    assert isinstance(fault_of(error), MachineError)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("the loss is not finite"),
        MemoryError(),
        FileNotFoundError(errno.ENOENT, "No such file", "x"),
        TimeoutError("the hub did not answer"),
        ConnectionError("the hub is away"),
        DataError("Expected 3 pages a class, got 2."),
    ],
)
def test_other_errors_are_none(error: Exception, tmp_path: Path) -> None:
    assert fault_of(error) is None
    assert fault_of(error, tmp_path) is None


@pytest.mark.parametrize(
    "fault",
    [errno.ENOSPC, *slowly(errno.ESTALE, "'disk I/O error'")],
)
@pytest.mark.parametrize("workers", [1, *slowly(2)])
def test_a_fault_ends_the_search_counts_nothing_and_the_same_command_goes_on(
    toy: Any, fault: int | str, workers: int
) -> None:
    command = ("n_trials=4", f"hydra.sweeper.n_jobs={workers}")
    output = toy.run(*command, f"fault_at=[[1,{fault}]]", code=1).output
    said = os.strerror(fault) if isinstance(fault, int) else fault.strip("'")
    assert said in output and "give the same command again" in output
    assert "Traceback" not in output
    assert {trial.state.name for trial in toy.counted()} <= {"COMPLETE"}
    assert {trial.user_attrs["interrupted"] for trial in toy.trials if trial not in toy.counted()} == {"machine"}
    lost = toy.trials[1].params

    toy.run(*command)
    assert [trial.state.name for trial in toy.counted()] == ["COMPLETE"] * 4
    assert lost in [trial.params for trial in toy.counted()], "what the machine cut off is tried again"


@pytest.mark.slow
def test_a_fault_that_comes_again_and_again_never_counts(toy: Any) -> None:
    for number in range(3):
        toy.run("n_trials=2", f"fault_at=[[{number},{errno.EROFS}]]", code=1)
    assert not toy.counted()
    toy.run("n_trials=2")
    assert [trial.state.name for trial in toy.counted()] == ["COMPLETE"] * 2
    assert toy.trials[3].params == toy.trials[0].params


def test_what_to_do_next_is_that_of_what_was_running() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(fault_of(full)).endswith(
        "No trial is counted for it. Once it is fixed, give the same command again: it goes on."
    )
    assert str(fault_of(full, then="Go on.")).endswith(f"{os.strerror(errno.ENOSPC)}. Go on.")
    assert told(full).endswith("Once it is fixed, give the same command again.") and "trial" not in told(full)
    assert told(DataError("Expected x.")) == "DataError: Expected x."


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_an_error_that_has_its_own_way_out_is_told_as_it_is(number: int) -> None:
    cause = OSError(number, os.strerror(number), "pages/corrections.csv")
    error = raised(DataError("Could not write pages/corrections.csv. Say --file corrections.csv."), cause)
    assert told(error) == "DataError: Could not write pages/corrections.csv. Say --file corrections.csv."
    full = raised(DataError("Could not write x."), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x"))
    assert told(full).startswith("MachineError: ") and told(cause).startswith("MachineError: ")
