"""What the winner and the baseline predict for the training pages, fold by fold."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.errors import DataError
from docclf.metrics.scores import f1_per_class
from docclf.results.quality.labels import Suspect, suspects_of
from docclf.results.reading import Run, read_run
from docclf.results.report.subject import Subject
from docclf.safety.untrusted import read_yaml
from docclf.sweeper.storage.places import FINALISTS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predicted:
    """A run and what the report calls it, such as `trial 19`; the class of each of its pages is known."""

    who: str
    run: Run

    @property
    def names(self) -> list[str]:
        """Of the classes."""
        return self.run.predictions.class_names

    @property
    def counts(self) -> NDArray[np.int64]:
        """Confusion matrix, a row a true class, shape (n_classes, n_classes)."""
        n = len(self.names)
        return np.bincount(self.run.labels * n + self.run.predictions.predicted, minlength=n * n).reshape(n, n)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Of each class; NaN where there is none."""
        return f1_per_class(self.run.labels, self.run.predictions.predicted, len(self.names))


def read_predicted(subject: Subject) -> tuple[Predicted | None, Predicted | None]:
    """Of the winner and of the baseline: as finalists where they were re-evaluated, else as trials.

    The baseline is None where it is the winner, or has other classes; both are where files are missing.
    """
    verdict = subject.verdict
    if subject.folder is None:
        return None, None
    if verdict is not None:
        who, base = verdict.who, verdict.baseline
        of_base = subject.folder / FINALISTS / str(base.number) if base is not None else None
        folders = [subject.folder / verdict.run, of_base]
    else:
        who = f"trial {subject.chosen.number}" if subject.chosen is not None else ""
        folders = [subject.folder_of(t) if t is not None else None for t in (subject.chosen, subject.baseline)]
    winner = _read(who, folders[0])
    baseline = _read("baseline", folders[1]) if folders[1] != folders[0] else None
    if winner is None or baseline is None or baseline.names != winner.names:
        return winner, None
    return winner, baseline


def _read(who: str, folder: Path | None) -> Predicted | None:
    if folder is None or not (folder / "oof.csv").is_file():
        return None
    try:
        run = read_run(folder)
    except DataError as error:
        log.warning(f"The report is without what {who} predicted: {error}")
        return None
    return None if (run.labels < 0).any() else Predicted(who, run)


def most_confused(winner: Predicted, baseline: Predicted | None, limit: int = 6) -> list[dict[str, Any]]:
    """The pairs of classes with the most mistakes, the most first.

    Returns:
        Of each the names of the `true` class and of the `predicted` one, how many pages that are (`count`), their
        `fraction` of the class, in [0, 1], how many the baseline took so (`before`, None without one), and IDs of
        `pages`, the most confident mistake first.
    """
    counts = winner.counts
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    before = baseline.counts if baseline is not None else None
    read, found = winner.run.predictions, []
    for true, other in (divmod(int(place), len(counts)) for place in order):
        if not wrong[true, other]:
            break
        rows = np.flatnonzero((winner.run.labels == true) & (read.predicted == other))
        rows = rows[np.argsort(-read.probabilities[rows, other], kind="stable")]
        found.append(
            {
                "true": winner.names[true],
                "predicted": winner.names[other],
                "count": int(wrong[true, other]),
                "fraction": float(wrong[true, other] / counts[true].sum()),
                "before": int(before[true, other]) if before is not None else None,
                "pages": [read.ids[row] for row in rows[:4]],
            }
        )
    return found


def suspected(winner: Predicted) -> list[Suspect]:
    """Labels of the run that look wrong with names of classes, the worst first; empty where they cannot be found."""
    names = winner.run.classes
    try:
        return [
            replace(one, given=names.get(one.given, one.given), suggested=names.get(one.suggested, one.suggested))
            for one in suspects_of(winner.run)
        ]
    except DataError as error:
        log.warning(f"The report is without suspected labels: {error}")
        return []


def pages_root(run: Run) -> Path | None:
    """Folder of the run's pages, if it is still there."""
    place = path_of(run, "data.root")
    return place if place is not None and place.is_dir() else None


def path_of(run: Run, key: str) -> Path | None:
    """A path of a run's config, from the folder that the run was started in; None where it has none."""
    given = run.resolved.get(key)
    if not given or given == "null":
        return None
    path = run.folder / ".hydra" / "hydra.yaml"
    try:
        return Path(read_yaml(path)["hydra"]["runtime"]["cwd"], given).resolve()
    except (OSError, KeyError, TypeError, ValueError, DataError):
        return Path(given).resolve()
