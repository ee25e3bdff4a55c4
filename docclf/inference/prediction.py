"""Pages through a model: read, predicted, written and forgotten, batch by batch."""

import csv
import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from docclf.data.augment.batch import resize
from docclf.data.formats import quiet_decoders
from docclf.data.reading.listing import ListedPage, Listing
from docclf.data.reading.stream import Batch, read_batches
from docclf.errors import ConfigError
from docclf.files import replacing, set_aside
from docclf.inference.description import Description
from docclf.inference.ensemble import Blend, Ensemble
from docclf.models.frozen.features import Passes
from docclf.models.frozen.novelty import Novelty
from docclf.safety.cells import CsvWriter

log = logging.getLogger(__name__)

# Test-time augmentation: the views of a batch of shape (n, channels, size, size) that are averaged, each with whether
# pages lie on their side in it.
VIEWS: dict[str, Callable[[Tensor], Iterator[tuple[Tensor, bool]]]] = {
    "none": lambda images: iter([(images, False)]),
    "flips": lambda images: ((images.flip(axes), False) for axes in ([], [-1], [-2], [-1, -2])),
    "rotations": lambda images: ((images.rot90(turns, (-2, -1)), turns % 2 == 1) for turns in range(4)),
}


@dataclass(frozen=True)
class Answers:
    """What a model says of some pages.

    Attributes:
        probabilities: float32 of shape (n, n_classes); rows sum to 1.
        novelty: Above 0 where a page is unlike the training pages, float32 of shape (n,); None where nobody asked.
    """

    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float32] | None = None

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the predicted class, shape (n,)."""
        return np.asarray(self.probabilities.max(axis=1, initial=0), np.float32)


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is a GPU where there is one.

    Raises:
        ConfigError: torch does not know it, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch has both for a device that is not there
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"Expected `device` to be auto or one of this machine, got {name}: {reason}") from error
    return device


class Predictor:
    """Probabilities of decoded pages. Where memory runs out, fewer pages at once from then on.

    Args:
        ensemble: The model, on the device that computes.
        tta: Key of `VIEWS`: the views of each page whose probabilities are averaged.
        calibrated: At the temperature of the model.
        novelty: Tells pages that are unlike the training pages, for an `Ensemble`; None does not look for them.
    """

    def __init__(
        self, ensemble: Ensemble | Blend, *, tta: str = "none", calibrated: bool = True, novelty: Novelty | None = None
    ) -> None:
        self.description: Description = ensemble.description
        self._ensemble, self._views, self._calibrated = ensemble, VIEWS[tta], calibrated
        self._novelty = novelty
        self._at_once: int | None = None

    @property
    def sizes(self) -> list[int]:
        """Heights and widths in pixels that it takes pages at, each once."""
        return list(dict.fromkeys(view.decoded_size for view in self.description.views))

    def __call__(self, pages: Sequence[NDArray[np.uint8]], aspects: NDArray[np.float32]) -> Answers:
        """Predict a batch.

        Args:
            pages: The pages at each of `sizes`, of shape (n, size, size, channels).
            aspects: Width of each page over its height, shape (n,).

        Raises:
            ConfigError: Memory does not hold a single page.
        """
        probabilities = [np.empty((0, len(self.description.targets)), dtype=np.float32)]
        features: list[NDArray[np.float32]] = []
        done = 0
        while done < len(aspects):
            rows = slice(done, done + (self._at_once or len(aspects)))
            n = len(aspects[rows])
            try:
                found, seen = self._predict([some[rows] for some in pages], aspects[rows])
                probabilities.append(found)
                features += [] if seen is None else [seen]
                done += n
                continue
            except torch.OutOfMemoryError as error:
                if n == 1:
                    raise ConfigError(f"Expected memory for one page at a time on `device`, got: {error}") from error
                self._at_once = n // 2
                log.warning(f"Out of memory, going on with at most {self._at_once} pages at once")
            # Here, where the exception and what its traceback holds are gone.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        answers = Answers(np.concatenate(probabilities))
        if self._novelty is None or not features:
            return answers
        return replace(answers, novelty=self._novelty(np.concatenate(features), answers.confidence))

    @torch.inference_mode()
    def _predict(
        self, pages: Sequence[NDArray[np.uint8]], aspects: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Probabilities, and frozen features where pages are to be compared by them."""
        device = self._ensemble.mean.device
        decoded = {size: torch.from_numpy(some).to(device) for size, some in zip(self.sizes, pages, strict=True)}
        sides = torch.from_numpy(aspects).to(device)
        seen = see(decoded, sides, self.description)
        passes: Passes = {}
        features = None
        if self._novelty is not None and isinstance(self._ensemble, Ensemble):
            features = self._ensemble.features(seen[0], sides, passes)
        views = []
        # Of each way to see a page its test-time views, which are the same for all.
        for same in zip(*map(self._views, seen), strict=True):
            known = {"passes": passes} if features is not None and same[0][0] is seen[0] else {}
            turned = 1 / sides if same[0][1] else sides
            views.append(self._ensemble(*(view for view, _ in same), turned, calibrated=self._calibrated, **known))
        found: NDArray[np.float32] = torch.stack(views).mean(dim=0).cpu().numpy()
        return found, None if features is None else features.float().cpu().numpy()


