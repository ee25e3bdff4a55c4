"""Who of a team found what: a row for each scored trial, the best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.results.facts import TUNE
from docclf.results.quality.comparison import number, table
from docclf.results.team.entries import Entry
from docclf.safety.cells import write_csv
from docclf.sweeper.screen.progress import format_seconds
from docclf.sweeper.study.trials import loss, seconds_of

_MOST = 10  # rows on the screen
_NOTHING = "-"


def hardware(trial: FrozenTrial) -> str:
    """What a trial was trained on; empty where its study does not say it."""
    known = trial.user_attrs.get("hardware")
    if isinstance(known, Mapping):
        known = ", ".join(f"{value} cores" if key == "cores" else str(value) for key, value in known.items())
    return str(known or "")


def ranked(rows: Sequence[Entry], directions: Sequence[StudyDirection], *, by_rescored: bool) -> list[Entry]:
    """Rows in the order of their places; with `by_rescored`, those that were re-evaluated come first, by that score.

    Those whose scores cannot be compared come last. Of several objectives, the front comes first, by the first one.
    """

    def place(row: Entry) -> tuple[bool, bool, bool, float]:
        again = row.rescored if by_rescored else None
        value = (again or row.trial).values[0]
        return not row.is_comparable, not row.is_on_front, by_rescored and again is None, loss(value, directions[0])

    return sorted(rows, key=place)


def hours(trials: Sequence[FrozenTrial]) -> float:
    """How long trials ran, in hours, one after the other."""
    return sum(map(seconds_of, trials)) / 3600


def write_leaderboard(
    path: Path, rows: Sequence[Entry], objectives: Sequence[str], study_hours: Mapping[tuple[str, str], float]
) -> None:
    """Write a row for each scored trial.

    Args:
        path: CSV file to write.
        rows: In the order of their places.
        objectives: Names of the values' columns; a single one is called `score`.
        study_hours: Who and study to the sum of the study's trials.
    """
    scores = ["score"] if len(objectives) == 1 else list(objectives)
    again = ["rescored", "rescored_spread"]
    where = ["who", "host", "study", "trial", "number"]
    columns = ["rank", *where, *scores, "spread", *again, "folds", "tune", "hardware"]
    cells = (
        [
            rank if row.is_comparable else "",
            *vars(row.origin).values(),
            "" if row.number is None else row.number,
            *row.trial.values,
            number(spread(row.trial), ".6f", ""),
            "" if row.rescored is None else row.rescored.values[0],
            "" if row.rescored is None else number(spread(row.rescored), ".6f", ""),
            " ".join(f"{score:.6f}" for score in row.trial.user_attrs.get("folds", [])),
            row.trial.user_attrs.get(TUNE, ""),
            hardware(row.trial),
            f"{hours([row.trial]):.4f}",
            f"{study_hours.get((row.origin.who, row.origin.study), 0.0):.4f}",
            "yes" if row.is_comparable else "no",
        ]
        for rank, row in enumerate(rows, 1)
    )
    write_csv(path, [*columns, "hours", "study_hours", "comparable"], cells)


def show_leaderboard(
    rows: Sequence[Entry], objectives: Sequence[str], study_hours: Mapping[tuple[str, str], float]
) -> list[str]:
    """The first rows, to be read on a screen; arguments as of `write_leaderboard`."""
    header = ["", "who", "study", "trial", *objectives, "spread"]
    columns = {
        "rescored": [_score(row.rescored) if row.rescored else _NOTHING for row in rows],
        "tune": [str(row.trial.user_attrs.get(TUNE, _NOTHING)) for row in rows],
        "hardware": [hardware(row.trial) or _NOTHING for row in rows],
    }
    columns = {name: cells for name, cells in columns.items() if any(cell != _NOTHING for cell in cells)}
    lines = [[*header, *columns, "study took"]]
    for i, row in enumerate(rows[:_MOST]):
        origin = row.origin
        values = [_score(row.trial)] if len(objectives) == 1 else [f"{value:.4g}" for value in row.trial.values]
        lines.append(
            [
                f"{i + 1}" if row.is_comparable else "*",
                *(origin.who, origin.study, str(origin.number), *values),
                number(spread(row.trial)),
                *(cells[i] for cells in columns.values()),
                format_seconds(3600 * study_hours.get((origin.who, origin.study), 0.0)),
            ]
        )
    more = [f"and {len(rows) - _MOST} more in leaderboard.csv"] if len(rows) > _MOST else []
    return [*table(lines), *more]


def show_counts(who: str, study: str, trials: Sequence[FrozenTrial]) -> str:
    """How many trials a study brings, and how they ended."""
    counts = Counter(trial.state for trial in trials)
    states = ", ".join(f"{counts[state]} {state.name.lower()}" for state in TrialState if counts[state])
    return f"{who}, study {study}: {states}, {format_seconds(3600 * hours(trials))}"


def spread(trial: FrozenTrial) -> float | None:
    """Standard deviation over folds; None of fewer than two."""
    folds = trial.user_attrs.get("folds") or []
    return stdev(folds) if len(folds) > 1 else None


def _score(trial: FrozenTrial) -> str:
    return f"{trial.values[0]:.3f}"
