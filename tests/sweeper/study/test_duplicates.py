"""Of discrete parameters nothing is run twice: the known result is told."""

from typing import Any

import pytest

DISCRETE = ("x=choice(0.1, 0.3)", "n=range(1, 3)", "colour=blue", "hydra/sweeper/sampler=random")


@pytest.mark.slow
def test_what_was_tried_already_is_told_and_not_run(toy: Any) -> None:
    output = toy.run(
        "n_trials=12",
        *DISCRETE,
        "raise_at=[0]",
        "hydra.sweeper.constraints={size: 1}",
        "as_mapping=true",
        "hydra.sweeper.metric=distance",
    ).output
    first: dict[str, int] = {}
    for trial in toy.trials[1:]:
        twin = first.setdefault(str(trial.params), trial.number)
        assert trial.state.name == "COMPLETE"
        if twin == trial.number:
            assert "duplicate_of" not in trial.user_attrs
            continue
        original = toy.trials[twin]
        assert trial.user_attrs["duplicate_of"] == twin
        assert (trial.value, trial.constraints) == (original.value, original.constraints)
        assert trial.intermediate_values == original.intermediate_values
        assert trial.user_attrs["colour"] == "blue"
        assert f"as trial {twin}" in output
    assert toy.folders() == [0, *sorted(first.values())], "a failed one is tried again, all others once"
    assert len(first) <= 4 < len(toy.trials)


@pytest.mark.slow
def test_a_study_that_goes_on_knows_what_it_tried_and_a_pruned_one_stays_pruned(toy: Any) -> None:
    command = (*DISCRETE, "hydra.sweeper.enqueue=[{x:0.1,n:1},{x:0.1,n:2}]")
    toy.run("n_trials=2", *command, "prune_at=[0]")
    again = "hydra.sweeper.enqueue=['n=1 x=0.1','n=2 x=0.1']"
    toy.run("n_trials=4", *DISCRETE, again)
    assert toy.states() == ["PRUNED", "COMPLETE", "PRUNED", "COMPLETE"]
    assert [t.user_attrs.get("duplicate_of") for t in toy.trials] == [None, None, 0, 1]
    assert toy.trials[2].intermediate_values == toy.trials[0].intermediate_values
    entries = ["x=0.1 n=1", "x=0.1 n=2", "n=1 x=0.1", "n=2 x=0.1"]
    assert [t.user_attrs["enqueued"] for t in toy.trials] == entries, "a result is shared, not where a trial comes from"
    assert toy.folders() == [0, 1]


@pytest.mark.slow
def test_trials_asked_for_together_with_duplicates_among_them_keep_their_numbers(toy: Any) -> None:
    toy.run("n_trials=12", *DISCRETE, "hydra.sweeper.n_jobs=4")
    assert toy.states() == 12 * ["COMPLETE"]
    told = [t.number for t in toy.trials if "duplicate_of" in t.user_attrs]
    assert told
    assert toy.folders() == [n for n in range(12) if n not in told]
    assert all(toy.config(n).x == toy.trials[n].params["x"] for n in toy.folders())


@pytest.mark.slow
def test_duplicates_are_run_where_that_is_asked_for_and_of_an_interval_always(toy: Any) -> None:
    toy.run("n_trials=5", *DISCRETE, "n=1", "hydra.sweeper.skip_duplicates=false")
    assert toy.folders() == list(range(5))
    assert not any("duplicate_of" in t.user_attrs for t in toy.trials)
    other = "hydra.sweep.dir=multirun/other"
    toy.run("n_trials=3", other, "x=interval(0.1, 0.1)", "n=1,2", "colour=blue")
    assert len(list((toy.cwd / "multirun" / "other").glob("[0-9]*"))) == 3


@pytest.mark.slow
def test_a_finite_space_that_time_alone_limits_is_searched_once(toy: Any) -> None:
    output = toy.run("n_trials=null", "hydra.sweeper.timeout=90", *DISCRETE).output
    assert "the search space is exhausted" in output
    assert len(toy.folders()) == 4 and set(toy.states()) == {"COMPLETE"}
