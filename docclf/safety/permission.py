"""What the user allows a config to call: `--allow` on the command line, and DOCCLF_ALLOW."""

import os
import re
import shlex
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from docclf.errors import ConfigError

# Patterns with commas between: `mine.Model` allows that name, `mine.*` every name below `mine`. Read from the
# environment alone, which worker processes and the jobs of launchers inherit; no config can set it.
VARIABLE = "DOCCLF_ALLOW"
_OPTION = "--allow"
_EXAMPLE = f"Say {_OPTION} 'mine.*'"
_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\.\*)?")


def take_allowed() -> None:
    """Move what `--allow` names on the command line into the environment, where `allowed` finds it.

    Raises:
        ConfigError: It names nothing.
    """
    kept, found, arguments = [], [], iter(sys.argv)
    for text in arguments:
        if text != _OPTION and not text.startswith(f"{_OPTION}="):
            kept.append(text)
            continue
        names = next(arguments, "") if text == _OPTION else text.partition("=")[2]
        if not names or names.startswith("-"):
            raise ConfigError(f"Expected a dotted name after {_OPTION}, got {names or 'none'}. {_EXAMPLE}")
        if Path(names).is_file():
            raise ConfigError(f"Expected a dotted name after {_OPTION}, got the file {names}. {_EXAMPLE}, with quotes")
        found += names.split(",")
    if len(kept) < len(sys.argv):
        sys.argv[:] = kept
        add_allowed(found)


def add_allowed(names: Iterable[str]) -> None:
    """Allow more, in this process and in those that it starts; a text is one name."""
    found = [*os.environ.get(VARIABLE, "").split(","), *([names] if isinstance(names, str) else names)]
    os.environ[VARIABLE] = ",".join(dict.fromkeys(filter(None, map(str.strip, found))))


def allowed() -> tuple[str, ...]:
    """The patterns of `DOCCLF_ALLOW`.

    Raises:
        ConfigError: One is neither a dotted name nor one that ends with `.*`.
    """
    patterns = tuple(text.strip() for text in os.environ.get(VARIABLE, "").split(",") if text.strip())
    if wrong := [text for text in patterns if not _PATTERN.fullmatch(text)]:
        raise ConfigError(
            f"Expected {VARIABLE} to hold dotted names such as mine.Model or mine.*, with commas between, "
            f"got {wrong[0]!r}. {_EXAMPLE}"
        )
    return patterns


def allow_options() -> str:
    """What a command to copy needs to be allowed the same, with a blank before it; empty where nothing is."""
    return "".join(f" {_OPTION} {shlex.quote(name)}" for name in allowed())


def is_listed(name: str, patterns: Collection[str]) -> bool:
    """
    >>> is_listed("mine.Model", ["mine.*"]), is_listed("mine", ["mine.*"]), is_listed("torch.optim.SGD", ["torch"])
    (True, False, False)
    """
    return any(name == text or (text.endswith(".*") and name.startswith(text[:-1])) for text in patterns)
