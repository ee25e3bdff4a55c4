"""trials.csv: one row a trial."""

import csv
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from docclf.results.files import replacing
from docclf.sweeper.attributes import CAUSE
from docclf.sweeper.grammar import to_text
from docclf.sweeper.space import key_of
from docclf.sweeper.study import folder_number


def write_trials(path: Path, trials: Sequence[FrozenTrial], objectives: Sequence[str] = ("value",)) -> None:
    """Write number, state, value, parameters, fold scores, seconds, cause and folder of every trial.

    Args:
        path: CSV file to write.
        trials: In the order of the rows.
        objectives: Names of the values' columns; a single one is called `value`.
    """
    rows = [{key_of(name): to_text(value) for name, value in trial.params.items()} for trial in trials]
    keys = sorted({key for row in rows for key in row})
    values = ["value"] if len(objectives) == 1 else list(objectives)
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "state", *values, *keys, "folds", "seconds", "cause", "folder"])
        for trial, row in zip(trials, rows, strict=True):
            writer.writerow(
                [
                    trial.number,
                    trial.state.name,
                    *(trial.values or [""] * len(values)),
                    *(row.get(key, "") for key in keys),
                    " ".join(f"{score:.6f}" for score in trial.user_attrs.get("folds", [])),
                    f"{trial.duration.total_seconds():.1f}" if trial.duration else "",
                    trial.user_attrs.get(CAUSE, ""),
                    folder_number(trial),
                ]
            )
