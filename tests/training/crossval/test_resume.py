"""A cross-validation that was interrupted anywhere goes on to what it would have come to."""

import logging
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from slowly import slowly

from docclf.models.state import load_state, save_state
from docclf.training.folds.checkpoints import FoldCheckpoints

ENDS = [(fold, epoch) for fold in range(3) for epoch in range(3)]


class Break(pl.Callback):
    """Interrupts at a point of a fold's epoch.

    Args:
        where: `training` after its first batch, `saved` after its checkpoint, `ended` before the fold is kept.
    """

    def __init__(self, where: str, fold: int, epoch: int = -1) -> None:
        self.where, self.fold, self.epoch, self.current = where, fold, epoch, -1

    def on_fit_start(self, *_: Any) -> None:
        self.current += 1

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._break("training", trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._break("saved", trainer.current_epoch)

    def on_fit_end(self, *_: Any) -> None:
        self._break("ended", -1)

    def _break(self, where: str, epoch: int) -> None:
        if (where, self.current, epoch) == (self.where, self.fold, self.epoch):
            raise KeyboardInterrupt


@pytest.mark.parametrize(("fold", "epoch"), [*ENDS[::8], *slowly(*(end for end in ENDS if end not in ENDS[::8]))])
def test_an_interruption_at_a_report_costs_that_epoch_alone(slow: Any, tmp_path: Path, fold: int, epoch: int) -> None:
    step = 3 * fold + epoch
    slow.break_off(slow.folds.Recorder(break_at=step), FoldCheckpoints(tmp_path / "0", "key"))
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]))
    slow.require_same(result, trial)
    assert epochs.lengths == [3 - epoch, *[3] * (2 - fold)], "finished folds and epochs are not trained again"


@pytest.mark.parametrize(
    ("where", "fold", "epoch", "lengths"),
    [
        ("training", 0, 0, [3, 3, 3]),
        ("training", 1, 2, [1, 3]),
        *slowly(
            ("training", 2, 1, [2]),
            ("saved", 0, 0, [2, 3, 3]),
            ("saved", 1, 2, [0, 3]),
            ("saved", 2, 2, [0]),
            ("ended", 0, -1, [0, 3, 3]),
            ("ended", 2, -1, [0]),
        ),
    ],
)
def test_an_interruption_elsewhere_costs_what_no_checkpoint_has(
    slow: Any, tmp_path: Path, where: str, fold: int, epoch: int, lengths: list[int]
) -> None:
    trial = slow.folds.Recorder()
    slow.break_off(trial, FoldCheckpoints(tmp_path / "0", "key"), callback=Break(where, fold, epoch))
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]))
    slow.require_same(result, trial)
    assert epochs.lengths == lengths


@pytest.mark.slow
def test_an_interruption_of_what_goes_on_goes_on_again(slow: Any, tmp_path: Path) -> None:
    slow.break_off(slow.folds.Recorder(break_at=2), FoldCheckpoints(tmp_path / "0", "key"))
    slow.break_off(slow.folds.Recorder(break_at=5), FoldCheckpoints(tmp_path / "4", "key", [tmp_path / "0"]))
    # One that came to nothing leaves what it took over
    slow.break_off(
        slow.folds.Recorder(break_at=0), FoldCheckpoints(tmp_path / "5", "key", [tmp_path / "4", tmp_path / "0"])
    )
    trial = slow.folds.Recorder()
    earlier = [tmp_path / "5", tmp_path / "4", tmp_path / "0"]
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "6", "key", earlier))
    slow.require_same(result, trial)
    assert epochs.lengths == [1, 3]


@pytest.mark.slow
def test_another_attempt_in_the_own_folder_goes_on(slow: Any, tmp_path: Path) -> None:
    slow.break_off(slow.folds.Recorder(break_at=4), FoldCheckpoints(tmp_path, "key"))
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path, "key"))
    slow.require_same(result, trial)
    assert epochs.lengths == [2, 3]


def test_folds_that_are_all_finished_are_taken_over_as_they_are(slow: Any, tmp_path: Path) -> None:
    before, _ = slow.run(slow.folds.Recorder(), FoldCheckpoints(tmp_path, "key"))
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path, "key"))
    slow.require_same(result, trial)
    assert epochs.lengths == [] and result.metrics == before.metrics


