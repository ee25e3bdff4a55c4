"""The studies of a team's members, read from their folders or databases without changing these."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from docclf.errors import ConfigError
from docclf.results.study.studies import JOURNALS, read_sweep_config, storage_of
from docclf.safety.sqlite import Connection, require_own_journal
from docclf.safety.untrusted import require_whole
from docclf.sweeper.storage.hiding import hide_password, split_name
from docclf.sweeper.storage.places import choose_study, open_storage, sqlite_path, sqlite_url, study_name, study_storage
from docclf.sweeper.study.attributes import INTERRUPTED, read_record
from docclf.sweeper.study.finalists import scored
from docclf.sweeper.study.trials import counted

# What a study was begun with, and keeps when it goes on, see `docclf.sweeper.study.continuation.require_same`.
RECORDS = ("space", "objective", "facts", "config")

# What later releases made keys of: a record without them is of a study that did this.
_BEFORE = {"model.tune": "all", "data.fit": "squeeze"}


@dataclass(frozen=True)
class Source:
    """A study as it was when it was read.

    Attributes:
        text: What it was named by, without a password.
        who: The name given to whoever ran it; None to call them by their machines.
        name: Of the study.
        directions: Of its objectives.
        folder: The search's folder; None of a study that was named by its database.
        config: The config of the sweep, `hydra` included; None where the folder does not hold it.
        records: Those of `RECORDS` that the study has, each a mapping.
        trials: The finished ones but the interrupted, by number.
        left_out: How many others there are, by what they are.
        finalists: Trials that score some of these again, the best first.
    """

    text: str
    who: str | None
    name: str
    directions: Sequence[StudyDirection]
    folder: Path | None
    config: DictConfig | None
    records: Mapping[str, Mapping[str, Any]]
    trials: Sequence[FrozenTrial]
    left_out: Mapping[str, int]
    finalists: Sequence[FrozenTrial]

    @property
    def is_ours(self) -> bool:
        """Whether a search of docclf's sweeper made it."""
        return "space" in self.records

    @property
    def settings(self) -> Mapping[str, Any]:
        """The record of the config, with keys of later releases as the study's release acted without them."""
        config = self.records.get("config", {})
        return {**_BEFORE, **config} if config else config

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.who} ({self.text})" if self.who else self.text


def read_source(given: str) -> Source:
    """Read a study.

    A file is copied and the copy read: nothing is written beside a teammate's study, and a read-only share will do.

    Args:
        given: A search's folder, a study.db, a journal file or a storage URL, with `#NAME` behind it where there are
            several studies, and `WHO=` before it.

    Raises:
        ConfigError: There is no such study, or it cannot be read.
    """
    who, place, name = split_source(given)
    text = hide_password(place) + (f"#{name}" if name else "")
    folder = Path(place) if Path(place).is_dir() else None
    if folder is not None:
        require_whole(folder)
    config = read_sweep_config(folder) if folder else None
    with tempfile.TemporaryDirectory(prefix="docclf-merge-") as scratch:
        try:
            storage = _open(place, folder, config, Path(scratch))
            study = choose_study(storage, text, name or "", likely=str(study_name(config.hydra)) if config else "")
            return _read(study, text=text, who=who, folder=folder, config=config)
        except (RuntimeError, OSError, sqlite3.Error, SQLAlchemyError, OmegaConfBaseException) as error:
            raise ConfigError(f"Could not read a study from {text}: {type(error).__name__}: {error}") from error


def split_source(given: str) -> tuple[str | None, str, str | None]:
    """Who, where and which study.

    >>> split_source("alice=multirun/a"), split_source("postgresql://me@host/db?sslmode=require#a")
    (('alice', 'multirun/a', None), (None, 'postgresql://me@host/db?sslmode=require', 'a'))
    """
    who = None
    if not Path(given).exists() and (named := re.match(r"([^/\\:#?=]+)=(.+)", given)):
        who, given = named[1], named[2]
    if Path(given).exists():
        return who, given, None
    place, name = split_name(given)
    return who, place, name or None


def _read(study: optuna.Study, **known: Any) -> Source:
    everything = study.get_trials(deepcopy=False)
    trials = counted(everything)
    interrupted = sum(bool(t.user_attrs.get(INTERRUPTED)) for t in everything if t.state.is_finished())
    others = Counter(t.state.name.lower() for t in everything if t.state in (TrialState.RUNNING, TrialState.WAITING))
    return Source(
        **known,
        name=study.study_name,
        directions=study.directions,
        records={key: record for key in RECORDS if (record := read_record(study.user_attrs.get(key))) is not None},
        trials=trials,
        left_out={**others, **({"interrupted": interrupted} if interrupted else {})},
        finalists=scored(study) if len(study.directions) == 1 else [],
    )


def _open(place: str, folder: Path | None, config: DictConfig | None, scratch: Path) -> BaseStorage:
    """The storage of a study; of a file, that of its copy."""
    where = place if folder is None else storage_of(folder, config)
    if isinstance(where, DictConfig):
        return study_storage(where)
    path = _file(where) if isinstance(where, str) else where
    if path is None:
        return open_storage(str(where))
    if not path.is_file() and folder is None:
        raise ConfigError(f"Expected a search's folder, a study.db or a storage URL, got {path}: no such file.")
    if isinstance(where, Path) and not path.is_file():
        raise ConfigError(
            f"Expected study.db for the search in {folder}, got no such file. Copy it into that folder, or name the "
            "study by its storage URL, as in sqlite:///study.db#NAME."
        )
    return _open_copy(path, scratch)


def _file(place: str) -> Path | None:
    """The file that a path or URL names; None of a database server."""
    return None if "://" in place.removeprefix("sqlite:///") else sqlite_path(place)


def _open_copy(path: Path, scratch: Path) -> BaseStorage:
    copy = _copy(path, scratch)
    try:
        return open_storage(str(copy) if path.suffix in JOURNALS else sqlite_url(copy))
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(copy), str(path))) from error


def _copy(path: Path, scratch: Path) -> Path:
    """Copy a study's file, with what SQLite has not written into it yet; the copy."""
    copy = scratch / path.name
    if path.suffix in JOURNALS:
        shutil.copyfile(path, copy)
        return copy
    require_own_journal(path)
    beside = [found for end in ("-wal", "-shm", "-journal") if (found := Path(f"{path}{end}")).is_file()]
    if beside:  # a process has it open, or died
        source = f"{path.absolute().as_uri()}?mode=ro"
        try:
            with (
                closing(sqlite3.connect(source, uri=True, factory=Connection)) as live,
                closing(sqlite3.connect(copy, factory=Connection)) as target,
            ):
                live.backup(target)
            return copy
        except sqlite3.OperationalError:  # cannot be locked, as on a read-only share
            copy.unlink(missing_ok=True)
    for found in [path, *beside]:
        if not found.name.endswith("-shm"):
            shutil.copyfile(found, scratch / found.name)
    return copy
