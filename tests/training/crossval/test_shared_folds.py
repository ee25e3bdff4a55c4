"""Folds that other processes train count as if they had been trained one after another in one."""

import csv
import logging
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from filelock import FileLock
from pytorch_lightning.loggers import CSVLogger
from slowly import slowly

from docclf.models.frozen.cache import FeatureCache
from docclf.models.frozen.features import FrozenBackbone
from docclf.models.frozen.head import HeadOptions
from docclf.models.frozen.heads import Heads
from docclf.models.state import load_state, save_state
from docclf.training.crossval import cross_validate, help_folds
from docclf.training.folds.checkpoints import FoldCheckpoints
from docclf.training.folds.recorder import FoldRecorder
from docclf.training.folds.trainer import FoldTrainer
from docclf.training.trainer import make_trainer
from docclf.training.validation import Validation


class Shared:
    """A run that is open, and who trains it.

    Args:
        slow: Its model and pages.
        folder: Its folder.
    """

    def __init__(self, slow: Any, folder: Path) -> None:
        self.slow, self.folder = slow, folder
        self.resume = folder / "resume"
        self.trained: list[int] = []  # epochs of each training

    def trainer(self, callback: pl.Callback | None = None, **validation: Any) -> FoldTrainer:
        """What each process has of its own."""

        def build_trainer(callbacks: list[pl.Callback], **options: Any) -> pl.Trainer:
            more = [callback] if callback is not None else []
            own = [*callbacks, _Count(self.trained), *more]
            return make_trainer(accelerator="cpu", precision="32-true", callbacks=own, **options)

        checkpoints = FoldCheckpoints(self.folder, "key")
        whole = Validation(**{"folds": 3, "epochs": 3, **validation})
        return FoldTrainer(self.slow.folds.data, whole, self.slow.model, build_trainer, checkpoints=checkpoints)

    def open(self, **validation: Any) -> None:
        """Begin the run, and end it at once."""
        checkpoints = FoldCheckpoints(self.folder, "key")
        self.slow.break_off(self.slow.folds.Recorder(), checkpoints, callback=_BreakOff(), **validation)

    def help(self, epochs: int = 100, callback: pl.Callback | None = None, **validation: Any) -> None:
        """Train folds for the run, until so many epochs are trained."""
        help_folds(self.trainer(callback, **validation), lambda: sum(self.trained) < epochs)

    def run(self, trial: Any, logger: Callable[[int], Any] = lambda fold: False, **validation: Any) -> Any:
        return cross_validate(self.trainer(**validation), trial, logger, is_shared=True)


class _BreakOff(pl.Callback):
    def on_train_batch_start(self, *_: Any) -> None:
        raise KeyboardInterrupt


class _Count(pl.Callback):
    def __init__(self, trained: list[int]) -> None:
        self.trained = trained

    def on_fit_start(self, *_: Any) -> None:
        self.trained.append(0)

    def on_train_epoch_start(self, *_: Any) -> None:
        self.trained[-1] += 1


@pytest.fixture
def shared(slow: Any, tmp_path: Path) -> Shared:
    return Shared(slow, tmp_path)


@pytest.mark.parametrize("report", ["epoch", *slowly("fold")])
@pytest.mark.parametrize(
    ("epochs", "helped", "own"),
    [(4, [3, 1], [2, 3]), *slowly((6, [3, 3], [3]), (100, [3, 3, 3], []), (3, [3], [3, 3]), (2, [2], [1, 3, 3]))],
)
def test_whoever_trains_a_fold_the_run_comes_to_the_same(
    shared: Shared, slow: Any, report: str, epochs: int, helped: list[int], own: list[int]
) -> None:
    shared.open(report=report)
    shared.help(epochs, report=report)
    assert shared.trained == helped
    shared.trained.clear()
    trial = slow.folds.Recorder()
    result = shared.run(trial, report=report)
    slow.require_same(result, trial, **({"report": "fold"} if report == "fold" else {}))
    assert shared.trained == own and all(fold.seconds > 0 for fold in result.folds)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, *slowly(1, 5, 6)])