@pytest.mark.parametrize("fold", [1, *slowly(0, 2)])
def test_an_interruption_goes_on_with_one_report_a_fold(slow: Any, tmp_path: Path, fold: int) -> None:
    slow.break_off(slow.folds.Recorder(break_at=fold), FoldCheckpoints(tmp_path, "key"), report="fold")
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path, "key"), report="fold")
    slow.require_same(result, trial, report="fold")
    assert epochs.lengths == [0, *[3] * (2 - fold)]


@pytest.mark.slow
def test_the_seconds_before_an_interruption_count(slow: Any, tmp_path: Path) -> None:
    slow.break_off(slow.folds.Recorder(), FoldCheckpoints(tmp_path, "key"), callback=Break("saved", 0, 2))
    state = load_state(tmp_path / "resume" / "fold_0_epoch.safetensors")["callbacks"]["FoldTraining"]
    result, _ = slow.run(slow.folds.Recorder(), FoldCheckpoints(tmp_path, "key"))
    assert result.folds[0].seconds > state["seconds"] > 0.1


# What cannot be used


@pytest.mark.slow
def test_checkpoints_of_another_configuration_are_left_alone(slow: Any, tmp_path: Path) -> None:
    for folder in "01":
        slow.break_off(slow.folds.Recorder(break_at=4), FoldCheckpoints(tmp_path / folder, "another key"))
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]))
    slow.require_same(result, trial)
    assert epochs.lengths == [3, 3, 3]


@pytest.mark.slow
def test_of_several_folders_the_first_of_use_counts(slow: Any, tmp_path: Path) -> None:
    """An own checkpoint of another key is not taken for the other folder's."""
    slow.break_off(slow.folds.Recorder(break_at=3), FoldCheckpoints(tmp_path / "0", "key"))
    assert not (tmp_path / "0" / "resume" / "fold_1_epoch.safetensors").exists()
    slow.break_off(slow.folds.Recorder(break_at=5), FoldCheckpoints(tmp_path / "1", "another key"))
    assert (tmp_path / "1" / "resume" / "fold_1_epoch.safetensors").exists()
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]))
    slow.require_same(result, trial)
    assert epochs.lengths == [3, 3]


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def confuse(path: Path) -> None:
    save_state(path, [1, 2])


def pickle(path: Path) -> None:
    """What earlier releases kept, and what runs code where it is opened."""
    torch.save({"key": "key", "gadget": Gadget(path.with_name("ran"))}, path)


class Gadget:
    def __init__(self, seen: Path) -> None:
        self.seen = seen

    def __reduce__(self) -> Any:
        return (Path.touch, (self.seen,))


@pytest.mark.parametrize("damage", [pickle, *slowly(halve, empty, confuse)])
@pytest.mark.parametrize(
    ("name", "lengths", "warning"),
    [
        ("folds.safetensors", [3, 3, 3], "starting over"),
        ("fold_1_epoch.safetensors", [3, 3], "going on from the finished folds"),
    ],
)
def test_a_damaged_file_costs_what_it_held_and_is_told(
    slow: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Any,
    name: str,
    lengths: list[int],
    warning: str,
) -> None:
    slow.break_off(slow.folds.Recorder(break_at=5), FoldCheckpoints(tmp_path, "key"))
    damage(tmp_path / "resume" / name)
    trial = slow.folds.Recorder()
    with caplog.at_level(logging.WARNING):
        result, epochs = slow.run(trial, FoldCheckpoints(tmp_path, "key"))
    slow.require_same(result, trial)
    assert epochs.lengths == lengths
    assert f"Cannot read {tmp_path / 'resume' / name}, {warning}: " in caplog.text
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.slow
def test_a_damaged_own_file_leaves_the_earlier_folder_s(
    slow: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a process leaves it that was killed while it copied."""
    slow.break_off(slow.folds.Recorder(break_at=5), FoldCheckpoints(tmp_path / "0", "key"))
    (tmp_path / "1" / "resume").mkdir(parents=True)
    (tmp_path / "1" / "resume" / "folds.safetensors").write_bytes(
        (tmp_path / "0" / "resume" / "folds.safetensors").read_bytes()[:-100]
    )
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]))
    slow.require_same(result, trial)
    assert epochs.lengths == [1, 3] and "Cannot read" in caplog.text


def test_what_is_cleared_is_gone_everywhere(tmp_path: Path) -> None:
    for folder in ("0", "1"):
        (tmp_path / folder / "resume").mkdir(parents=True)
        (tmp_path / folder / "resume" / "folds.safetensors").touch()
        (tmp_path / folder / "result.yaml").touch()
    FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0", tmp_path / "none"]).clear()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "0", "0/result.yaml", "1", "1/result.yaml",
    ]  # fmt: skip