def see(decoded: Mapping[int, Tensor], aspects: Tensor, description: Description) -> list[Tensor]:
    """Pages as a model sees them, float32 of shape (n, channels, image_size, image_size) for each of its views.

    Args:
        decoded: Size to the pages at it, uint8 of shape (n, size, size, channels).
        aspects: Width of each page over its height, shape (n,).
        description: Of the model.
    """
    return [
        resize(decoded[view.decoded_size], view.image_size, aspects if view.fit == "letterbox" else None)
        for view in description.views
    ]


@dataclass(frozen=True)
class Outcome:
    """What is kept of each page.

    Attributes:
        predicted: Class index, int64 of shape (n,); -1 where the page cannot be read.
        confidence: Probability of that class, float32 of shape (n,).
        unlike: Whether the page is unlike the training pages, shape (n,); False where nobody asked.
        problems: ID and reason of each page that cannot be read.
        several: IDs of the files that have more pages than the first.
    """

    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    unlike: NDArray[np.bool_]
    problems: list[tuple[str, str]]
    several: list[str]

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
        predictor: The model.
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
    with (
        replacing(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
        quiet_decoders(),
        tqdm(desc="Predicting", total=len(pages), unit="page", disable=None, leave=False) as progress,
    ):
        writer = CsvWriter(file)
        writer.writerow(["ID", "target", "confidence", *doubts, *described.class_names, "problem"])
        start = 0
        for batch, *others in batches:
            answers = predictor([batch.images, *(other.images for other in others)], batch.aspects)
            writer.writerows(_rows(batch, answers, described.targets, least))
            _note(outcome, start, batch, answers)
            start += len(batch.pages)
            progress.update(len(batch.pages))
    return outcome


def _rows(batch: Batch, answers: Answers, targets: Sequence[str], least: float | None) -> Iterator[list[str]]:
    remaining = iter(range(len(answers.probabilities)))
    novelty = answers.novelty
    for page, problem in zip(batch.pages, batch.problems, strict=True):
        if problem:
            yield [page.id, *[""] * (2 + 3 * (least is not None) + len(targets)), problem]
            continue
        row = next(remaining)
        shares = answers.probabilities[row]
        texts = [f"{share:.6f}" for share in shares]
        best = int(shares.argmax())
        doubts = []
        if least is not None:
            unlike = novelty is not None and bool(novelty[row] > 0)
            doubts = ["REVIEW" if unlike or shares[best] < least else "", "unlike" if unlike else ""]
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
    outcome.several.extend(page.id for page, more in zip(batch.pages, batch.several, strict=True) if more)


def write_submission(path: Path, listing: Listing, predicted: NDArray[np.int64], targets: Sequence[str]) -> None:
    """Write a sample submission with its targets filled in; empty where a page cannot be read.

    An earlier one that differs is kept under another name, see `docclf.files.set_aside`.

    Args:
        path: CSV file to write.
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
