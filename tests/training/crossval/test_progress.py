"""What the folds say that they are at."""

import re
from typing import Any


def test_every_fold_and_epoch_is_told_with_its_pace(folds: Any) -> None:
    trial = folds.Recorder()
    folds.run(trial, folds=3, epochs=2)
    told = [re.fullmatch(r"fold (\d)/3, epoch (\d)/2(?:, ([\d.]+) steps/s)?", text) for text in trial.told]
    assert all(told)
    places = [(int(found[1]), int(found[2])) for found in told]
    assert sorted(set(places)) == [(fold, epoch) for fold in (1, 2, 3) for epoch in (1, 2)]
    assert places == sorted(places)
    assert [found[3] for found in told[:1]] == [None], "no step is made yet"
    assert all(float(found[3]) > 0 for found in told[1:4])
