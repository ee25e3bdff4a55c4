"""What a training would have logged, kept for the loggers of another process."""

from argparse import Namespace
from collections.abc import Iterable, Sequence
from typing import Any

from pytorch_lightning.loggers import Logger

# Metrics and their step
Call = tuple[dict[str, float], int | None]


class RecordingLogger(Logger):
    """Keeps all metrics, in `calls`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    @property
    def name(self) -> str:
        return "recording"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.calls.append((dict(metrics), step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's config is kept beside the metrics."""


def replay(calls: Sequence[Call], loggers: Iterable[Logger], *, is_whole: bool = True) -> None:
    """Log what was recorded; `is_whole` says whether the training ended with that."""
    for logger in loggers:
        for metrics, step in calls:
            logger.log_metrics(metrics, step)
        if is_whole:
            logger.save()
            logger.finalize("success")
