"""Where a study lives, for the sweeper and for every job of it alike."""

from __future__ import annotations

import os
import re
import shlex
import time
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend

from docclf.errors import ConfigError, MachineError
from docclf.safety.allow import STORAGES, build_listed
from docclf.safety.sqlite import require_own_journal
from docclf.sweeper.storage.claims import is_remote
from docclf.sweeper.storage.hiding import hide_password, hide_secrets
from docclf.sweeper.storage.passwords import STORAGE, VARIABLE, with_password, with_secrets
from docclf.sweeper.storage.shared import SharedStorage
from docclf.sweeper.storage.sqlite import open_sqlite

# Folder of the finalists' runs in that of the search.
FINALISTS = "finalists"
# Folder of the files that are attached to trials, in that of the search.
ARTIFACTS = "artifacts"
_SQLITE = "sqlite:///"
_USER_AND_HOST = re.compile(r"[\w+]+://([^:/]*)(?::[^@]*)?@([^/:?]*)")  # as SQLAlchemy reads them


def study_storage(hydra: DictConfig) -> BaseStorage:
    """The storage of the study of a sweep or a job, by the `hydra` node of its config; one object a process.

    Raises:
        ConfigError: The storage cannot be opened.
    """
    storage = hydra.sweeper.storage
    if OmegaConf.is_config(storage):
        return _open_object(OmegaConf.to_yaml(storage, resolve=True), os.getpid())
    in_folder = sqlite_url(sweep_dir(hydra) / "study.db")
    return open_storage(in_folder if storage is None else _absolute(str(storage), Path(hydra.runtime.cwd)))


def require_study_file(hydra: DictConfig) -> None:
    """See, in a job, that the file of its study is where the search has it: opening would make another, empty one.

    Raises:
        MachineError: It is not, since the folder was renamed or is away.
    """
    storage = hydra.sweeper.storage
    if OmegaConf.is_config(storage) or (storage is not None and not _is_file(str(storage))):
        return
    folder = sweep_dir(hydra)
    path = folder / "study.db" if storage is None else Path(hydra.runtime.cwd, sqlite_path(str(storage)))
    if not path.is_file():
        raise study_is_gone(str(path), folder)


def study_is_gone(place: str, folder: Path) -> MachineError:
    """The fault of a storage that has not the study any more whose job runs.

    Args:
        folder: Of the search.
    """
    return MachineError(
        f"Expected the study in {place}, where it was when the search began, got none. No trial is counted for it. "
        f"If it was moved, remove what is new in {folder}, move it back, and give the same command again: it goes on."
    )


def sweep_dir(hydra: DictConfig) -> Path:
    """Absolute folder of a sweep.

    Raises:
        ConfigError: Hydra would fill something into the path of the working folder.
    """
    cwd = Path(OmegaConf.to_container(hydra.runtime)["cwd"])  # type: ignore[index, call-overload]
    if "${" in str(cwd):
        other = next(folder for folder in cwd.parents if "${" not in str(folder))
        raise ConfigError(
            f"Expected a working folder without ${{ in its path, where Hydra fills in a value, got {cwd}. "
            f"Search in another folder: cd {shlex.quote(str(other))}"
        )
    return Path(hydra.runtime.cwd, hydra.sweep.dir)


def study_name(hydra: DictConfig) -> str:
    """Name of the study in its storage: as configured, or that of the sweep's folder."""
    return str(hydra.sweeper.study_name or sweep_dir(hydra).name)


def finalists_name(search: str) -> str:
    """Name of the study of a search's finalists, in the same storage.

    >>> finalists_name("invoices")
    'invoices-finalists'
    """
    return f"{search}-{FINALISTS}"


def choose_study(storage: BaseStorage, place: str, name: str = "", likely: str = "") -> optuna.Study:
    """The study of a storage that is meant: the only one, but for that of its finalists, unless it is named.

    Args:
        place: What the user calls it, for messages.
        likely: One that is taken where several are there.

    Raises:
        ConfigError: There is none, or it is not clear which one.
    """
    every = optuna.get_all_study_names(storage)
    names = [study for study in every if study not in map(finalists_name, every)]
    wanted = name or (likely if likely in names else "") or (names[0] if len(names) == 1 else "")
    if wanted not in every:
        raise ConfigError(
            f"Expected {f'a study `{name}`' if name else 'one study'} in {place}, got {', '.join(names) or 'none'}. "
            "Name one by its storage URL with #NAME behind it, as in sqlite:///study.db#NAME."
        )
    return optuna.load_study(study_name=wanted, storage=storage)


def sqlite_url(path: Path) -> str:
    """The URL of a file of SQLite. Quoted are signs that mean something in a URL, or in what Optuna fills into it.

    >>> sqlite_url(Path("/a?b/{x}/100%.db"))
    'sqlite:////a%3Fb/%7Bx%7D/100%25.db'
    """
    return _SQLITE + re.sub("[%?{}]", lambda sign: f"%{ord(sign[0]):X}", str(path))


