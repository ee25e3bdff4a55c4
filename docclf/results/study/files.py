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
    rung = ["rung"] if any(RUNG in trial.user_attrs for trial in trials) else []
    marked = ["comparable"] if any(NOT_COMPARABLE in trial.user_attrs for trial in trials) else []
    values = ["value"] if len(objectives) == 1 else list(objectives)
    known = ["number", *rung, "state", *values, "rescored", *keys, "folds", *metrics, *facts]
    cells = (
        [
            trial.number,
            *(trial.user_attrs.get(RUNG, "") for _ in rung),
            trial.state.name,
            *(trial.values or [""] * len(values)),
            again.get(trial.number, ""),
            *(row.get(key, "") for key in keys),
            " ".join(f"{score:.6f}" for score in trial.user_attrs.get("folds", [])),
            *(trial.user_attrs.get(key, "") for key in metrics),
            *(its.get(key, "") for key in facts),
            f"{trial.duration.total_seconds():.1f}" if trial.duration else "",
            trial.user_attrs.get(CAUSE, ""),
            folder_number(trial),
            *("no" if NOT_COMPARABLE in trial.user_attrs else "yes" for _ in marked),
        ]
        for trial, row, its in zip(trials, rows, trained, strict=True)
    )
    write_csv(path, [*known, "seconds", "cause", "folder", *marked], cells)


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
