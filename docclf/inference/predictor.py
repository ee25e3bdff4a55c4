"""What a trained model says of decoded pages, on a device whose memory may be small."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from docclf.data.augment.batch import resize
from docclf.errors import ConfigError, DataError
from docclf.inference.description import Description
from docclf.inference.ensemble import FoldEnsemble, TrialEnsemble
from docclf.models.frozen.features import Passes
from docclf.models.frozen.novelty import Novelty

log = logging.getLogger(__name__)
# Test-time augmentation: the views of a batch of shape (n, channels, size, size) that are averaged, each with whether
# pages lie on their side in it.
TEST_TIME_VIEWS: dict[str, Callable[[Tensor], Iterator[tuple[Tensor, bool]]]] = {
    "none": lambda images: iter([(images, False)]),
    "flips": lambda images: ((images.flip(axes), False) for axes in ([], [-1], [-2], [-1, -2])),
    "rotations": lambda images: ((images.rot90(turns, (-2, -1)), turns % 2 == 1) for turns in range(4)),
}


@dataclass(frozen=True)
class Answers:
    """What a model says of some pages."""

    probabilities: NDArray[np.float32]  # float32 of shape (n, n_classes); rows sum to 1
    # above 0 where a page is unlike the training pages, float32 of shape (n,); None where nobody asked
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
        torch.empty(1, device=device).cpu()  # which meta, that holds no numbers, cannot
    except (RuntimeError, AssertionError, TypeError) as error:  # torch has the first two for a device that is not there
        reason = str(error).partition("\n")[0].rstrip(".:!")
        raise ConfigError(
            f"Expected `device` to be auto or one of this machine, got {name}: {reason}. Say device='auto'"
        ) from error
    return device


class Predictor:
    """Probabilities of decoded pages. Where memory runs out, fewer pages at once from then on.

    Args:
        ensemble: The model, on the device that computes.
        tta: Key of `TEST_TIME_VIEWS`: the views of each page whose probabilities are averaged.
        calibrated: At the temperature of the model.
        novelty: Tells pages that are unlike the training pages, for a `FoldEnsemble`; None does not look for them.
    """

    def __init__(
        self,
        ensemble: FoldEnsemble | TrialEnsemble,
        *,
        tta: str = "none",
        calibrated: bool = True,
        novelty: Novelty | None = None,
    ) -> None:
        self.description: Description = ensemble.description
        self._ensemble, self._views, self._calibrated = ensemble, TEST_TIME_VIEWS[tta], calibrated
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
            DataError: The model computes no numbers, or its novelty is that of another model.
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
        if not np.isfinite(answers.probabilities).all():
            raise DataError(
                f"Expected probabilities from the model ({self.description}), got NaN. Copy its folder again, or train "
                "it again."
            )
        if self._novelty is None or not features:
            return answers
        if (n := features[0].shape[1]) != (expected := len(self._novelty.mean)):
            raise DataError(
                f"Expected {n} features of a page in what the model knows of its mistakes ({self.description.doubt}), "
                f"got {expected}: the file is of another model. Copy its folder again."
            )
        return replace(answers, novelty=self._novelty(np.concatenate(features), answers.confidence))

    @torch.inference_mode()
    def _predict(
        self, pages: Sequence[NDArray[np.uint8]], aspects: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Probabilities, and frozen features where pages are to be compared by them."""
        device = next(self._ensemble.buffers()).device
        decoded = {size: torch.from_numpy(some).to(device) for size, some in zip(self.sizes, pages, strict=True)}
        sides = torch.from_numpy(aspects).to(device)
        seen = see(decoded, sides, self.description)
        passes: Passes = {}
        features = None
        if self._novelty is not None and isinstance(self._ensemble, FoldEnsemble):
            features = self._ensemble.features(seen[0], sides, passes)
        views = []
        # Of each way to see a page its test-time views, which are the same for all; the first is the page as it is.
        for number, same in enumerate(zip(*map(self._views, seen), strict=True)):
            known = {"passes": passes} if features is not None and number == 0 else {}
            turned = 1 / sides if same[0][1] else sides
            views.append(self._ensemble(*(view for view, _ in same), turned, calibrated=self._calibrated, **known))
        found: NDArray[np.float32] = torch.stack(views).mean(dim=0).cpu().numpy()
        return found, None if features is None else features.float().cpu().numpy()


def see(decoded: Mapping[int, Tensor], aspects: Tensor, description: Description) -> list[Tensor]:
    """Pages as a model sees them, float32 of shape (n, channels, image_size, image_size) for each of its views.

    Args:
        decoded: Size to the pages at it, uint8 of shape (n, size, size, channels).
        aspects: Width of each page over its height, shape (n,).
    """
    return [
        resize(decoded[view.decoded_size], view.image_size, aspects if view.fit == "letterbox" else None)
        for view in description.views
    ]
