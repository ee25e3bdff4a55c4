"""Commands run in forks, in which what they import is loaded: many times as fast as a new Python."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import cloudpickle

# Its server has loaded what commands import, and has computed nothing: in a fork of a process in which OpenMP has had
# threads, a training dies of a segmentation fault now and then.
_SERVED = multiprocessing.get_context("forkserver")
_SERVED.set_forkserver_preload(["docclf.train", "docclf.training.refit", "docclf.predict", "docclf.report"])


def served(act: Callable[[], object], cwd: Path) -> tuple[int, str]:
    """Run something that may compute in another folder. Arguments and result as for `forked`."""
    with tempfile.NamedTemporaryFile("r", errors="replace") as output:
        process = _SERVED.Process(target=_run, args=(cloudpickle.dumps(act), str(cwd), output.name))
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode, output.read()


def _run(pickled: bytes, cwd: str, output: str) -> None:
    os.chdir(cwd)
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    os._exit(_status(cloudpickle.loads(pickled)))


def forked(act: Callable[[], object], cwd: Path) -> tuple[int, str]:
    """Run something in a fork of this process, in another folder. It must not compute, see `served`.

    Args:
        act: What a command does; it may end by SystemExit.
        cwd: The folder.

    Returns:
        The exit status, and all that was printed.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        pid = os.fork()
        if not pid:
            os.chdir(cwd)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os._exit(_status(act))
        _, status = os.waitpid(pid, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read()


def _status(act: Callable[[], object]) -> int:
    try:
        code = act()
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 0


def command(main: Callable[[], object], *arguments: str) -> Callable[[], object]:
    """A command of Hydra, as `sys.argv` has it."""

    def act() -> object:
        sys.argv = ["docclf", *arguments]
        return main()

    return act


def require_told(code: int, output: str, given: Sequence[str]) -> None:
    """Assert that a command has ended well, or with a message that is not Python's."""
    assert code in (0, 1, 2), (given, code, output)
    assert "Traceback" not in output, (given, output)
    assert code == 0 or output.strip(), given
