"""The trainings of a configuration, in as much memory as there is."""

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from docclf.data.module import PageDataModule
from docclf.inference.folder import save_weights
from docclf.models.classifier import PageClassifier
from docclf.models.frozen.head import Head
from docclf.models.frozen.heads import Heads
from docclf.models.state import StateIO
from docclf.training.folds.checkpoints import FoldCheckpoints
from docclf.training.folds.recorder import FoldRecorder
from docclf.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldTrainer:
    """What trains the folds of one configuration, each by itself."""

    data: PageDataModule  # all pages
    validation: Validation  # the folds and epochs
    build_model: Callable[[], PageClassifier]  # makes a fresh model
    build_trainer: Callable[..., pl.Trainer]  # makes a Lightning trainer from further arguments
    checkpoints: FoldCheckpoints  # keeps what is done for after an interruption
    # leave each fold's backbone at `checkpoints.path(fold, kind)`, as it was in the best epoch of each candidate
    keep_weights: bool = False
    heads: Heads | None = None  # heads on frozen features, from which nets start; None for a random classifier
    net_alone: bool = False  # score and keep the net whatever its head scores, which has not learnt what the net has

    def assign(self) -> NDArray[np.int64]:
        """Fold of each training page, see `docclf.training.validation.Validation.assign`."""
        return self.validation.assign(self.data.dataset, self.data.rare_classes)

    def train(self, assignment: NDArray[np.int64], watch: FoldRecorder, logger: Any) -> int:
        """Train and validate one fold.

        Args:
            assignment: Fold of each training page.
            watch: Follows the training; it says which fold.
            logger: Lightning's, or a list of these.

        Returns:
            Number of the model's parameters.

        Raises:
            NonFiniteLossError: The loss became NaN or infinite.
        """
        fold = watch.fold
        train, validation = np.flatnonzero(assignment != fold), np.flatnonzero(assignment == fold)
        self.data.use_split(train, validation)
        head = None if self.heads is None or self.net_alone else self.heads.fold(train, validation)
        watch.follow(self.data.labels[validation], head)
        start = None if self.heads is None else self.heads.fit_start(train)
        model = self.fit(self.validation.epochs, watch=watch, start=start, logger=logger)
        for kind, candidate in watch.candidates.items():
            if candidate.weights:
                save_weights(self.checkpoints.path(fold, kind), candidate.weights)
        return sum(parameter.numel() for parameter in model.net.parameters())  # without those of a moving average

    def fit(
        self, epochs: int, *, watch: FoldRecorder | None = None, start: Head | None = None, **options: Any
    ) -> PageClassifier:
        """Train a model on the current split of the pages, from the same random numbers each time.

        Where memory runs out, it begins again with half as many pages at once, and gradients accumulated.

        Args:
            watch: Follows a fold, which goes on from its last epoch.
            start: What the classifier starts from, see `docclf.models.classifier.PageClassifier.start`.
            **options: Further arguments of the trainer.
        """
        data = self.data
        while True:
            try:
                return self._fit_once(epochs, watch, start, options)
            except torch.OutOfMemoryError as error:
                if data.world_size > 1 or not data.halve_batch():  # of several processes, the others would not know
                    raise
                log.warning(f"  out of memory, retrying with at most {data.max_batch_size} pages at once: {error}")
            # Here, where the exception and what its traceback holds are gone.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _fit_once(
        self, epochs: int, watch: FoldRecorder | None, start: Head | None, options: dict[str, Any]
    ) -> PageClassifier:
        pl.seed_everything(self.validation.seed, workers=True, verbose=False)
        model = self.build_model().to(memory_format=torch.channels_last)
        if start is not None:
            model.start(start)
        trainer = self.build_trainer(
            max_epochs=epochs,
            accumulate_grad_batches=self.data.accumulate,
            callbacks=[] if watch is None else [watch],
            plugins=[StateIO()],
            **options,
        )
        last_epoch = None if watch is None else self.checkpoints.epoch_path(watch.fold)
        trainer.fit(model, datamodule=self.data, ckpt_path=last_epoch)
        return model
