"""One model on all training pages, once the folds have said how good it will be."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from safetensors.torch import save_file

from docclf.crossval import Validation, fit
from docclf.data.module import PageDataModule
from docclf.model import PageClassifier
from docclf.results.files import replacing
from docclf.results.pictures import write_confusion

log = logging.getLogger(__name__)


def refit_all(
    data: PageDataModule,
    validation: Validation,
    folder: Path,
    *,
    build_model: Callable[[], PageClassifier],
    build_trainer: Callable[..., pl.Trainer],
) -> dict[str, float]:
    """Train on every training page, save the model, and score it on the test pages where there are labelled ones.

    Args:
        data: All pages.
        validation: Its epochs, batch cap and seed apply.
        folder: Gets `model.ckpt` (Lightning), `model.safetensors` (the backbone's weights), `confusion_test.png`.
        build_model: Makes a fresh model.
        build_trainer: Makes a Lightning trainer from further arguments.

    Returns:
        `test/macro_f1`, `test/accuracy` and `test/loss`; empty without labelled test pages.
    """
    data.use_split(np.arange(len(data.labels)), np.arange(0))
    log.info(f"refit on all {len(data.labels)} training pages")
    trainer, model = fit(data, validation, build_model, build_trainer, logger=False, limit_val_batches=0)
    with replacing(folder / "model.ckpt") as partial:
        trainer.save_checkpoint(partial)
    with replacing(folder / "model.safetensors") as partial:
        save_file({key: value.contiguous() for key, value in model.net.state_dict().items()}, partial)
    test = data.pages.test
    if test is None or test.labels is None:
        return {}
    scores = trainer.test(model, datamodule=data, verbose=False)[0]
    predicted = model.logits.argmax(dim=1).cpu().numpy()
    write_confusion(folder / "confusion_test.png", test.labels, predicted, data.pages.class_names)
    log.info(f"test macro-F1 {scores['test/macro_f1']:.3f} on {len(test)} pages")
    return {key: float(value) for key, value in scores.items()}
