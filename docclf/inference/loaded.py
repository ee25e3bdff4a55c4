"""A trained model as a function: pages in, names and probabilities out."""

from __future__ import annotations

import io
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from docclf.data.formats import quiet_decoders, read_with_aspect
from docclf.data.reading.metadata import pixel_aspect
from docclf.data.reading.problems import reason
from docclf.errors import DataError
from docclf.inference.folder import find_model, load_ensemble
from docclf.inference.predictor import Predictor, choose_device
from docclf.safety.arguments import path_of, texts_of
from docclf.safety.permission import add_allowed

_AT_ONCE = 64
# Modes of Pillow that no TIFF file has, or none that Pillow 11.3 reads again (YCbCr), and what holds the same.
_WITHOUT_FILE = {"HSV": "RGB", "La": "LA", "RGBa": "RGBA", "I;16N": "I", "YCbCr": "RGB"}
Page = str | Path | Image.Image


class Prediction(NamedTuple):
    """What a model says of some pages.

    Attributes:
        names: Of the predicted classes, one a page.
        targets: The same as the training data write them, which is what a submission wants.
        probabilities: Calibrated, float32 of shape (n, n_classes); rows sum to 1.
    """

    names: list[str]
    targets: list[str]
    probabilities: NDArray[np.float32]


class Model:
    """The model of a run, of a search (its winner), or a folder `model` by itself.

    Args:
        run: Its folder.
        device: As torch has it; `auto` is a GPU where there is one.

    Attributes:
        class_names: Of the classes, in the order of the probabilities.
        targets: The same as the training data write them.

    Raises:
        DataError: There is no model, or it is damaged.
        ConfigError: This machine has no such device, or `run` is no path.
    """

    def __init__(self, run: str | Path, device: str = "auto") -> None:
        self._predict = Predictor(load_ensemble(find_model(path_of("run", run))).to(choose_device(device)))
        described = self._predict.description
        self.class_names, self.targets = list(described.class_names), list(described.targets)

    def __call__(self, pages: Iterable[Page]) -> Prediction:
        """Predict pages.

        Args:
            pages: Paths of images or PDF files, whose first pages are taken, or Pillow images.

        Raises:
            DataError: A page cannot be read; the message says which. Or what was given is no list of pages.
        """
        if not isinstance(pages, Iterable) or isinstance(pages, Page | bytes | Mapping):
            raise DataError(f"Expected a list of paths or Pillow images, got {_shown(pages)}. Say model([page])")
        given = [*pages]
        for i, page in enumerate(given):
            if not isinstance(page, Page):
                way = "PIL.Image.fromarray(page)" if isinstance(page, np.ndarray) else "'page.png'"
                got = f"page {i}, counted from 0, {_shown(page)}"
                raise DataError(f"Expected a list of paths or Pillow images, got {got}. Say model([{way}])")
        found = [np.empty((0, len(self.targets)), np.float32)]
        with quiet_decoders():
            for start in range(0, len(given), _AT_ONCE):
                some = given[start : start + _AT_ONCE]
                named = [*enumerate(some, start)]
                read = [[self._read(i, page, size) for i, page in named] for size in self._predict.sizes]
                aspects = np.array([aspect for _, aspect in read[0]], np.float32)
                found.append(
                    self._predict([np.stack([image for image, _ in one]) for one in read], aspects).probabilities
                )
        probabilities = np.concatenate(found)
        best = probabilities.argmax(axis=1).tolist()
        return Prediction([self.class_names[i] for i in best], [self.targets[i] for i in best], probabilities)

    def _read(self, i: int, page: Page, size: int) -> tuple[NDArray[np.uint8], float]:
        try:
            content = Path(page) if isinstance(page, str | Path) else _file_of(page)
            return read_with_aspect(content, size, channels=self._predict.description.channels)
        except Exception as error:  # decoders of damaged files raise almost anything
            raise DataError(
                f"Expected pages that can be read, got page {i}, counted from 0, {_shown(page)}: {reason(error)}"
            ) from error


def _file_of(image: Image.Image) -> bytes:
    """A picture as a file, for it to be read as files are; TIFF holds nearly every mode."""
    if not all(image.size):
        raise ValueError(f"it has {image.width} x {image.height} pixels")
    file, aspect = io.BytesIO(), pixel_aspect(image)
    if image.mode in _WITHOUT_FILE:
        image = image.convert(_WITHOUT_FILE[image.mode])
    if image.has_transparency_data and not image.mode.startswith("I"):
        image = image.convert("RGBA")  # TIFF has no other transparency
    # Whatever its own file had
    ImageOps.exif_transpose(image).save(file, "TIFF", compression="raw", dpi=(100, 100 * aspect))
    return file.getvalue()


def _shown(given: object) -> str:
    return str(given) if isinstance(given, str | Path) else f"{type(given).__name__} {reprlib.repr(given)}"


def load_model(run: str | Path, device: str = "auto", *, allow: Sequence[str] = ()) -> Model:
    """The model of a run or of a search, to be called with pages; arguments and errors as for `Model`.

    Args:
        allow: Names of your own code that the model may call from now on, as after `--allow`: `["mine.*"]`.
    """
    add_allowed(allow if isinstance(allow, str) else texts_of("allow", allow))
    return Model(run, device)
