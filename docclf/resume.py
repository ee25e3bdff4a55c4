"""What lets an interrupted configuration go on: its finished folds and the last epoch of the open one."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from docclf.results.files import replacing

log = logging.getLogger(__name__)


class FoldCheckpoints:
    """The folder `resume` of a run, there as long as the run is open.

    Args:
        folder: The run's folder.
        key: Identifies configuration, pages and folds: what was kept under another one is of no use.
        earlier: Folders of interrupted runs of the same configuration, the latest first.
    """

    def __init__(self, folder: Path, key: str, earlier: Sequence[Path] = ()) -> None:
        self.key = key
        self._folders = [path / "resume" for path in (folder, *earlier)]

    @property
    def _own(self) -> Path:
        return self._folders[0]

    def load(self) -> dict[str, Any] | None:
        """What was kept of the finished folds, by this run or the latest earlier one; None without any of use."""
        for folder in self._folders:
            state = _load(folder / "folds.pt", "starting over")
            if state is None or state.get("key") != self.key:
                continue
            if folder != self._own:
                shutil.rmtree(self._own, ignore_errors=True)
                shutil.copytree(folder, self._own)
            if self.epoch is not None and _load(self.epoch, "going on from the finished folds") is None:
                self.epoch.unlink()
            log.info(f"  goes on from {folder}")
            return state
        return None

    def weights(self, fold: int) -> Path:
        """Where the weights of a finished fold are kept, by those who need them."""
        return self._own / f"fold_{fold}.safetensors"

    def save_folds(self, state: dict[str, Any]) -> None:
        """Keep the finished folds; the checkpoint of the last one is of no use any more."""
        with replacing(self._own / "folds.pt") as partial:
            torch.save({**state, "key": self.key}, partial)
            # Before folds.pt takes its place: a process killed in between must not leave it beside the fold it made.
            (self._own / "last.ckpt").unlink(missing_ok=True)

    def save_epoch(self, trainer: pl.Trainer) -> None:
        """Keep the open fold's model, optimizer and callbacks."""
        with replacing(self._own / "last.ckpt") as partial:
            trainer.save_checkpoint(partial)

    @property
    def epoch(self) -> Path | None:
        """Checkpoint of the open fold's last epoch; None before there is one."""
        path = self._own / "last.ckpt"
        return path if path.is_file() else None

    def clear(self) -> None:
        """Remove everything: the run came to its end."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)


def _load(path: Path, otherwise: str) -> dict[str, Any] | None:
    try:
        state = torch.load(path, weights_only=False, map_location="cpu")
        if not isinstance(state, dict):
            raise TypeError(f"expected a mapping, got {type(state).__name__}")
    except FileNotFoundError:
        return None
    except Exception as error:  # damaged: a disk that was full, a copy that was cut off
        log.warning(f"Cannot read {path}, {otherwise}: {type(error).__name__}: {error}")
        return None
    return state
