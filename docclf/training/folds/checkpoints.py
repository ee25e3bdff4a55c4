"""What a run keeps while it is open: its finished folds and the last epoch of each that is under way.

An interrupted run goes on from there, and processes that train folds of one run find each other's there.
"""

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from filelock import FileLock, Timeout

from docclf.files import replacing
from docclf.models.state import SUFFIX, load_state, save_state
from docclf.results.folders import replacing_folder, symbolic_links

log = logging.getLogger(__name__)

_FOLDS = f"folds{SUFFIX}"
_EPOCH, _DONE = "epoch", "done"  # of a fold: its last epoch, and what another process has finished


class NoLocksError(Exception):
    """No process can claim a fold: each run trains its own."""


def drop_worst(folder: Path, scores: Mapping[int, float], limit_gb: float) -> None:
    """Remove what paused runs keep, the worst first, until the rest takes no more than that.

    One that goes on all the same starts over.

    Args:
        folder: Holds the runs' folders.
        scores: Number of a run, which is its folder's name, to its score; more is better.
    """
    kept = {number: folder / str(number) / "resume" for number in sorted(scores, key=lambda number: -scores[number])}
    total = 0.0
    for place in kept.values():
        total += sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e9
        if total > limit_gb:
            shutil.rmtree(place, ignore_errors=True)


class FoldCheckpoints:
    """The folder `resume` of a run, there as long as the run is open.

    Args:
        key: Identifies configuration, pages and folds: what was kept under another one is of no use.
        earlier: Folders of interrupted runs of the same configuration, the latest first.
    """

    def __init__(self, folder: Path, key: str, earlier: Sequence[Path] = ()) -> None:
        self.key = key
        self._own, *self._earlier = (path / "resume" for path in (folder, *earlier))
        self._claims: dict[int, FileLock] = {}

    # -- the run

    def resume(self) -> dict[str, Any] | None:
        """What was kept of the finished folds, by this run or the latest earlier one; None without any of use."""
        for folder in (self._own, *self._earlier):
            if (state := self._load(folder / _FOLDS, "starting over")) is not None:
                if folder != self._own:
                    self._copy_from(folder)
                log.info(f"  resumes from {folder}")
                return state
        return None

    def discard(self) -> None:
        """Remove what this run has kept, which is of no use."""
        shutil.rmtree(self._own, ignore_errors=True)

    def _copy_from(self, folder: Path) -> None:
        """Copy another run's folder, which is there as a whole or not at all: others look into it."""
        with replacing_folder(self._own.absolute()) as partial:
            shutil.copytree(folder, partial, ignore=symbolic_links, dirs_exist_ok=True)
            for lock in partial.glob("*.lock"):
                lock.unlink()

    def read_open_run(self) -> dict[str, Any] | None:
        """What the process that opened this run has kept of its finished folds; None before it has opened it."""
        return self._load(self._own / _FOLDS, "waiting for another") if self.is_open else None

    @property
    def is_open(self) -> bool:
        """Whether the run has begun and not come to its end."""
        return (self._own / _FOLDS).is_file()

    def save_run(self, state: dict[str, Any]) -> None:
        """Keep the finished folds of each candidate, `state["folds"]`; what was kept of each alone goes."""
        with replacing(self._own / _FOLDS) as partial:
            save_state(partial, {**state, "key": self.key})
        for fold in range(max(map(len, state["folds"].values()), default=0)):
            for what in (_EPOCH, _DONE):
                self.path(fold, what).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove everything: the run came to its end."""
        for folder in (self._own, *self._earlier):
            shutil.rmtree(folder, ignore_errors=True)

    # -- one fold

    def path(self, fold: int, what: str) -> Path:
        """Where something of a fold is kept: of a finished one the weights of a candidate, by those who need them."""
        return self._own / f"fold_{fold}_{what}{SUFFIX}"

    def save_epoch(self, fold: int, trainer: pl.Trainer) -> None:
        """Keep the model, optimizer and callbacks of a fold under way, if they are of a kind that can be."""
        try:
            if trainer.is_global_zero:
                with replacing(self.path(fold, _EPOCH)) as partial:
                    trainer.save_checkpoint(partial)
            else:  # which writes nothing; all processes must call it
                trainer.save_checkpoint(self.path(fold, _EPOCH))
        except TypeError as error:  # of a user's own parts
            log.warning(f"Could not save this epoch. After an interruption the fold would start again: {error}")
        self._drop_if_ended()

    def epoch_path(self, fold: int) -> Path | None:
        """Checkpoint of a fold's last epoch; None before there is one."""
        path = self.path(fold, _EPOCH)
        if _read(path, "going on from the finished folds") is None:
            path.unlink(missing_ok=True)
            return None
        return path

    def save_fold(self, fold: int, done: dict[str, Any]) -> None:
        """Keep a finished fold for the process that opened the run."""
        with replacing(self.path(fold, _DONE)) as partial:
            save_state(partial, {**done, "key": self.key})
        self.path(fold, _EPOCH).unlink(missing_ok=True)
        self._drop_if_ended()

    def is_finished(self, fold: int) -> bool:
        """Whether another process has finished a fold."""
        return self.path(fold, _DONE).is_file()

    def load_fold(self, fold: int) -> dict[str, Any] | None:
        """A fold that another process has finished; None if there is none."""
        return self._load(self.path(fold, _DONE), "training the fold again")

    def claim(self, fold: int) -> bool:
        """Whether a fold is this process's to train, from now until it ends or releases it.

        Raises:
            NoLocksError: The disk has no locks, as some of a cluster.
        """
        lock = FileLock(self._own / f"fold_{fold}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:  # another process's
            return False
        except (NotImplementedError, OSError) as error:
            raise NoLocksError from error
        self._claims[fold] = lock
        if not self.is_open:  # any more
            self.release([fold])
            self._drop_if_ended()
        return fold in self._claims

    def release(self, folds: Iterable[int] | None = None) -> None:
        """Leave claimed folds to others; None for all."""
        for fold in list(self._claims) if folds is None else folds:
            self._claims.pop(fold).release(force=True)

    def _drop_if_ended(self) -> None:
        """Remove what was written after the process that opened the run had come to its end."""
        if not self.is_open:
            self.discard()

    def _load(self, path: Path, otherwise: str) -> dict[str, Any] | None:
        """A file of this run; None if it is missing, damaged or of another run."""
        state = _read(path, otherwise)
        return state if state is not None and state.get("key") == self.key else None


def _read(path: Path, otherwise: str) -> dict[str, Any] | None:
    try:
        state = load_state(path)
        if not isinstance(state, dict):
            raise TypeError(f"expected a mapping, got {type(state).__name__}")
    except FileNotFoundError:
        return None
    except Exception as error:  # damaged: a disk that was full, a copy that was cut off
        log.warning(f"Cannot read {path}, {otherwise}: {type(error).__name__}: {error}")
        return None
    return state
