"""Every exception that docclf raises on purpose.

    DocclfError
    ├── InputError             what was given cannot work, whatever the hyper-parameters are
    │   ├── ConfigError        a key or value of the config
    │   │   ├── NotAllowedError  a name that it may not call
    │   │   └── SpaceError     the search space, or its fit with the study that is continued
    │   └── DataError          the pages, their labels or their files
    ├── SearchError            too many trials failed
    ├── MachineError           a disk, a database or the pages are away or full
    └── TrainingError          this one configuration could not be trained to the end
        └── NonFiniteLossError the loss became NaN or infinite

A search ends at an `InputError` of its first trials, because no other trial could do better, and at any
`MachineError`, which counts no trial; any other exception fails its trial alone.
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

_MOST = 2_000  # characters of a text that code of others gives


class DocclfError(Exception):
    """Base of all exceptions that docclf raises on purpose."""


class InputError(DocclfError):
    """What was given cannot work, whatever the hyper-parameters are."""


class ConfigError(InputError):
    """A key or a value of the config is wrong."""


class NotAllowedError(ConfigError):
    """A config names what it may not call."""


class SpaceError(ConfigError):
    """The search space is wrong, or differs from that of the study that is continued."""


class DataError(InputError):
    """Pages, labels or their files are missing, unreadable or contradictory."""


class SearchError(DocclfError):
    """So many trials of a search failed that going on is no use."""


class MachineError(DocclfError):
    """The machine failed, and not what it was asked to do: the same command goes on once it is fixed."""


class TrainingError(DocclfError):
    """One configuration could not be trained to the end."""


class NonFiniteLossError(TrainingError):
    """The training loss became NaN or infinite."""


def safe_text(value: object, to_text: Callable[[Any], str] = str) -> str:
    """An object as text that can be printed and stored, cut where it is long; never raises, whatever the object does.

    >>> safe_text("\\udc80"), safe_text([1], repr)
    ('\\\\udc80', '[1]')
    """
    try:
        text = to_text(value)
    except BaseException:  # a signal that comes here is remembered, see docclf.sweeper.study.process.EndingSignals
        return f"a {type(value).__name__} that cannot be shown"
    text = text if len(text) <= _MOST else f"{text[:_MOST]}..."
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def error_text(error: BaseException) -> str:
    """Class and message of an exception, as `safe_text` has it.

    >>> error_text(ValueError("bad")), error_text(MemoryError())
    ('ValueError: bad', 'MemoryError')
    """
    return ": ".join(filter(None, (type(error).__name__, safe_text(error))))


def unknown_key(what: str, room: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error of a key that there is not.

    Args:
        what: Keys that were expected, such as "arguments of mine.Net".
        room: Where it stands.
        name: The last part of it.
        known: What could stand there.

    >>> unknown_key("keys", "data", "excludes", ["exclude", "root"])
    ConfigError('Expected keys below `data`, got excludes. Did you mean data.exclude?')
    """
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    way = f"Did you mean {room}.{near[0]}?" if near else f"Leave out {room}.{name}."
    return ConfigError(f"Expected {what} below `{room}`, got {name}. {way}")
