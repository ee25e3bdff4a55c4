"""Predictions as files: pages are read, predicted, written and forgotten, batch by batch."""

import csv
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docclf.data.cache.contents import with_progress
from docclf.data.formats import quiet_decoders
from docclf.data.reading.listing import ListedPage, Listing
from docclf.data.reading.stream import Batch, read_batches
from docclf.files import replacing, set_aside
from docclf.inference.predictor import Answers, Predictor
from docclf.inference.tables import class_columns
from docclf.safety.cells import write_csv

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What is kept of each page."""

    predicted: NDArray[np.int64]  # class index, int64 of shape (n,); -1 where the page cannot be read
    confidence: NDArray[np.float32]  # probability of that class, float32 of shape (n,)
    unlike: NDArray[np.bool_]  # whether the page is unlike the training pages, shape (n,); False where nobody asked
    problems: list[tuple[str, str]]  # ID and reason of each page that cannot be read
    multi_page: list[str]  # IDs of the files that have more pages than the first

    def answered(self, least: float) -> NDArray[np.bool_]:
        """Whether a page is like the training pages and predicted with this confidence at least, shape (n,)."""
        return (self.predicted >= 0) & (self.confidence >= least) & ~self.unlike


def predict_pages(
    pages: Sequence[ListedPage],
    predictor: Predictor,
    path: Path,
    *,
    batch_size: int = 64,
    least: float | None = None,
) -> Outcome:
    """Write a row for each page: ID, target, confidence, a probability a class, and what kept it from being read.

    With `least` the columns `review`, `unlike` and `novelty` stand after the confidence: `REVIEW` where a person
    should look, `unlike` where that is because the page is unlike the training pages, and how unlike it is.

    Args:
        pages: In the order of the rows.
        path: CSV file to write; it appears when all pages are done.
        batch_size: Pages that go through the model at once.
        least: Confidence below which a person should look; None for an answer to every page.
    """
    described, n = predictor.description, len(pages)
    outcome = Outcome(np.full(n, -1), np.zeros(n, dtype=np.float32), np.zeros(n, dtype=np.bool_), [], [])
    doubts = [] if least is None else ["review", "unlike", "novelty"]
    batches = zip(
        *(read_batches(pages, batch_size, size=size, channels=described.channels) for size in predictor.sizes),
        strict=True,
    )
    header = ["ID", "target", "confidence", *doubts, *class_columns(described.class_names), "problem"]

    def predicted() -> Iterator[list[str]]:
        start = 0
        for batch, *others in with_progress(batches, "Predicting", math.ceil(n / batch_size), unit="batch"):
            answers = predictor([batch.images, *(other.images for other in others)], batch.aspects)
            yield from _rows(batch, answers, described.targets, least)
            _note(outcome, start, batch, answers)
            start += len(batch.pages)

    with quiet_decoders():
        write_csv(path, header, predicted())
    return outcome


def _rows(batch: Batch, answers: Answers, targets: Sequence[str], least: float | None) -> Iterator[list[str]]:
    remaining = iter(range(len(answers.probabilities)))
    novelty = answers.novelty
    for page, problem in zip(batch.pages, batch.problems, strict=True):
        if problem:
            yield [page.id, *[""] * (2 + 3 * (least is not None) + len(targets)), problem]
            continue
        row = next(remaining)
        probabilities = answers.probabilities[row]
        texts = [f"{value:.6f}" for value in probabilities]
        best = int(probabilities.argmax())
        doubts = []
        if least is not None:
            unlike = novelty is not None and bool(novelty[row] > 0)
            doubts = ["REVIEW" if unlike or probabilities[best] < least else "", "unlike" if unlike else ""]
            doubts.append("" if novelty is None else f"{novelty[row]:.4f}")
        yield [page.id, targets[best], texts[best], *doubts, *texts, ""]


def _note(outcome: Outcome, start: int, batch: Batch, answers: Answers) -> None:
    read = start + np.flatnonzero([not problem for problem in batch.problems])
    outcome.predicted[read] = answers.probabilities.argmax(axis=1)
    outcome.confidence[read] = answers.confidence
    outcome.unlike[read] = answers.novelty is not None and answers.novelty > 0
    outcome.problems.extend(
        (page.id, problem) for page, problem in zip(batch.pages, batch.problems, strict=True) if problem
    )
    outcome.multi_page.extend(page.id for page, more in zip(batch.pages, batch.has_more, strict=True) if more)


def write_submission(path: Path, listing: Listing, predicted: NDArray[np.int64], targets: Sequence[str]) -> None:
    """Write a sample submission with its targets filled in; empty where a page cannot be read.

    An earlier one that differs is kept under another name, see `docclf.files.set_aside`.

    Args:
        listing: Of the sample submission.
        predicted: Class index of each page, -1 for those that cannot be read.
        targets: What the user writes for each class.
    """
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, listing.columns, extrasaction="ignore", delimiter=listing.delimiter)
        writer.writeheader()
        for row, label in zip(listing.rows, predicted.tolist(), strict=True):
            writer.writerow({**row, "target": targets[label] if label >= 0 else ""})
        file.close()
        if path.exists() and path.read_bytes() != partial.read_bytes():
            log.info(f"The {path.name} that was there is {set_aside(path).name} now")
