"""The model that a run keeps: written, trained on all pages where that is asked for, scored on the test pages."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from docclf.data.module import PageDataModule
from docclf.inference.description import DOUBT, FOLDER, Description, HeadDescription
from docclf.inference.doubt import Doubt, make_doubt
from docclf.inference.folder import load_ensemble, normalisation_of, save_ensemble
from docclf.inference.predictor import Predictor
from docclf.metrics.calibration import calibration_error, fit_temperature, with_temperature
from docclf.metrics.scores import macro_f1
from docclf.models.frozen.features import PIXELS
from docclf.models.frozen.head import FLAGS
from docclf.models.frozen.heads import Heads
from docclf.models.frozen.pooling import PooledStages
from docclf.results.facts import AVERAGE, HEAD, NET
from docclf.results.provenance import versions
from docclf.results.run import write_test
from docclf.training.crossval import CrossValidation
from docclf.training.folds.trainer import FoldTrainer

log = logging.getLogger(__name__)

_BATCH_SIZE = 64
_FRACTIONS = {HEAD: 1.0, AVERAGE: 0.5, NET: 0.0}  # of the head, by what is kept


def refit_all(folds: FoldTrainer, epochs: int) -> dict[str, Tensor]:
    """Train on every training page.

    Args:
        epochs: As many as the folds' best models took.

    Returns:
        The backbone's weights.
    """
    data, rows = folds.data, np.arange(len(folds.data.labels))
    data.use_split(rows, np.arange(0))
    log.info(f"refit on all {len(data.labels)} training pages, {epochs} epochs")
    start = None if folds.heads is None else folds.heads.fit_start(rows)
    model = folds.fit(epochs, start=start, logger=False, limit_val_batches=0)
    weights: dict[str, Tensor] = model.kept.state_dict()
    return weights


def keep_model(
    heads: Heads,
    done: CrossValidation,
    folder: Path,
    weights: Mapping[str, Mapping[str, Tensor] | Path],
    own: Mapping[str, Any] | None = None,
) -> None:
    """Write the folder `model` of a run.

    Args:
        heads: Fit the head, where one is kept: to all training pages, since it is fitted in a second and more pages can
            only help.
        weights: Of each member, see `docclf.inference.folder.save_ensemble`.
        own: What makes a net that is not timm's, see `docclf.safety.targets.own_model`.
    """
    data, backbone = heads.data, heads.cache.backbone.name
    pages, images = data.pages, data.dataset.train_images.array
    temperature = fit_temperature(done.probabilities[done.scored], done.labels[done.scored])
    has_novelty = heads.cache.backbone.weights.are_trained  # untrained features do not say what is like what
    head = heads.fit(np.arange(len(data.labels))) if done.kept != NET or has_novelty else None
    mean, std = normalisation_of(backbone, own, len(pages.targets), data.image_size, images.shape[3])
    source = {"macro_f1": done.mean, "folds": done.scores, "data": data.dataset.fingerprint, "versions": versions()}
    description = Description(
        backbone=backbone,
        targets=[pages.answers.get(target, target) for target in pages.targets],
        class_names=pages.class_names,
        image_size=data.image_size,
        decoded_size=images.shape[1],
        channels=images.shape[3],
        temperature=temperature,
        source=source,
        mean=mean,
        std=std,
        fit="letterbox" if data.letterbox else "squeeze",
        head=None if head is None else _describe_head(heads, _FRACTIONS[done.kept]),
        doubt=DOUBT,
        own=None if own is None else dict(own),
    )
    frozen = None
    if head is not None and isinstance(net := heads.cache.backbone.build(), PooledStages):
        frozen = net.net.state_dict()
    doubt = _doubt(done, temperature, heads if has_novelty else None)
    save_ensemble(folder / FOLDER, description, weights, head, frozen, doubt.arrays())


def _doubt(done: CrossValidation, temperature: float, heads: Heads | None) -> Doubt:
    rows = done.scored
    probabilities = with_temperature(done.probabilities[rows], temperature)
    novelty = None
    if heads is not None:
        confidence = np.full(len(done.labels), np.nan, np.float32)
        confidence[rows] = probabilities.max(axis=1)
        found, scores = heads.fit_novelty(done.assignment, confidence)
        novelty = found, scores[rows]
    return make_doubt(probabilities, done.labels[rows], novelty)


def _describe_head(heads: Heads, fraction: float) -> HeadDescription:
    backbone, options = heads.cache.backbone, heads.options
    return HeadDescription(
        fraction=fraction,
        sides=backbone.sides(options.scales),
        **{name: getattr(options, name) for name in FLAGS},
        backbone=None if backbone.name == PIXELS else "backbone.safetensors",
    )


def score_test(data: PageDataModule, folder: Path, build_trainer: Callable[..., pl.Trainer]) -> dict[str, float]:
    """Predict the test pages with the run's model, where there are labelled ones.

    Args:
        data: All pages.
        folder: The run's folder; gets `predictions_test.csv` and `confusion_test.png`.
        build_trainer: Knows the device.

    Returns:
        `test/macro_f1`, `test/accuracy`, `test/loss` and `test/calibration_error`, with calibrated probabilities; empty
        without labelled test pages.
    """
    test = data.pages.test
    if test is None or test.labels is None:
        return {}
    device, images = build_trainer(max_epochs=1, logger=False).strategy.root_device, data.dataset.test_images
    assert images is not None
    predict = Predictor(load_ensemble(folder / FOLDER).to(device))
    batches = [np.arange(len(test))[start : start + _BATCH_SIZE] for start in range(0, len(test), _BATCH_SIZE)]
    probabilities = np.concatenate([predict([images[rows]], images.aspects[rows]).probabilities for rows in batches])
    labels, predicted = test.labels, probabilities.argmax(axis=1)
    write_test(folder, data.pages, probabilities)
    scores = {
        "test/macro_f1": macro_f1(labels, predicted, len(data.pages.class_names)),
        "test/accuracy": float((predicted == labels).mean()),
        "test/loss": float(F.nll_loss(torch.from_numpy(probabilities).log(), torch.from_numpy(labels))),
        "test/calibration_error": calibration_error(probabilities, labels),
    }
    log.info(f"test macro-F1 {scores['test/macro_f1']:.3f} on {len(test)} pages")
    return scores
