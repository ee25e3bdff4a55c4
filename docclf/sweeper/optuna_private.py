"""Optuna's private names: used here alone, and checked with Optuna 5.0.0."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage, JournalStorage
    from optuna.trial import FrozenTrial


def storage_of(study: optuna.Study) -> BaseStorage:
    """Where a study is kept, for marks on trials, claims and studies beside it: `Study` shows no storage."""
    return study._storage


def with_storage(study: optuna.Study, storage: Any) -> optuna.Study:
    """A copy of a study that reads another storage; to open it there by its name costs three queries.

    Args:
        storage: Answers like that of the study, perhaps with fewer trials.
    """
    other = copy.copy(study)
    other._storage = storage
    return other


def id_of(trial: optuna.Trial | FrozenTrial) -> int:
    """What a storage calls a trial, for all of its methods; to look it up by study and number costs two queries."""
    return trial._trial_id


def study_id_of(study: optuna.Study) -> int:
    """What a storage calls a study, as of `id_of`."""
    return study._study_id


def renumber(trial: FrozenTrial, number: int) -> None:
    """Give a trial of no study a number, its id included: `create_trial` calls all of them -1."""
    trial.number = trial._trial_id = number


def note_report(trial: optuna.Trial, step: int, value: float) -> None:
    """Let the pruner see a report that was written to the storage directly: `Trial` reads that at its making alone."""
    trial._cached_frozen_trial.intermediate_values[step] = value


def comparable(study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
    """What `Study.tell` shows a sampler after a trial: with Hyperband, the trials of its bracket alone."""
    from optuna import pruners

    return pruners._filter_study(study, trial)


def backend_of(storage: BaseStorage) -> Any:
    """What `get_storage` wraps in a cache, or where a journal is written; None without either. It has the engine."""
    return getattr(storage, "_backend", None)


def journal_file(storage: JournalStorage) -> Path | None:
    """The file of a journal, which a lock stands beside; None for one that is kept elsewhere, such as in Redis."""
    path = getattr(backend_of(storage), "_file_path", None)
    return None if path is None else Path(path)
