"""Trials that fail, and what becomes of their search."""

from typing import Any

import pytest


def test_an_unknown_model_ends_the_search_at_its_first_trial_with_the_nearest_names(search: Any) -> None:
    output = search.run("model.name=test_resnett", code=1)
    last = output.strip().splitlines()[-1]
    assert "`model.name`" in last
    assert "got `test_resnett`. Nearest: test_resnet, " in last
    (trial,) = search.trials
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["cause"] == f"ConfigError: {last}"


@pytest.mark.slow
def test_a_loss_that_is_not_finite_fails_its_trial_and_not_the_search(search: Any) -> None:
    output = search.run("optimizer.lr=choice(5e-4, 1e30)", "search.seed=0")
    for trial in search.trials:
        diverges = trial.params["optimizer.lr"] == 1e30
        assert (trial.state.name == "FAIL") is diverges
        assert trial.user_attrs.get("cause", "").startswith("NonFiniteLossError: ") is diverges
        assert search.read(f"{trial.number}/result.yaml")["state"] == trial.state.name
        assert not (search.folder / str(trial.number) / "resume").exists(), "another attempt would end the same way"
        if diverges:
            assert f"trial {trial.number}/4  failed: NonFiniteLossError: " in output
            assert not trial.intermediate_values, "a score of a broken model was reported"
    assert {state == "FAIL" for state in search.states} == {True, False}
    assert search.read("best/params.yaml")["optimizer.lr"] == 5e-4


@pytest.mark.slow
def test_a_search_of_which_every_trial_fails_says_why(search: Any) -> None:
    output = search.run("optimizer.lr=1e30", "search.n_trials=2", code=1)
    assert "No trial finished:\n  2 x NonFiniteLossError: " in output
    assert "All 2 trials failed:\n  2 x NonFiniteLossError: " in output
    assert not (search.folder / "best").exists()
