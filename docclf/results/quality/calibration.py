"""How far a model's confidence can be believed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.metrics.calibration import calibration_error, fit_temperature, reliability, with_temperature
from docclf.results.pictures import write_reliability


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
