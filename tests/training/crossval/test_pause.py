"""A cross-validation that pauses goes on where it paused."""

from pathlib import Path
from typing import Any

import pytest
from slowly import slowly

from docclf.training.folds.checkpoints import FoldCheckpoints, drop_worst


@pytest.mark.parametrize("pauses", [[2], [1, 3, 7], *slowly([0], [4], [0, 2], list(range(8)))])
def test_no_epoch_is_trained_twice_and_the_end_is_the_same(slow: Any, tmp_path: Path, pauses: list[int]) -> None:
    folders: list[Path] = []
    trained = 0
    for number, step in enumerate(pauses):
        trial = slow.folds.Recorder(pause_at=step)
        result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / str(number), "key", folders))
        assert result.stopped == "paused" and [at for at, _ in trial.reports] == list(range(step + 1))
        folders.insert(0, tmp_path / str(number))
        trained += sum(epochs.lengths)
        assert trained == step + 1
    trial = slow.folds.Recorder()
    result, epochs = slow.run(trial, FoldCheckpoints(tmp_path / "last", "key", folders))
    slow.require_same(result, trial)
    assert trained + sum(epochs.lengths) == 9


def test_what_the_worst_keep_goes_first(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number) / "resume").mkdir(parents=True)
        (tmp_path / str(number) / "resume" / "a").write_bytes(bytes(1000))
    drop_worst(tmp_path, {0: 0.5, 1: 0.9, 2: 0.1, 3: 0.7}, 2500e-9)
    assert sorted(path.parent.name for path in tmp_path.glob("*/resume")) == ["1", "3"]
