"""What Python callers give: paths, and lists of texts."""

import reprlib
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from docclf.errors import ConfigError

# What there is to say instead, where it does not follow from what was given.
_PATHS = {"cwd": "'.'", "root": "'pages'"}
_TEXTS = {"overrides": ["data=csv", "data.root=pages"], "allow": ["mine.*"]}


def path_of(name: str, given: Any) -> Path:
    """An argument that is a path.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(given, str | PathLike) or not isinstance(fspath(given), str) or "\0" in str(given):
        say = _PATHS.get(name, "'multirun/NAME'")
        raise ConfigError(f"Expected `{name}` to be a path, got {reprlib.repr(given)}. Say {name}={say}")
    return Path(given)


def texts_of(name: str, given: Any) -> list[str]:
    """An argument that is a list of texts.

    Raises:
        ConfigError: It is none.
    """
    is_list = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    found = [*given] if is_list else []
    if is_list and all(isinstance(text, str) and "\0" not in text for text in found):
        return found
    got = reprlib.repr(found if is_list else given)
    raise ConfigError(f"Expected `{name}` to be a list of texts, got {got}. Say {name}={_TEXTS[name]}")
