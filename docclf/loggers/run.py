"""All loggers of a run. What they do is never worth a training: one that fails is warned of, and the run goes on."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning import LightningModule
from pytorch_lightning.loggers import Logger
from torch import Tensor

if TYPE_CHECKING:
    from docclf.sweeper.job.trial import JobTrial

log = logging.getLogger(__name__)

Call = tuple[dict[str, float], int | None]  # metrics and their step


@dataclass(frozen=True)
class RunInfo:
    """What a logger is told of the run.

    Attributes:
        folder: Of the run.
        name: Of the run.
        group: What runs of one study have in common.
        config: The whole config, resolved.
        kind: `run`, or in a search `trial` or `finalist`.
        params: Config key to the value that the trial tries; empty outside a search.
        objective: Name of the metric that is searched for; None if there are several.
        search: The search's folder; None outside a search.
        trial: As the study has it; None outside a search.
    """

    folder: Path
    name: str
    group: str
    config: Mapping[str, Any]
    kind: str = "run"
    params: Mapping[str, Any] = field(default_factory=dict)
    objective: str | None = None
    search: Path | None = None
    trial: JobTrial | None = None

    def value(self, result: Mapping[str, Any]) -> float | None:
        """The objective's value, of a run that did not come to its end the mean over its folds so far.

        Args:
            result: What `result.yaml` holds.
        """
        if self.objective is None:
            return None
        value = result.get("metrics", {}).get(self.objective, result.get("mean"))
        return None if value is None else float(value)


class RunLogger:
    """Base of the loggers."""

    def __init__(self, run: RunInfo) -> None:
        self.run = run

    def fold(self, fold: int) -> Logger | None:
        """The Lightning logger of a fold; None for none."""
        return None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Close the run.

        Args:
            result: What `result.yaml` holds; its `state` is COMPLETE, PRUNED, INTERRUPTED or FAIL.
        """


class RunLoggers:
    """The loggers of a run, none, one or several.

    Args:
        builders: Name to a class derived from `RunLogger`, or to what makes one from the argument `run`.
    """

    def __init__(self, builders: Mapping[str, Callable[..., RunLogger]], run: RunInfo) -> None:
        self._loggers: dict[str, RunLogger] = {}
        for name, build in builders.items():
            with _harmless(name, "begin"):
                self._loggers[name] = build(run=run)

    def fold(self, fold: int) -> list[Logger]:
        """The Lightning loggers of a fold."""
        found = []
        for name, logger in self._loggers.items():
            with _harmless(name, f"begin fold {fold}"):
                if (its := logger.fold(fold)) is not None:
                    found.append(HarmlessLogger(name, its))
        return list(found)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Close the run in all loggers, see `RunLogger.finish`."""
        for name, logger in self._loggers.items():
            with _harmless(name, "finish the run"):
                logger.finish(result)


@contextmanager
def _harmless(name: str, what: str) -> Iterator[None]:
    """Make a warning of an exception."""
    try:
        yield
    except Exception as error:
        log.warning(f"logger={name} could not {what}, training goes on: {type(error).__name__}: {error}")


class HarmlessLogger(Logger):
    """Hands on to a Lightning logger. When that fails it is warned of, and left alone from there on.

    Args:
        label: What the user calls it.
    """

    def __init__(self, label: str, logger: Logger) -> None:
        super().__init__()
        self._label, self._logger, self._failed = label, logger, False

    def _do(self, act: Callable[[], object]) -> None:
        if not self._failed:
            self._failed = True
            with _harmless(self._label, "log"):
                act()
                self._failed = False

    @property
    def name(self) -> str | None:
        return self._logger.name

    @property
    def version(self) -> int | str | None:
        return self._logger.version

    @property
    def save_dir(self) -> str | None:
        return self._logger.save_dir

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._do(lambda: self._logger.log_metrics(metrics, step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self._do(lambda: self._logger.log_hyperparams(params, *args, **kwargs))

    def log_graph(self, model: LightningModule, input_array: Tensor | None = None) -> None:  # type: ignore[override]
        self._do(lambda: self._logger.log_graph(model))

    def save(self) -> None:
        self._do(self._logger.save)

    def finalize(self, status: str) -> None:
        self._do(lambda: self._logger.finalize(status))


class RecordingLogger(Logger):
    """Keeps all metrics, in `calls`, for the loggers of another process."""

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
