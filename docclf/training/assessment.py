"""What out-of-fold predictions say beside their score."""

from pathlib import Path
from typing import Any

import numpy as np

from docclf.data.module import PageDataModule
from docclf.metrics.resampling import interval
from docclf.metrics.scores import macro_f1
from docclf.models.frozen.heads import Heads
from docclf.results.quality.evaluation import write_calibration
from docclf.results.quality.labels import write_label_issues
from docclf.training.crossval import CrossValidation

# Of more pages than these, a third more does not help much, and heads take long.
_FEW_PAGES = 3000


def assess(data: PageDataModule, done: CrossValidation, folder: Path) -> dict[str, Any]:
    """What out-of-fold predictions say beside their score: how far to believe them, and which labels to look at.

    Args:
        folder: Gets `reliability.png`, `label_issues.csv` and `label_issues.png`.

    Returns:
        `calibration`, see `docclf.results.quality.evaluation.write_calibration`, and the number of `label_issues`.
    """
    pages, rows = data.pages, done.scored
    calibration = write_calibration(folder, done.labels[rows], done.probabilities[rows], done.assignment[rows])
    issues = write_label_issues(
        folder,
        ids=pages.train.ids,
        labels=done.labels,
        class_names=pages.class_names,
        targets=pages.targets,
        probabilities=done.probabilities,
        images=data.dataset.train_images,
        pairs=[(a, b) for a, b in data.dataset.pairs if b < len(done.labels)],
    )
    return {"calibration": calibration, "label_issues": issues}


def estimate_score(heads: Heads, done: CrossValidation) -> dict[str, float]:
    """What the kept model will score on as many other pages of the same kind.

    Out-of-fold scores are too low for it: with 3 folds, their models have seen two thirds of the pages. How much more
    pages help is measured with heads, on up to twice as many folds.

    Returns:
        `macro_f1`, the bounds `low` and `high` of 95 % of such sets of pages, and the `gain` that is in all three.
    """
    pages, labels, rows = heads.data.pages, done.labels, done.scored
    n_classes = len(pages.class_names)
    groups = None if pages.train.groups is None else np.array(pages.train.groups)[rows]
    predicted = done.probabilities[rows].argmax(axis=1)
    score = macro_f1(labels[rows], predicted, n_classes)
    gain = heads.gain_of_folds(done.assignment) if len(rows) == len(labels) <= _FEW_PAGES else 0.0
    # Other pages differ as much from all pages as these do: the variances add up.
    low, high = (
        score + np.sqrt(2) * (bound - score) + gain
        for bound in interval(labels[rows], predicted, n_classes, groups=groups)
    )
    found = {"macro_f1": score + gain, "low": low, "high": high}
    return {**{name: float(min(max(value, 0.0), 1.0)) for name, value in found.items()}, "gain": gain}
