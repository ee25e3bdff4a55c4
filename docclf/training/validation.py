"""How a configuration is scored."""

from dataclasses import dataclass

from docclf.errors import ConfigError

# What a trial reports while it trains, and can be pruned by, see `docclf.training.crossval.CrossValidation.metrics`.
SCORES = ("macro_f1", "macro_f1_pooled")


@dataclass(frozen=True)
class Validation:
    """How a configuration is scored.

    Attributes:
        folds: Number of folds that the pages are split into, at least 2.
        run_folds: How many of them are trained and scored; None for all. 1 is a single split.
        epochs: Epochs of each training.
        max_batch_size: Most pages that go through the model at once; gradients accumulate to the batch size asked
            for. None for no limit.
        prune_after: Epochs of its first fold that every trial gets before it may be stopped.
        report: `epoch` or `fold`, see `docclf.training.folds.average.FoldAverage`.
        augment: Name of an option of `augment` for the validation pages; None leaves them as they are.
        robust: Score the validation pages as they are too, besides as `augment` shows them.
        split_file: CSV with the columns ID and fold to take the split from.
        order: Of the pages, by which they get their folds: `content`, or that of their `rows`, as in earlier releases.
        seed: Of the split and of each training.
    """

    folds: int = 3
    run_folds: int | None = None
    epochs: int = 3
    max_batch_size: int | None = None
    prune_after: int = 1
    report: str = "epoch"
    augment: str | None = None
    robust: bool = False
    split_file: str | None = None
    order: str = "content"
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("run_folds", "epochs", "max_batch_size", "prune_after"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"Expected `validation.{name}` to be at least 1, got {value}.")
        if self.robust and self.augment is None:
            raise ConfigError(
                "Expected `validation.augment` to name an option of augment with validation.robust=true, which scores "
                "pages as they are and as it shows them, got null. Say validation.augment=photo, or scan."
            )
        if self.order not in ("content", "rows"):
            raise ConfigError(f"Expected `validation.order` to be content or rows, got {self.order}.")
        if self.report not in ("epoch", "fold"):
            raise ConfigError(f"Expected `validation.report` to be epoch or fold, got {self.report}.")

    @property
    def n_runs(self) -> int:
        """Number of trainings."""
        return self.folds if self.run_folds is None else min(self.run_folds, self.folds)
