"""docclf finds the best hyper-parameters for document-image classifiers."""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docclf.api import SearchResult as SearchResult
    from docclf.api import TrainedRun as TrainedRun
    from docclf.api import best_config as best_config
    from docclf.api import load_study as load_study
    from docclf.api import predict as predict
    from docclf.api import read_search as read_search
    from docclf.api import search as search
    from docclf.api import train as train
    from docclf.inference.loaded import load_model as load_model

__version__ = "0.2.0"

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries conf/ inside the package; in a checkout it lies at the top, beside the package.
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"

# At its end Python looks through all that torch and its like have made for garbage, which takes it two seconds.
atexit.register(gc.freeze)

# OpenMP threads that wait for work spin for milliseconds, on cores that others could use: with one more busy process on
# 2 cores a training was seen to take 10 times as long. Read when torch is imported; the user's own setting stands.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

# A package is imported before its command, `python -m docclf.train`. Until `docclf.cli.console.ended_by_ctrl_c` nothing
# is to be saved, and Ctrl-C ends the process without a traceback.
_is_command = sys.argv[:1] == ["-m"] and any(text.startswith("docclf.") for text in sys.orig_argv)
if _is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import heavy modules in three quarters of the time: without looking for garbage among what stays for good.

    Where all of them are loaded already, as in a worker from its second trial on, what is in memory is that of a trial
    before, and is left to be collected.
    """
    was_enabled, n_modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
            if len(sys.modules) > n_modules:
                gc.freeze()


def n_cores() -> int:
    """Cores that this process may use: by affinity, or a container's share where that is smaller."""
    from loky import cpu_count

    return int(cpu_count())


class CommandModule(ModuleType):
    """The module of a command that is a function too: `python -m docclf.train` is `docclf.train([...])`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function of this name in `docclf.api`."""
        from docclf import api

        return getattr(api, self.__name__.rpartition(".")[2])(*args, **kwargs)


_OF_API = ("SearchResult", "TrainedRun", "best_config", "load_study", "read_search", "search")
_PLACES = {**dict.fromkeys(_OF_API, "docclf.api"), "load_model": "docclf.inference.loaded"}


def __getattr__(name: str) -> object:
    """`docclf.search` and its companions, imported when they are first used."""
    if name in ("predict", "train"):
        return import_module(f"docclf.{name}")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