def sqlite_path(url: str) -> Path:
    """The file that a URL of SQLite names; of a path, that itself.

    >>> str(sqlite_path("sqlite:////a%3Fb/100%25.db?timeout=9")), str(sqlite_path("a%3F.log"))
    ('/a?b/100%.db', 'a%3F.log')
    """
    place = url.removeprefix(_SQLITE)
    return Path(place if place == url else unquote(place.partition("?")[0]))


def open_storage(url: str) -> BaseStorage:
    """Open a storage by its URL, or by the path of a journal file (`.log`, `.journal`); one object a process.

    Raises:
        ConfigError: It cannot be opened.
        DataError: What is beside it would have another file written or deleted.
    """
    url = re.sub(r"^sqlite\+\w+:", "sqlite:", url)  # there is one driver
    if not _is_file(url):
        return _open(url, os.getpid(), 0)
    path = sqlite_path(url)
    if path.is_dir():
        example = "hydra.sweeper.storage=sqlite:///study.db"
        raise ConfigError(f"Expected the file of a study, got the folder {path}. Say {example}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # so that it has an inode: a file that was removed and made again is another storage
    except OSError as error:
        raise ConfigError(f"Could not open {path}: {error.strerror}.") from error
    return _open(url, os.getpid(), path.stat().st_ino)


def _is_file(url: str) -> bool:
    """Whether a URL or path is that of a file, SQLite's or a journal."""
    return url.endswith((".log", ".journal")) or (url.startswith(_SQLITE) and sqlite_path(url).name != ":memory:")


def _absolute(url: str, cwd: Path) -> str:
    """Paths in a URL, where a job may have another working folder than the sweep.

    >>> _absolute("sqlite:///a.db", Path("/?")), _absolute("a.log", Path("/x")), _absolute("mysql://h/a", Path("/x"))
    ('sqlite:////%3F/a.db', '/x/a.log', 'mysql://h/a')
    """
    if url.startswith(_SQLITE) and _is_file(url):
        _, mark, settings = url.partition("?")
        return sqlite_url(cwd / sqlite_path(url)) + mark + settings
    return url if "://" in url else str(cwd / url)


# Kept open: each opening costs about 20 ms, and the first look at a long study reads all of it. By process, since a
# connection must not cross a fork.
@lru_cache(maxsize=4)
def _open(url: str, pid: int, inode: int) -> BaseStorage:
    if url.startswith(_SQLITE) and _is_file(url):
        return shared(open_sqlite(_absolute(url, Path()), sqlite_path(url)))
    if "://" not in url:
        if not url.endswith((".log", ".journal")):
            raise ConfigError(
                f"Expected a storage URL such as sqlite:///study.db or postgresql://user@host/name, or the path of a "
                f"journal file that ends with .log or .journal, got {url}."
            )
        return shared(optuna.storages.JournalStorage(JournalFileBackend(url)))
    whole = with_password(url)
    _require_one_at(whole)
    return shared(_created(lambda: optuna.storages.get_storage(whole), hide_password(url)))


def _require_one_at(url: str) -> None:
    """Refuse a URL in which the database's driver would take a part of the password for the host, and show it."""
    if (found := _USER_AND_HOST.match(url)) and "@" in f"{found[1]}{found[2]}":
        raise ConfigError(
            "Expected a storage URL with one @, before the host, got more. Say %40 for one in a password."
        )


@lru_cache(maxsize=4)
def _open_object(text: str, pid: int) -> BaseStorage:
    config: Any = with_secrets(OmegaConf.to_container(OmegaConf.create(text)))  # type: ignore[arg-type]
    _require_one_at(url := str(config.get("url")))
    if url.startswith(_SQLITE):
        require_own_journal(sqlite_path(url))
    storage = _created(lambda: build_listed(config, "hydra.sweeper.storage", STORAGES), "the storage")
    if not isinstance(storage, BaseStorage):
        raise ConfigError(f"Expected `hydra.sweeper.storage` to be an Optuna storage, got {type(storage).__name__}.")
    return shared(storage)


def shared(storage: BaseStorage) -> BaseStorage:
    """A storage that is read with the caution that what others write needs."""
    storage = optuna.storages.get_storage(storage)
    return SharedStorage(storage, is_remote(storage))  # type: ignore[abstract]


def _created(open_it: Any, what: str) -> BaseStorage:
    """Open a storage whose tables another process may be making at this moment."""
    from sqlalchemy.exc import ArgumentError

    for attempt in range(5):
        try:
            return open_it()  # type: ignore[no-any-return]
        except ConfigError:
            raise
        except ImportError as error:
            raise ConfigError(
                f"Could not open {what}: the database's driver is missing. For PostgreSQL pip install "
                f"'psycopg[binary]'; for MySQL pip install PyMySQL and say mysql+pymysql://... {error}"
            ) from error
        except Exception as error:  # each database has its own
            if attempt == 4 or isinstance(error, ArgumentError):  # of a URL, which no pause mends
                message = hide_secrets(f"{type(error).__name__}: {error}")
                if os.environ.get(VARIABLE):
                    message += f" ({VARIABLE} is sent to servers alone that were typed, or that {STORAGE}=URL names.)"
                raise ConfigError(f"Could not open {what}: {message}") from error
            time.sleep(0.2 * 2**attempt)
    raise AssertionError
