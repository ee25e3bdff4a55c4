"""What comes out of somebody else's files: names as paths, YAML within limits, texts to show."""

import logging
import os
import re
import shlex
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import GrammarParseError

from docclf.errors import DataError, DocclfError
from docclf.safety.interpolations import escape_interpolations, require_bounded, unsafe_interpolation
from docclf.safety.yaml_limits import require_small

log = logging.getLogger(__name__)

_OF_WANDB = re.compile(r"((finalists/)?\d+/)?wandb")  # in the folder of a search

_MOST_BYTES = 64_000_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def inside(folder: Path, name: Any, *, is_plain: bool = False) -> Path:
    """The path in a folder that a file means by a name.

    Args:
        name: As the file has it.
        is_plain: Whether it must be in the folder itself.

    Raises:
        DataError: It is outside, or a link leads out.

    >>> inside(Path("/model"), "a.safetensors").as_posix()
    '/model/a.safetensors'
    """
    text = name if isinstance(name, str) else ""
    is_bad = not Path(text).parts or "\0" in text or Path(text).is_absolute() or ".." in re.split(r"[/\\]", text)
    if not is_bad and not (is_plain and ("/" in text or "\\" in text)):
        path = folder / text
        if is_inside(path, folder):
            return path
    what = "a plain file name" if is_plain else "the name of a file in it"
    raise DataError(
        f"Expected {what} for what is in {folder}, got {plain(str(name))!r}, which leads elsewhere. "
        "Ask who made the folder for a copy that is whole, without links."
    )


def is_folder_name(name: str) -> bool:
    """Whether a folder may be called so, beside others that are called otherwise.

    >>> is_folder_name("서식 2"), is_folder_name("a/b"), is_folder_name(".."), is_folder_name("")
    (True, False, False, False)
    """
    return 0 < len(name.encode()) < 200 and not re.search(r"[/\\\x00-\x1f\x7f]", name) and bool(name.strip(" ."))


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is in a folder after all links are followed, also those to what is not there."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def require_file(path: Path) -> None:
    """Refuse what is there and is no file: a named pipe would be waited for without end (DataError, or OSError)."""
    if not stat.S_ISREG(path.stat().st_mode):
        shown = plain(str(path))
        raise DataError(f"Expected a file in {shown}, got another thing. Remove it: rm {shlex.quote(shown)}")


def require_whole(folder: Path) -> None:
    """See that no link in the folder of a search leads out of it, and that all else are folders and files.

    Models may be elsewhere, and are not followed. What W&B keeps of a search or of a run, in `wandb` in its folder, has
    links of its own, and is not read.

    Raises:
        DataError: One does.
    """
    for place, folders, files in os.walk(folder):
        if _OF_WANDB.fullmatch(Path(place).relative_to(folder).as_posix()):
            folders.clear()
            continue
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink() and name != "model" and not is_inside(path, folder):
                raise DataError(
                    f"Expected a folder without links that lead out of it, got {plain(str(path))}. "
                    f"Put what it leads to in its place, or remove it: rm {shlex.quote(plain(str(path)))}"
                )
            if name in files and path.exists():
                require_file(path)


def read_yaml(path: Path, most: int = _MOST_BYTES) -> Any:
    """What a YAML file of at most `most` bytes holds: plain values, and no more than was written.

    Raises:
        DataError: It is too large, repeats itself too often, or is no YAML.
        OSError: It cannot be read.
    """
    require_file(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise DataError(f"Expected at most {most:,} bytes in {path}, got more. Is it the right file?")
    try:
        text = content.decode("utf-8")
        require_small(path, yaml.parse(text, _LOADER), _MOST_BYTES)
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"Expected YAML in {path}, got something else: {plain(str(error))}") from error


def read_config(path: Path) -> DictConfig:
    """A config as it is written, whose values say nothing of this machine when they are resolved.

    Interpolations of the environment and the like become the text that they are.

    Raises:
        DataError: See `read_yaml`, or it is no mapping, or one that grows when it is resolved.
        OSError: It cannot be read.
    """
    is_mapping = isinstance(read_yaml(path), dict)
    try:
        found = without_environment(OmegaConf.load(path)) if is_mapping else None
        require_bounded(found and OmegaConf.to_container(found))
    except (yaml.YAMLError, ValueError, RecursionError, GrammarParseError) as error:  # what OmegaConf takes for none
        raise DataError(f"Expected a config in {path}, got something else: {plain(str(error))}") from error
    if not isinstance(found, DictConfig):
        raise DataError(f"Expected keys and values in {path}, got something else.")
    return found


def without_environment(config: DictConfig | ListConfig) -> DictConfig | ListConfig:
    """A copy of a config in which interpolations of the environment and the like are the text that they are."""

    def harmless(value: Any) -> Any:
        return escape_interpolations(value) if isinstance(value, str) and unsafe_interpolation(value) else value

    return OmegaConf.create(change_each(OmegaConf.to_container(config), harmless))  # type: ignore[no-any-return]


def as_texts(value: Any) -> Any:
    """Plain mappings and lists whose texts a config resolves to themselves."""
    return change_each(value, lambda child: escape_interpolations(child) if isinstance(child, str) else child)


def change_each(value: Any, change: Callable[[Any], Any]) -> Any:
    """Plain mappings and lists in which something is done to each value that is neither.

    >>> change_each({"a": [1, {"b": 2}]}, str)
    {'a': ['1', {'b': '2'}]}
    """
    if isinstance(value, dict):
        return {key: change_each(child, change) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [change_each(child, change) for child in value]
    return change(value)


@contextmanager
def reading(what: str, place: object) -> Iterator[None]:
    """Say of files that cannot be understood where they are: whatever is raised while they are read.

    Args:
        what: What is expected there.
        place: A folder, a file or a storage.

    Raises:
        DataError: They are damaged, or of another program.
    """
    try:
        yield
    except (DocclfError, OSError):  # which say it themselves
        raise
    except Exception as error:  # each library and each line has its own for what may be wrong
        log.debug("Could not read %s", place, exc_info=True)
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"Expected {what} in {plain(str(place))}, as docclf or Optuna wrote it, got something else "
            f"({type(error).__name__}: {plain(said)}). Copy it again from where it is whole."
        ) from error


def plain(text: str) -> str:
    """A text without what a terminal would act on.

    >>> plain("a\\x1b[2Jb\\u202ec"), plain("서식 1")
    ('a\\\\x1b[2Jb\\\\u202ec', '서식 1')
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """One line that a terminal shows and does not obey; syllables of Hangul in one character."""
    joined = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in joined)


def escape_logs() -> None:
    """From now on, messages of this process have nothing that a terminal would act on, and no letters it cannot show.

    One that a full disk does not take is dropped without a traceback: the search will say so.
    """
    logging.raiseExceptions = False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a message with a name that it cannot show would be dropped
    make = logging.getLogRecordFactory()
    if getattr(make, "escapes", False):
        return

    def make_escaped(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        with suppress(Exception):  # arguments that do not fit are told of by logging
            record.msg, record.args = plain(record.getMessage()), ()
        return record

    make_escaped.escapes = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_escaped)


def as_shown(text: str, stream: Any) -> str:
    """A text as the encoding of a stream can show it, other letters by their numbers."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