def test_a_run_is_pruned_where_it_would_have_been(shared: Shared, slow: Any, step: int) -> None:
    expected = slow.folds.Recorder(prune_at=step)
    alone, _ = slow.run(expected)
    shared.open()
    shared.help()
    trial = slow.folds.Recorder(prune_at=step)
    result = shared.run(trial)
    assert (trial.reports, trial.asked) == (expected.reports, expected.asked)
    assert result.stopped == "pruned" and result.scores == alone.scores and result.epochs == alone.epochs


@pytest.mark.parametrize("step", [1, *slowly(0, 2, 3, 7)])
def test_a_run_that_pauses_in_a_fold_of_a_helper_comes_to_the_same(shared: Shared, slow: Any, step: int) -> None:
    shared.open()
    shared.help()
    shared.trained.clear()
    paused = slow.folds.Recorder(pause_at=step)
    result = shared.run(paused)
    assert result.stopped == "paused" and [at for at, _ in paused.reports] == list(range(step + 1))
    assert len(result.folds) == (step + 1) // 3, "none in part"
    trial = slow.folds.Recorder()
    slow.require_same(shared.run(trial), trial)
    assert shared.trained == []


@pytest.mark.slow
def test_a_run_whose_next_fold_another_process_has_goes_on_with_the_one_after(shared: Shared, slow: Any) -> None:
    shared.open()
    other = FoldCheckpoints(shared.folder, "key")
    assert other.claim(0)
    trial = slow.folds.Recorder()
    trial.out_of_time = lambda: sum(shared.trained) == 6  # or it would wait for ever
    result = shared.run(trial)
    assert result.stopped == "timeout" and result.folds == [] and trial.reports == []
    assert shared.trained == [3, 3], "the other two"
    assert trial.told[-1].startswith("fold 3/3, epoch 3/3")

    other.release()
    trial = slow.folds.Recorder()
    slow.require_same(shared.run(trial), trial)
    assert shared.trained == [3, 3, 3]


