"""docclf finds the best hyper-parameters for document-image classifiers."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__version__ = "0.2.0"

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries conf/ inside the package; in a checkout it lies at the top, beside the package.
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"

# At its end Python looks through all that torch and its like have made for garbage, which takes it two seconds.
atexit.register(gc.freeze)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import heavy modules in three quarters of the time: without looking for garbage among what stays for good."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
            gc.freeze()


_API = ("SearchResult", "best_config", "load_study", "read_search", "search")


def __getattr__(name: str) -> object:
    """`docclf.search` and its companions, imported when they are first used."""
    if name in _API:
        from docclf import api

        return getattr(api, name)
    if name == "load_model":
        from docclf.inference.loaded import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
