"""What comes out of somebody else's files: names as paths, YAML within limits, texts for terminals and spreadsheets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from docclf.errors import DataError

_MOST_BYTES = 64_000_000
# YAML lets one line stand for a thousand: texts of these are refused that repeat more often than a config does.
_MOST_ALIASES = 100
_MOST_DEPTH = 50

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def inside(folder: Path, name: Any, *, is_plain: bool = False) -> Path:
    """The path in a folder that a file means by a name.

    Args:
        folder: Where it must be.
        name: As the file has it.
        is_plain: Whether it must be in the folder itself.

    Raises:
        DataError: It is outside, or a link leads out.

    >>> inside(Path("/model"), "a.safetensors").as_posix()
    '/model/a.safetensors'
    """
    text = name if isinstance(name, str) else ""
    is_bad = not text or "\0" in text or Path(text).is_absolute() or ".." in re.split(r"[/\\]", text)
    if not is_bad and not (is_plain and ("/" in text or "\\" in text)):
        path = folder / text
        if path.resolve().is_relative_to(folder.resolve()):
            return path
    what = "a plain file name" if is_plain else "the name of a file in it"
    raise DataError(
        f"Expected {what} for what is in {folder}, got {plain(str(name))!r}, which leads elsewhere. "
        "Ask who made the folder for a copy that is whole, without links."
    )


def read_yaml(path: Path, most: int = _MOST_BYTES) -> Any:
    """What a YAML file holds: plain values, and no more than was written.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        DataError: It is too large, repeats itself too often, or is no YAML.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise DataError(f"Expected at most {most:,} bytes in {path}, got more. Is it the right file?")
    try:
        text = content.decode("utf-8")
        _require_small(path, yaml.parse(text, _LOADER))
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"Expected YAML in {path}, got something else: {plain(str(error))}") from error


def _require_small(path: Path, events: Iterable[yaml.Event]) -> None:
    aliases = depth = 0
    for event in events:
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if aliases > _MOST_ALIASES or depth > _MOST_DEPTH:
            raise DataError(f"Expected plain YAML in {path}, got one that repeats or nests itself too often.")


def plain(text: str) -> str:
    """A text without what a terminal would act on.

    >>> plain("a\\x1b[2Jb\\u202ec"), plain("서식 1")
    ('a\\\\x1b[2Jb\\\\u202ec', '서식 1')
    """
    return "".join(c if c.isprintable() or c in "\\n\\t" else c.encode("unicode_escape").decode() for c in text)


def cell(value: Any) -> Any:
    """A value as a spreadsheet shall show it: a text that would be a formula gets a ' before it.

    >>> cell("=1+1"), cell("-0.5"), cell(-0.5), cell("a")
    ("'=1+1", '-0.5', -0.5, 'a')
    """
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