@pytest.mark.parametrize("error", [NotImplementedError(), *slowly(OSError(37, "No locks available"))])
def test_where_the_disk_has_no_locks_the_run_trains_alone(
    shared: Shared, slow: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", acquire)
    shared.open()
    shared.help()
    assert shared.trained == []
    trial = slow.folds.Recorder()
    slow.require_same(shared.run(trial), trial)
    assert shared.trained == [3, 3, 3]


def test_a_helper_waits_until_the_run_is_open(shared: Shared) -> None:
    looks = iter([True, True, False])
    help_folds(shared.trainer(), lambda: next(looks))
    assert shared.trained == [] and next(looks, "none") == "none" and not shared.resume.exists()


class End(pl.Callback):
    """The run comes to its end in the second epoch of a training.

    Args:
        checkpoints: Of the run.
        where: Name of the hook.
    """

    def __init__(self, checkpoints: FoldCheckpoints, where: str) -> None:
        self.checkpoints = checkpoints
        setattr(self, where, self._end)

    def _end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1:
            self.checkpoints.clear()


@pytest.mark.parametrize("where", ["on_train_epoch_start", "on_train_batch_start", "on_validation_end"])
def test_a_helper_of_a_run_that_ends_stops_at_once_and_leaves_nothing(shared: Shared, where: str) -> None:
    shared.open()
    shared.help(callback=End(FoldCheckpoints(shared.folder, "key"), where))
    assert shared.trained == [2] and not shared.resume.exists()


def test_what_was_finished_after_the_end_leaves_nothing(tmp_path: Path) -> None:
    checkpoints = FoldCheckpoints(tmp_path, "key")
    checkpoints.save_fold(0, {})
    assert not checkpoints.claim(1) and not (tmp_path / "resume").exists()


@pytest.mark.slow
def test_a_fold_that_cannot_be_read_is_trained_again(
    shared: Shared, slow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shared.open()
    shared.help()
    damaged, other = (shared.resume / f"fold_{fold}_done.safetensors" for fold in (1, 2))
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    save_state(other, {**load_state(other), "key": "another"})
    shared.trained.clear()
    trial = slow.folds.Recorder()
    with caplog.at_level(logging.WARNING):
        slow.require_same(shared.run(trial), trial)
    assert shared.trained == [3, 3]
    assert f"Cannot read {damaged}, training the fold again: " in caplog.text


@pytest.mark.slow
def test_loggers_are_told_what_a_helper_trained(shared: Shared, slow: Any, tmp_path: Path) -> None:
    def table(folder: str, fold: int) -> list[dict[str, str]]:
        with (tmp_path / folder / f"fold_{fold}" / "metrics.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def logger(folder: str) -> Callable[[int], Any]:
        return lambda fold: [CSVLogger(tmp_path / folder, name="", version=f"fold_{fold}")]

    alone = replace(shared.trainer(), checkpoints=FoldCheckpoints(tmp_path / "alone", "key"))
    cross_validate(alone, slow.folds.Recorder(), logger("alone"))
    shared.open()
    shared.help(epochs=4)  # of the second fold, one
    shared.run(slow.folds.Recorder(), logger("shared"))
    for fold in range(3):
        assert table("shared", fold) == table("alone", fold) != []


@pytest.mark.slow
def test_weights_are_kept_of_folds_that_a_helper_trained(shared: Shared, slow: Any) -> None:
    def kept(trainer: FoldTrainer) -> FoldTrainer:
        return FoldTrainer(**{**vars(trainer), "keep_weights": True})

    shared.open()
    help_folds(kept(shared.trainer()), lambda: sum(shared.trained) < 6)
    result = cross_validate(kept(shared.trainer()), slow.folds.Recorder(), lambda fold: False, is_shared=True)
    helped = [(shared.resume / f"fold_{fold}_net.safetensors").read_bytes() for fold in range(3)]
    assert len(result.folds) == 3 and len(set(helped)) == 3
    FoldCheckpoints(shared.folder, "key").clear()
    cross_validate(kept(shared.trainer()), slow.folds.Recorder(), lambda fold: False)
    assert [(shared.resume / f"fold_{fold}_net.safetensors").read_bytes() for fold in range(3)] == helped


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [4, *slowly(100)])
def test_folds_that_start_from_heads_come_to_the_same_whoever_trains_them(
    shared: Shared, slow: Any, epochs: int, tmp_path: Path
) -> None:
    data = slow.folds.data
    frozen = FrozenBackbone("test_resnet", 32, pretrained=False)
    heads = Heads(data, FeatureCache(frozen, cache_dir=tmp_path / "cache"), HeadOptions())

    def with_heads(callback: pl.Callback | None = None) -> FoldTrainer:
        return replace(shared.trainer(callback), heads=heads)

    alone, trial = slow.folds.Recorder(), slow.folds.Recorder()
    expected = cross_validate(
        replace(with_heads(), checkpoints=FoldCheckpoints(tmp_path / "alone", "key")), alone, lambda fold: False
    )
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        cross_validate(with_heads(_BreakOff()), slow.folds.Recorder(), lambda fold: False)
    signal.signal(signal.SIGINT, handler)
    shared.trained.clear()
    help_folds(with_heads(), lambda: sum(shared.trained) < epochs)
    found = cross_validate(with_heads(), trial, lambda fold: False, is_shared=True)
    assert found.kept_scores == expected.kept_scores and list(found.kept_scores) == ["head", "average", "net"]
    assert (found.kept, found.scores, trial.reports) == (expected.kept, expected.scores, alone.reports)
    assert np.array_equal(found.probabilities, expected.probabilities)


def test_a_checkpoint_says_the_same_of_a_fold_whoever_trains_it(shared: Shared, slow: Any) -> None:
    shared.open()
    shared.help(epochs=1)
    state = load_state(shared.resume / "fold_0_epoch.safetensors")["callbacks"][
        FoldRecorder(Validation(), FoldCheckpoints(shared.folder, "key")).state_key
    ]
    assert len(state["candidates"]["net"]["scores"]) == 1 and len(state["logged"]) > 0
