"""A search that is out of time stops at once; a trial that needs one epoch more ends."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
from slowly import slowly

from docclf.training.folds.checkpoints import FoldCheckpoints


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [(3, [3, 1], [2, 3]), *slowly((2, [3], [3, 3]), (0, [1], [2, 3, 3]), (5, [3, 3], [3]), (6, [3, 3, 1], [2]))],
)
def test_a_search_out_of_time_stops_after_the_epoch_and_goes_on_another_time(
    slow: Any, tmp_path: Path, step: int, before: list[int], after: list[int]
) -> None:
    trial = slow.folds.Recorder(out_of_time_at=step)
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "0", "key"))
    assert result.stopped == "timeout"
    assert epochs.lengths == before and len(result.folds) == before.count(3)
    assert [n for n, _ in trial.reports] == list(range(step + 1))

    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]))
    slow.require_same(result, trial)
    assert epochs.lengths == after


def test_time_that_is_over_within_an_epoch_costs_that_epoch_alone(slow: Any, tmp_path: Path) -> None:
    trial = slow.folds.Recorder()
    trial.out_of_time = lambda: sum("fold 2/3, epoch 2/3" in text for text in trial.told) > 1  # after a step of it
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "0", "key"))
    assert result.stopped == "timeout" and epochs.lengths == [3, 1] and len(result.folds) == 1

    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]))
    slow.require_same(result, trial)
    assert epochs.lengths == [2, 3]


@pytest.mark.parametrize("step", [7, *slowly(8)])
def test_the_last_epoch_is_trained_whatever_the_time_is(slow: Any, step: int) -> None:
    trial = slow.folds.Recorder(out_of_time_at=step)
    result, epochs = slow.run(trial)
    slow.require_same(result, trial)
    assert epochs.lengths == [3, 3, 3]


def test_a_single_split_stops_like_a_last_fold(slow: Any) -> None:
    result, epochs = slow.run(slow.folds.Recorder(out_of_time_at=0), run_folds=1)
    assert result.stopped == "timeout" and epochs.lengths == [1]


def test_a_fold_that_ends_out_of_time_is_not_stopped_for_good(slow: Any, tmp_path: Path) -> None:
    """Its trial goes on another time, so that it cannot be a pruned one."""
    trial = slow.folds.Recorder(prune_at=1)
    asked = count(1)

    def out_of_time() -> bool:  # after the steps of the second fold
        return "fold 2/4" in trial.told[-1] and next(asked) > sum("fold 1/4" in text for text in trial.told) - 1

    trial.out_of_time = out_of_time
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path, "key"), report="fold", folds=4, epochs=1)
    assert result.stopped == "timeout" and epochs.lengths == [1, 1]
    assert trial.asked == [0]
