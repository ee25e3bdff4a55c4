"""How good predictions of labelled pages are, and how far their confidence can be believed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.metrics.calibration import calibration_error, fit_temperature, reliability, with_temperature
from docclf.metrics.resampling import interval, interval_text
from docclf.metrics.scores import f1_per_class, macro_f1
from docclf.results.pictures import write_confusion, write_reliability
from docclf.results.quality.comparison import number, table
from docclf.safety.cells import write_csv

_MOST = 20  # classes on the screen


def write_evaluation(
    output: Path,
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float32],
    class_names: Sequence[str],
) -> str:
    """Write `NAME_classes.csv` and `NAME_confusion.png` beside the predictions `NAME.csv`.

    Args:
        output: The file of the predictions.
        labels: True class indices, shape (n,).
        predicted: Predicted class indices, shape (n,).
        confidence: Probability of the predicted class, shape (n,).
        class_names: In the order of the class indices.

    Returns:
        Lines for the screen: macro-F1 with its interval, accuracy, expected calibration error, and the classes, worst
        first.
    """
    n_classes = len(class_names)
    rows = _per_class(labels, predicted, class_names)
    classes = output.with_name(f"{output.stem}_classes.csv")
    cells = ([name, *(number(v, ".6f", "") for v in scores), n] for name, *scores, n in rows)
    write_csv(classes, ["class_name", "precision", "recall", "f1", "pages"], cells)
    write_confusion(output.with_name(f"{output.stem}_confusion.png"), labels, predicted, class_names)
    low, high = interval(labels, predicted, n_classes)
    # Of each page, only the predicted class and its probability count: here the first of two classes.
    pairs = np.stack([confidence, np.zeros_like(confidence)], axis=1)
    error = calibration_error(pairs, (labels != predicted).astype(np.int64))
    worst = sorted((row for row in rows if not np.isnan(row[3])), key=lambda row: row[3])
    shown = [[name, *map(number, scores), str(n)] for name, *scores, n in worst[:_MOST]]
    more = [f"and {len(worst) - _MOST} better ones"] if len(worst) > _MOST else []
    return "\n".join(
        [
            f"macro-F1 {macro_f1(labels, predicted, n_classes):.3f} ({interval_text(low, high)}), "
            f"accuracy {np.mean(labels == predicted):.3f}, calibration error {error:.3f}",
            *table([["class", "precision", "recall", "F1", "pages"], *shown], right=True),
            *more,
        ]
    )


def _per_class(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], class_names: Sequence[str]
) -> list[tuple[str, float, float, float, int]]:
    """Name, precision TP / (TP + FP), recall TP / (TP + FN), F1 and pages; NaN where a denominator is 0."""
    n = len(class_names)
    hits, actual, called = (np.bincount(some, minlength=n) for some in (labels[labels == predicted], labels, predicted))
    with np.errstate(invalid="ignore"):
        precision, recall = hits / called, hits / actual
    scores = (precision.tolist(), recall.tolist(), f1_per_class(labels, predicted, n).tolist())
    return list(zip(class_names, *scores, actual.tolist(), strict=True))


def write_calibration(
    folder: Path, labels: NDArray[np.int64], probabilities: NDArray[np.float32], folds: NDArray[np.int64]
) -> dict[str, float]:
    """Fit a temperature to out-of-fold probabilities, and draw `reliability.png`.

    Args:
        labels: Class index of each page, shape (n,).
        probabilities: Out-of-fold, shape (n, n_classes).
        folds: The fold that each page belongs to, shape (n,).

    Returns:
        `temperature`, fitted to all pages, and the expected calibration error `error_before` and `error_after`, the
        latter with each fold at the temperature of the others; of a single fold, at its own.
    """
    calibrated = probabilities.copy()
    for fold in np.unique(folds):
        mine = folds == fold
        others = ~mine if not mine.all() else mine
        calibrated[mine] = with_temperature(probabilities[mine], fit_temperature(probabilities[others], labels[others]))
    before, after = calibration_error(probabilities, labels), calibration_error(calibrated, labels)
    bins = (reliability(probabilities, labels), reliability(calibrated, labels))
    write_reliability(folder / "reliability.png", *bins, errors=(before, after))
    return {"temperature": fit_temperature(probabilities, labels), "error_before": before, "error_after": after}
