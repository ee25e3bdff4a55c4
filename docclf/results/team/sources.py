"""The studies of a team's members, read from their folders or databases without changing these."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
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
from docclf.results.study.studies import Place, find_study, open_place
from docclf.safety.sqlite import JOURNALS, copy_study
from docclf.safety.targets import FORMER
from docclf.sweeper.storage.places import open_storage, sqlite_url
from docclf.sweeper.study.attributes import INTERRUPTED, read_record
from docclf.sweeper.study.finalists import scored
from docclf.sweeper.study.trials import counted

# What a study was begun with, and keeps when it goes on, see `docclf.sweeper.study.continuation.require_same`.
RECORDS = ("space", "objective", "facts", "config")

# What later releases made keys of: a record without them is of a study that did this.
_BEFORE = {"model.tune": "all", "data.fit": "squeeze"}


@dataclass(frozen=True)
class Source:
    """A study as it was when it was read."""

    text: str  # what it was named by, without a password
    who: str | None  # the name given to whoever ran it; None to call them by their machines
    name: str  # of the study
    directions: Sequence[StudyDirection]  # of its objectives
    folder: Path | None  # the search's folder; None of a study that was named by its database
    config: DictConfig | None  # the config of the sweep, `hydra` included; None where the folder does not hold it
    records: Mapping[str, Mapping[str, Any]]  # those of `RECORDS` that the study has, each a mapping
    trials: Sequence[FrozenTrial]  # the finished ones but the interrupted, by number
    left_out: Mapping[str, int]  # how many others there are, by what they are
    finalists: Sequence[FrozenTrial]  # trials that score some of these again, the best first

    @property
    def is_ours(self) -> bool:
        """Whether a search of docclf's sweeper made it."""
        return "space" in self.records

    @property
    def settings(self) -> Mapping[str, Any]:
        """The record of the config, with names and keys of later releases as the study's release acted without them."""
        config = {key: FORMER.get(str(value), value) for key, value in self.records.get("config", {}).items()}
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
    who, place = split_source(given)
    found = find_study(place)
    with tempfile.TemporaryDirectory(prefix="docclf-merge-") as scratch:
        try:
            is_file = isinstance(found.where, Path)
            storage = _open_copy(found.where, Path(scratch)) if is_file else open_place(found.where)  # type: ignore[arg-type]
            return _read(found.choose(storage), found, who)
        except (RuntimeError, OSError, sqlite3.Error, SQLAlchemyError, OmegaConfBaseException) as error:
            raise ConfigError(f"Could not read a study from {found.text}: {type(error).__name__}: {error}") from error


def split_source(given: str) -> tuple[str | None, str]:
    """Who, and which study.

    >>> split_source("alice=multirun/a"), split_source("postgresql://me@host/db?sslmode=require#a")
    (('alice', 'multirun/a'), (None, 'postgresql://me@host/db?sslmode=require#a'))
    """
    if not Path(given).exists() and (named := re.match(r"([^/\\:#?=]+)=(.+)", given)):
        return named[1], named[2]
    return None, given


def _read(study: optuna.Study, place: Place, who: str | None) -> Source:
    everything = study.get_trials(deepcopy=False)
    trials = counted(everything)
    interrupted = sum(bool(t.user_attrs.get(INTERRUPTED)) for t in everything if t.state.is_finished())
    others = Counter(t.state.name.lower() for t in everything if t.state in (TrialState.RUNNING, TrialState.WAITING))
    return Source(
        text=place.text,
        who=who,
        folder=place.folder,
        config=place.config,
        name=study.study_name,
        directions=study.directions,
        records={key: record for key in RECORDS if (record := read_record(study.user_attrs.get(key))) is not None},
        trials=trials,
        left_out={**others, **({"interrupted": interrupted} if interrupted else {})},
        finalists=scored(study) if len(study.directions) == 1 else [],
    )


def _open_copy(path: Path, scratch: Path) -> BaseStorage:
    copy = copy_study(path, scratch)
    try:
        return open_storage(str(copy) if path.suffix in JOURNALS else sqlite_url(copy))
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(copy), str(path))) from error
