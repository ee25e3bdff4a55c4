"""Training labels that look wrong, by what folds predicted for pages that they were not trained on."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from docclf.errors import DataError
from docclf.results.pictures import write_captioned
from docclf.safety.cells import lines_of, uncell, write_csv

if TYPE_CHECKING:
    from docclf.data.cache.decoded import PageArray
    from docclf.results.reading import Run

NAME = "label_issues.csv"
_COLUMNS = ("ID", "given", "suggested", "score", "same_as", "given_name", "suggested_name")
_PICTURED = 25


@dataclass(frozen=True)
class Suspect:
    """A label that looks wrong."""

    page: str  # ID of the page
    given: str  # its target
    suggested: str  # the likeliest target
    score: float  # see `find_wrong_labels`
    same_as: str = ""  # ID of a page that is the same with another label; empty without one


def write_label_issues(
    folder: Path,
    ids: Sequence[str],
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    targets: Sequence[str],
    probabilities: NDArray[np.floating[Any]],
    images: PageArray | None,
    pairs: Sequence[tuple[int, int]] = (),
) -> int:
    """Write `label_issues.csv` and, where there are any, `label_issues.png` with the 25 worst.

    The table has the columns of `Suspect`, the worst first, pages and targets as the user writes them, and the names of
    both classes. Both pages of a pair of near-duplicates with two labels are among them.

    Args:
        ids: What the user calls each page.
        labels: Class index given to each page, shape (n,).
        targets: What the user writes for each class.
        probabilities: Out-of-fold ones, shape (n, n_classes); rows with NaN are left out.
        images: Indexed by shape (k,), gives uint8 of shape (k, size, size, channels); None draws no picture.
        pairs: Near-duplicates, two indices each.

    Returns:
        The number of labels that look wrong.
    """
    unlike = [pair for pair in pairs if labels[pair[0]] != labels[pair[1]]]
    same = {page: ids[other] for a, b in reversed(unlike) for page, other in ((a, b), (b, a))}
    pages, scores = find_wrong_labels(labels, probabilities, also=list(same))
    given, suggested = labels[pages].tolist(), probabilities[pages].argmax(axis=1).tolist()
    rows = zip(pages.tolist(), given, suggested, (f"{score:.6f}" for score in scores), strict=True)
    cells = (
        [ids[page], targets[a], targets[b], score, same.get(page, ""), class_names[a], class_names[b]]
        for page, a, b, score in rows
    )
    write_csv(folder / NAME, _COLUMNS, cells)
    picture = folder / "label_issues.png"
    if not len(pages) or images is None:
        picture.unlink(missing_ok=True)
        return len(pages)
    worst = pages[:_PICTURED]
    captions = [
        (class_names[label], f"→ {class_names[other]}", ids[page])
        for page, label, other in zip(worst.tolist(), given, suggested, strict=False)
    ]
    write_captioned(picture, list(images[worst]), captions)
    return len(pages)


def suspects_of(run: Run) -> list[Suspect]:
    """Labels of a run that look wrong: those in its file, or else, as in most trials, found from its predictions.

    Raises:
        DataError: The file is damaged; or without it, it is not known which class each target is.
    """
    if (run.folder / NAME).is_file():
        return read_label_issues(run.folder)
    predictions, targets = run.predictions, list(run.classes)
    if (run.labels < 0).any():
        strange = predictions.targets[run.labels.argmin()]
        raise DataError(
            f"Expected {NAME} in {run.folder}, or a result.yaml that names the targets of oof.csv, got neither: "
            f"{strange} is none. Train again with refit=all, which writes {NAME}."
        )
    rows, scores = find_wrong_labels(run.labels, predictions.probabilities)
    found = zip(rows.tolist(), scores.tolist(), strict=True)
    return [
        Suspect(predictions.ids[row], predictions.targets[row], targets[predictions.predicted[row]], round(score, 6))
        for row, score in found
    ]


def read_label_issues(run: Path) -> list[Suspect]:
    """Content of a run's `label_issues.csv`; empty without one.

    Raises:
        DataError: It is damaged.
    """
    path = run / NAME
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[*map(uncell, row)] for row in csv.reader(lines_of(file)) if row][1:]
        return [Suspect(row[0], row[1], row[2], float(row[3]), "".join(row[4:5])) for row in rows]
    except (ValueError, IndexError, TypeError, csv.Error) as error:
        raise DataError(f"Expected {path} as docclf writes it, got something else: {error}.") from error


def find_wrong_labels(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating[Any]], also: Sequence[int] = ()
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pages whose labels look wrong by confident learning, and how good those labels are, the worst first.

    Confident learning (Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021)
    counts for each pair of classes how many pages of the one are predicted as the other with at least the confidence
    that is usual for the other, and takes as many of those by the largest margins. The score is that margin, (1 +
    p(given) - max p(others)) / 2: 0 is surely wrong, 1 surely right, and below 0.5 another class is likelier. The only
    page of a class is never among them: no fold that predicts it has seen its class.

    Args:
        labels: Class index given to each page, shape (n,).
        probabilities: Out-of-fold ones, shape (n, n_classes), in [0, 1]; rows with NaN are left out.
        also: Indices of pages to list whatever is said of them.

    Returns:
        Indices of the pages, int64 of shape (k,), and scores in [0, 1] of the same shape.
    """
    predicted = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    given, known = labels[predicted], probabilities[predicted].astype(np.float64)
    if len(np.unique(given)) < 2:
        return np.empty(0, dtype=np.int64), np.empty(0)
    # They load pandas and scikit-learn: 1.2 s.
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "May not flag all label issues in class", UserWarning)
        wrong = find_label_issues(given, known, n_jobs=1)
    scores = get_label_quality_scores(given, known, method="normalized_margin").clip(0, 1)
    rows = np.flatnonzero(wrong | np.isin(predicted, list(also)))
    rows = rows[np.argsort(scores[rows], kind="stable")]
    return predicted[rows], scores[rows]
