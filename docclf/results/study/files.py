"""A study as a file for other programs: trials.csv, one row a trial, and the pickle that older notebooks open."""

import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from docclf.files import replacing
from docclf.results.provenance import training_facts
from docclf.safety.cells import write_csv
from docclf.sweeper.optuna_private import storage_of
from docclf.sweeper.space.grammar import to_text
from docclf.sweeper.space.parameters import key_of
from docclf.sweeper.study.attributes import (
    AGAIN,
    CAUSE,
    DUPLICATE_OF,
    ITS_OWN,
    NOT_COMPARABLE,
    PRUNED_AT,
    REFERENCE,
    RUNG,
)
from docclf.sweeper.study.finalists import source_number
from docclf.sweeper.study.trials import folder_number

log = logging.getLogger(__name__)


def write_trials(
    path: Path,
    trials: Sequence[FrozenTrial],
    objectives: Sequence[str] = ("value",),
    finalists: Sequence[FrozenTrial] = (),
) -> None:
    """Write number, state, value, parameters, fold scores, metrics, seconds, cause and folder of every trial.

    Where trials have them also what was trained and kept, the weights it began from, the floors, and
    whether scores can be compared.

    Args:
        path: CSV file to write.
        trials: In the order of the rows.
        objectives: Names of the values' columns; a single one is called `value`.
        finalists: Trials that score some of these again; their values are in the column `rescored`.
    """
    rows = [{key_of(name): to_text(value) for name, value in trial.params.items()} for trial in trials]
    keys = sorted({key for row in rows for key in row})
    measured = {key for trial in trials for key, value in trial.user_attrs.items() if _is_metric(key, value)}
    metrics = sorted(measured - set(objectives))
    trained = [training_facts(trial.user_attrs) for trial in trials]
    facts = list({key: None for row in trained for key in row})
    again = {source_number(t): t.values[0] for t in finalists if REFERENCE not in t.user_attrs}
    columns: list[tuple[str, Sequence[Any]]] = [("number", [trial.number for trial in trials])]
    if any(RUNG in trial.user_attrs for trial in trials):
        columns.append(("rung", [trial.user_attrs.get(RUNG, "") for trial in trials]))
    columns.append(("state", [trial.state.name for trial in trials]))
    for i, name in enumerate(objectives if len(objectives) > 1 else ["value"]):
        columns.append((name, [trial.values[i] if trial.values else "" for trial in trials]))
    columns.append(("rescored", [again.get(trial.number, "") for trial in trials]))
    columns += [(key, [row.get(key, "") for row in rows]) for key in keys]
    columns.append(("folds", [" ".join(f"{fold:.6f}" for fold in t.user_attrs.get("folds", [])) for t in trials]))
    columns += [(key, [trial.user_attrs.get(key, "") for trial in trials]) for key in metrics]
    columns += [(key, [its.get(key, "") for its in trained]) for key in facts]
    columns.append(("seconds", [f"{t.duration.total_seconds():.1f}" if t.duration else "" for t in trials]))
    columns.append(("cause", [trial.user_attrs.get(CAUSE, "") for trial in trials]))
    columns.append(("folder", [folder_number(trial) for trial in trials]))
    if any(NOT_COMPARABLE in trial.user_attrs for trial in trials):
        columns.append(("comparable", ["no" if NOT_COMPARABLE in t.user_attrs else "yes" for t in trials]))
    write_csv(path, [name for name, _ in columns], zip(*(cells for _, cells in columns), strict=True))


def _is_metric(key: str, value: Any) -> bool:
    """Whether a user attribute is a number that the task has measured."""
    ours = (*ITS_OWN, AGAIN, DUPLICATE_OF, PRUNED_AT)
    return key not in ours and isinstance(value, int | float) and not isinstance(value, bool)


def write_pickle(path: Path, study: optuna.Study) -> None:
    """Write a study with all trials in itself: it needs no storage, and holds no address or password of one.

    Args:
        path: Of the file, which is replaced.
    """
    memory = InMemoryStorage()
    optuna.copy_study(from_study_name=study.study_name, from_storage=storage_of(study), to_storage=memory)
    copy = optuna.load_study(study_name=study.study_name, storage=memory)
    with replacing(path) as partial:
        partial.write_bytes(pickle.dumps(copy))
    log.warning(f"The study as a pickle: {path}. A pickle runs code when it is opened: open none of unknown origin.")
