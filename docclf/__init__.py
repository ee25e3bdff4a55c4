"""docclf finds the best hyper-parameters for document-image classifiers."""

from pathlib import Path

__version__ = "0.1.0"

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries conf/ inside the package; in a checkout it lies at the top, beside the package.
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"

_API = ("SearchResult", "best_config", "load_study", "read_search", "search")


def __getattr__(name: str) -> object:
    """`docclf.search` and its companions, imported when they are first used."""
    if name in _API:
        from docclf import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
