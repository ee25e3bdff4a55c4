"""The Hydra callback that logs a whole study when its search has ended."""

from __future__ import annotations

import logging
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from docclf.loggers.choice import chosen_loggers, sync_command
from docclf.results.study.export import search_folder

log = logging.getLogger(__name__)


class LogStudy(Callback):
    """With `logger=wandb`, logs the study as one more run, and says how offline runs are uploaded.

    Hydra calls callbacks in reverse order at the end: this one has to stand before
    `docclf.results.study.export.ExportBest`, whose files it logs.
    """

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = search_folder(config)
        if folder is None:
            return
        try:
            logger = chosen_loggers(config.get("logger")).get("wandb")
            if logger is None:
                return
            from docclf.loggers.wandb_study import log_study

            log_study(folder, project=logger.get("project"), entity=logger.get("entity"))
        except Exception as error:  # what is to be logged is in the folder
            log.warning(f"Could not log the study to W&B: {type(error).__name__}: {error}")
        if command := sync_command(folder):
            log.info(f"Upload the search to W&B: {command}")
