"""Where the metrics of a run go: one logger a run, one Lightning logger a fold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger


class RunLogger:
    """Base of the loggers, and the one that logs nothing.

    Args:
        folder: The run's folder.
        name: Name of the run.
        group: What runs of one study have in common.
        config: The run's whole config, resolved.
    """

    def __init__(self, *, folder: Path, name: str, group: str, config: Mapping[str, Any]) -> None:
        self.folder, self.name, self.group, self.config = folder, name, group, config

    def fold(self, fold: int) -> Logger | bool:
        """The Lightning logger of a fold; False for none."""
        return False

    def finish(self, result: Mapping[str, Any]) -> None:
        """Close the run.

        Args:
            result: What `result.yaml` holds; its `state` is COMPLETE, PRUNED, INTERRUPTED or FAIL.
        """


class CsvLogger(RunLogger):
    """Metrics of each fold and epoch in `fold_<n>/metrics.csv`."""

    def fold(self, fold: int) -> Logger:
        return CSVLogger(self.folder, name="", version=f"fold_{fold}")


class WandbRunLogger(RunLogger):
    """One Weights & Biases run for all folds, offline where there is no API key.

    Args:
        project: W&B project.
        **base: See `RunLogger`.
    """

    def __init__(self, *, project: str = "docclf", **base: Any) -> None:
        super().__init__(**base)
        import wandb

        self.run = wandb.init(
            project=project,
            group=self.group,
            name=self.name,
            dir=str(self.folder),
            config=dict(self.config),
            mode=os.environ.get("WANDB_MODE", "online" if _has_wandb_key() else "offline"),  # type: ignore[arg-type]
            reinit="create_new",
        )

    def fold(self, fold: int) -> Logger:
        return WandbLogger(experiment=self.run, prefix=f"fold_{fold}")

    def finish(self, result: Mapping[str, Any]) -> None:
        self.run.summary.update(dict(result))
        self.run.finish(exit_code=1 if result["state"] == "FAIL" else 0)


def _has_wandb_key() -> bool:
    """Whether `wandb login` was run, or the key is in the environment. Asks no server."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host or "") is not None
    except (OSError, NetrcParseError):
        return False
