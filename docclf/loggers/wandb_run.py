"""Runs as runs of Weights & Biases."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger

from docclf.loggers.choice import sync_command
from docclf.loggers.run import RunInfo, RunLogger
from docclf.loggers.wandb_session import WandbSession
from docclf.results.provenance import training_facts

log = logging.getLogger(__name__)

# State of a run to W&B's exit code, and to the tag that tells it apart; W&B itself knows finished and failed alone.
_ENDS = {"COMPLETE": (0, None), "PRUNED": (0, "pruned"), "INTERRUPTED": (255, "interrupted"), "FAIL": (1, None)}


class WandbRunLogger(RunLogger):
    """One run of W&B for all folds.

    Args:
        run: What it logs.
        project: W&B project.
        entity: W&B user or team; None for the key's own.
    """

    def __init__(self, run: RunInfo, *, project: str = "docclf", entity: str | None = None) -> None:
        super().__init__(run)
        self._place = run.search or run.folder
        config = dict(run.config)
        if run.trial is not None:
            config |= {"trial": run.trial.source, "params": dict(run.params)}
        self._session = WandbSession(
            self._place, config, project=project, entity=entity, group=run.group, name=run.name, job_type=run.kind
        )
        self._run = self._session.run
        # Folds and epochs begin anew: their curves lie on each other.
        self._run.define_metric("trainer/global_step")
        self._run.define_metric("*", step_metric="trainer/global_step", step_sync=True)

    def fold(self, fold: int) -> Logger:
        return _FoldLogger(experiment=self._run, prefix=f"fold_{fold}")

    def finish(self, result: Mapping[str, Any]) -> None:
        exit_code, tag = _ENDS.get(result["state"], (1, None))
        try:
            value = self.run.value(result)
            summary = {**training_facts(result), **result, "value": value}
            if self.run.trial is not None and self.run.objective is not None:
                summary["best_value"] = self.run.trial.best_value(value if result["state"] == "COMPLETE" else None)
            self._run.summary.update(summary)
            if tag:
                self._run.tags = (*(self._run.tags or ()), tag)
        finally:
            self._session.finish(exit_code)
        if self.run.search is None and (command := sync_command(self._place)):
            log.info(f"Upload the run to W&B: {command}")


class _FoldLogger(WandbLogger):
    LOGGER_JOIN_CHAR = "/"
