"""trials.csv: one row a trial."""

import csv
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from docclf.results.files import replacing


def write_trials(path: Path, trials: Sequence[FrozenTrial]) -> None:
    """Write number, state, value, parameters, fold scores, seconds, cause and folder of every trial.

    Args:
        path: CSV file to write.
        trials: In the order of the rows.
    """
    keys = sorted({key for trial in trials for key in trial.params})
    n_values = max((len(trial.values) for trial in trials if trial.values), default=1)
    values = ["value"] if n_values == 1 else [f"value_{i}" for i in range(n_values)]
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "state", *values, *keys, "folds", "seconds", "cause", "folder"])
        for trial in trials:
            writer.writerow(
                [
                    trial.number,
                    trial.state.name,
                    *(trial.values or [""] * n_values),
                    *(trial.params.get(key, "") for key in keys),
                    " ".join(f"{score:.6f}" for score in trial.user_attrs.get("folds", [])),
                    f"{trial.duration.total_seconds():.1f}" if trial.duration else "",
                    trial.user_attrs.get("cause", ""),
                    trial.number,
                ]
            )
