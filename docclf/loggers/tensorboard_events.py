"""Metrics for TensorBoard."""

import math
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from docclf.loggers.run import RunLogger
from docclf.results.provenance import training_facts

# Of a run's config, what says nothing of how it trains.
_ELSEWHERE = ("study_name", "search", "finalists", "logger", "report", "results", "keep_checkpoints")


class TensorBoardRunLogger(RunLogger):
    """Curves of each fold in `fold_<n>`; of the run its parameters and what came of them, for the HParams tab.

    `tensorboard --logdir multirun/NAME` shows trial 3 as the run `3`, and its folds as `3/fold_0` and so on.
    """

    def fold(self, fold: int) -> Logger:
        return TensorBoardLogger(self.run.folder, name="", version=f"fold_{fold}", default_hp_metric=False)

    def finish(self, result: Mapping[str, Any]) -> None:
        config = {key: value for key, value in self.run.config.items() if key not in _ELSEWHERE}
        # TensorBoard shows a run in its table only if it has a metric.
        metrics = {"macro_f1": result.get("mean", math.nan), **result.get("metrics", {})}
        facts = training_facts(result)
        metrics |= {key: value for key, value in facts.items() if not isinstance(value, str)}
        words = {key: value for key, value in facts.items() if isinstance(value, str)}
        own = TensorBoardLogger(self.run.folder, name="", version="", default_hp_metric=False)
        own.log_hyperparams({**(self.run.params or config), **words, "state": result["state"]}, metrics)
        own.finalize("")  # "success" would leave a hparams.yaml with the same
