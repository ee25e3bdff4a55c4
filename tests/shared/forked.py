"""Commands run in forks, in which what they import is loaded: many times as fast as a new Python."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path

import cloudpickle
import pytest

# Its server has loaded what commands import, and has computed nothing with OpenMP: in a fork of a process in which
# OpenMP has had threads, a training dies of a segmentation fault now and then.
_SERVED = multiprocessing.get_context("forkserver")
_SERVED.set_forkserver_preload(["preloaded"])


def served(act: Callable[[], object], cwd: Path) -> tuple[int, str]:
    """Run something that may compute in another folder. Arguments and result as for `forked`."""
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:  # the server of Python 3.11 has no other way to this folder
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        forkserver.ensure_running()
    with tempfile.NamedTemporaryFile("r", errors="replace") as output:
        process = _SERVED.Process(target=_run, args=(cloudpickle.dumps(act), str(cwd), output.name))
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode, output.read()


def python(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None, warn: bool = True) -> tuple[int, str]:
    """`python -W error -m MODULE ARGUMENT...` without the seconds that a new Python takes to import.

    Tests of what is imported, of signals and of what is printed meanwhile start a Python of their own.

    Args:
        *arguments: A module of docclf or a script, and what it is given.
        cwd: The folder to run in.
        env: All environment variables; None for those of this process.
        warn: Whether warnings are errors.

    Returns:
        The exit status, and all that was printed.
    """
    environment, (module, *given) = dict(os.environ if env is None else env), arguments

    def act() -> None:
        os.environ.clear()
        os.environ.update(environment)
        is_script = module.endswith(".py")
        first = str(Path(module).parent) if is_script else str(cwd)
        _own_media_folder()
        sys.path[:0] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        sys.argv = [module, *given]
        sys.orig_argv = [sys.executable, *([] if is_script else ["-m"]), module, *given]
        if warn:
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "Implicitly cleaning up <TemporaryDirectory")  # of torch before 2.9
        try:
            if is_script:
                runpy.run_path(module, run_name="__main__")
            else:
                sys.modules.pop(module, None)  # as where nothing has imported it
                runpy.run_module(module, run_name="__main__", alter_sys=True)
        finally:  # as Python ends: threads, and what they run then, before everything else
            threading._shutdown()
            atexit._run_exitfuncs()

    return served(act, cwd)


def _own_media_folder() -> None:
    """W&B, which timm imports, makes a temporary folder when it is imported: else the first fork to end removes it."""
    if (loaded := sys.modules.get("wandb.sdk.data_types._private")) is not None:
        loaded.MEDIA_TMP._finalizer.detach()
        loaded.MEDIA_TMP.__init__()


def _run(pickled: bytes, cwd: str, output: str) -> None:
    assert "preloaded" in sys.modules, "its server says nothing of what it cannot import"
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


def is_told(code: int, output: str) -> bool:
    """Whether a command has ended well, or with a message that is not Python's."""
    return code in (0, 1, 2) and "Traceback" not in output and (code == 0 or bool(output.strip()))


def require_told(code: int, output: str, given: Sequence[str]) -> None:
    """Assert that a command has ended well, or with a message that is not Python's."""
    assert is_told(code, output), (given, code, output)
