"""How a configuration is scored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docclf.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from docclf.data.dataset import DataSet

# Objectives that the mean macro-F1, which a trial reports while it trains, stands for; by others nothing is pruned.
SCORES = ("macro_f1", "macro_f1_pooled")


@dataclass(frozen=True)
class Validation:
    """How a configuration is scored."""

    folds: int = 3  # number of folds that the pages are split into, at least 2
    run_folds: int | None = None  # how many of them are trained and scored; None for all. 1 is a single split
    epochs: int = 3  # epochs of each training
    # most pages that go through the model at once; gradients accumulate to the batch size asked for. None for no limit.
    max_batch_size: int | None = None
    prune_after: int = 1  # epochs of its first fold that every trial gets before it may be stopped
    report: str = "epoch"  # `epoch` or `fold`, see `docclf.training.folds.average.FoldAverage`
    augment: str | None = None  # name of an option of `augment` for the validation pages; None leaves them as they are
    robust: bool = False  # score the validation pages as they are too, besides as `augment` shows them
    split_file: str | None = None  # CSV with the columns ID and fold to take the split from
    # of the pages, by which they get their folds: `content`, or that of their `rows`, as in earlier releases
    order: str = "content"
    seed: int = 42  # of the split and of each training

    def __post_init__(self) -> None:
        if self.robust and self.augment is None:
            raise ConfigError(
                "Expected `validation.augment` to name an option of augment with validation.robust=true, which scores "
                "pages as they are and as it shows them, got null. Say validation.augment=photo, or scan."
            )

    @property
    def n_trained_folds(self) -> int:
        """Number of trainings."""
        return self.folds if self.run_folds is None else min(self.run_folds, self.folds)

    @property
    def n_reports(self) -> int:
        """How often a whole trial reports, see `docclf.training.folds.average.FoldAverage`."""
        return self.n_trained_folds * (self.epochs if self.report == "epoch" else 1)

    def assign(self, data: DataSet, rare_classes: str = "raise") -> NDArray[np.int64]:
        """Fold of each training page, shape (n,); -1 for training only (`rare_classes=train`). Errors: `split_pages`.

        Args:
            rare_classes: What becomes of classes with fewer pages than folds, see `docclf.data.folds.assign_folds`.
        """
        from docclf.data.folds import split_pages

        return split_pages(
            data.pages.train,
            n_folds=self.folds,
            seed=self.seed,
            class_names=data.pages.class_names,
            split_file=self.split_file,
            order=data.order if self.order == "content" else None,
            rare=rare_classes,
            emptied=data.pages.emptied,
        )

    def fingerprint(self, data: DataSet, assignment: NDArray[np.int64]) -> str:
        """Identifies folds, by the order of the pages that they were made by.

        Args:
            assignment: Fold of each training page, shape (n,).
        """
        rows = assignment[data.order] if self.order == "content" else assignment
        return hashlib.sha256(rows.tobytes()).hexdigest()[:16]
