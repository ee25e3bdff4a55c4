"""One model in place of another run's, most often an ensemble's: it learns what that one predicts.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.data.pages import PageSet
from docclf.errors import DataError
from docclf.files import match_pages
from docclf.metrics.resampling import compare_scores
from docclf.metrics.scores import macro_f1
from docclf.results.reading import read_run
from docclf.safety.untrusted import reading
from docclf.training.crossval import CrossValidation

_FRACTION = 0.5  # of the teacher in what is learnt; the rest is the label


@dataclass(frozen=True)
class Teacher:
    """Out-of-fold probabilities of a run: each page as models predict it that were not trained on it."""

    folder: Path  # of the run
    probabilities: NDArray[np.float32]  # float32 of shape (n, n_classes); NaN for pages that it did not predict

    def targets(self, labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """What is learnt, shape (n, n_classes): the mean of label and prediction, of pages without one the label."""
        given = np.eye(self.probabilities.shape[1], dtype=np.float32)[labels]
        mixed = (1 - _FRACTION) * given + _FRACTION * self.probabilities
        return np.where(np.isnan(mixed), given, mixed)

    @property
    def digest(self) -> str:
        """Of the probabilities."""
        return hashlib.sha256(self.probabilities.tobytes()).hexdigest()

    def cost(self, done: CrossValidation, groups: Sequence[str] | None) -> dict[str, Any]:
        """How the student scores beside it, on the pages that both predicted out of fold.

        Args:
            done: The student's folds.
            groups: Of the training pages; None where each is one of its own.

        Returns:
            `macro_f1` of the student, that of the `teacher`, its `run`, the `difference` with its interval, and scores
            and difference in `text`.
        """
        rows = np.flatnonzero(~np.isnan(done.probabilities + self.probabilities).any(axis=1))
        n, labels = self.probabilities.shape[1], done.labels[rows]
        student, teacher = (found[rows].argmax(axis=1) for found in (done.probabilities, self.probabilities))
        documents = None if groups is None else np.array(groups)[rows]
        difference = compare_scores(labels, student, teacher, n, groups=documents)
        own, its = macro_f1(labels, student, n), macro_f1(labels, teacher, n)
        text = f"distilled: {own:.3f} over {len(rows)} pages out of fold, its teacher {its:.3f}: {difference}"
        facts = {"difference": asdict(difference), "text": text}
        return {"macro_f1": own, "teacher": its, "run": str(self.folder), **facts}


def read_teacher(folder: Path, pages: PageSet) -> Teacher:
    """What nets learn on these pages from a run, or from what a search has exported: its out-of-fold predictions.

    Raises:
        DataError: There is no such run, or its classes or most of its pages are others.
    """
    with reading("a run", folder):
        run = read_run(folder)
        found, classes = run.predictions, list(run.classes)
        if sorted(classes) != sorted(pages.targets):
            raise DataError(
                f"Expected the classes {', '.join(pages.targets)} in {run.folder}, got {', '.join(classes)}. "
                "Name a run on the same classes: teacher=RUN."
            )
        places = np.array(match_pages(pages.train.ids, found.ids))
        probabilities = found.probabilities[places][:, [classes.index(target) for target in pages.targets]]
        probabilities[places < 0] = np.nan
        if (n_lost := int((places < 0).sum())) > len(places) / 2:
            raise DataError(
                f"Expected predictions of the training pages in {found.path}, got none for {n_lost} of {len(places)}. "
                "Name a run on the same pages: teacher=RUN."
            )
    return Teacher(run.folder, probabilities.astype(np.float32))
