"""`n_trials` is the total of the study."""

from typing import Any

import pytest


def test_n_trials_is_a_total_and_what_was_finished_is_left_alone(toy: Any) -> None:
    toy.run("n_trials=3")
    first, files = toy.outcomes(), toy.files(0, 1, 2)

    assert "3 of 3 trials done" in toy.run("n_trials=3").output
    assert toy.outcomes() == first

    toy.run("n_trials=5", "hydra/sweeper/sampler=random")
    assert toy.outcomes()[:3] == first
    assert toy.states() == 5 * ["COMPLETE"]
    assert toy.files(0, 1, 2) == files
    xs = [trial.params["x"] for trial in toy.trials]
    assert len(set(xs)) == 5, "a continued study draws the random numbers of its first trials again"


@pytest.mark.slow
def test_failed_and_pruned_trials_count_towards_the_total(toy: Any) -> None:
    toy.run("n_trials=3", "raise_at=[0]", "prune_at=[1]", "nan_at=[2]")
    assert toy.states() == ["FAIL", "PRUNED", "FAIL"]
    toy.run("n_trials=3")
    assert len(toy.trials) == 3


@pytest.mark.slow
def test_trials_asked_for_together_keep_their_numbers(toy: Any) -> None:
    toy.run("n_trials=5", "hydra.sweeper.n_jobs=3", "raise_at=[1]")
    assert toy.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    for trial in toy.trials:
        assert toy.config(trial.number).x == trial.params["x"]
