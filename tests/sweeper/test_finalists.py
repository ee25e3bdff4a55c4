"""The best trials and the baseline, scored again when a search has come to its total."""

from typing import Any

import optuna
import pytest

AGAIN = (
    "n_trials=6",
    "hydra.sweeper.baseline=true",
    "hydra.sweeper.finalists.top_k=2",
    "hydra.sweeper.finalists.overrides={steps: 2}",
)


def finalists(toy: Any) -> list[Any]:
    study = optuna.load_study(study_name="toy-finalists", storage=toy.storage)
    return study.get_trials(deepcopy=False)


def sources(toy: Any) -> list[int]:
    return [int(trial.user_attrs["finalist"].split()[0]) for trial in finalists(toy)]


def best_two(toy: Any) -> list[int]:
    others = [t for t in toy.trials if t.user_attrs.get("role") != "baseline" and t.value is not None]
    return [t.number for t in sorted(others, key=lambda t: t.value)][:2]


def test_the_baseline_and_the_best_run_again_with_the_overrides_in_folders_of_their_own(toy: Any) -> None:
    output = toy.run(*AGAIN).output
    assert len(toy.trials) == 6, "they are no trials of the search"
    assert sources(toy) == [0, *best_two(toy)]
    for finalist, source in zip(finalists(toy), sources(toy), strict=True):
        assert finalist.params == toy.trials[source].params
        assert finalist.state.name == "COMPLETE" and len(finalist.intermediate_values) == 2
        assert toy.config(f"finalists/{finalist.number}").steps == 2
    assert toy.config(0).steps == 3
    assert toy.folders() == list(range(6))
    assert [output.count(f"finalist {i}/3  trial {n}: ") for i, n in enumerate(sources(toy))] == [1, 1, 1]


def test_the_same_command_scores_nobody_twice_and_a_longer_search_scores_who_is_new(toy: Any) -> None:
    toy.run(*AGAIN)
    before = sources(toy)
    assert "finalist" not in toy.run(*AGAIN).output.lower().replace("finalists.", "")
    assert sources(toy) == before
    toy.run(*AGAIN, "n_trials=14")
    new = [number for number in best_two(toy) if number not in before]
    assert sources(toy) == before + new
    assert new, "or nothing was looked at"


def test_other_overrides_score_them_all_again(toy: Any) -> None:
    toy.run(*AGAIN)
    toy.run(*AGAIN, "hydra.sweeper.finalists.overrides={steps: 1}")
    assert sources(toy) == 2 * sources(toy)[:3]
    assert [len(trial.intermediate_values) for trial in finalists(toy)] == 3 * [2] + 3 * [1]


@pytest.mark.parametrize("at", [0, 2])
def test_a_killed_finalist_is_scored_again_and_the_others_stay(at: int, toy: Any) -> None:
    # Trial numbers of search and finalists coincide, so the signal needs a step that only finalists reach.
    more = ("hydra.sweeper.finalists.overrides={steps: 5}", "signal=SIGKILL")
    toy.run(*AGAIN, *more, f"signal_at=[{at}, 4]", code=-9)
    assert len(toy.trials) == 6 and len(finalists(toy)) == 3
    assert finalists(toy)[at].state.name == "RUNNING"
    done = toy.files(*(f"finalists/{i}" for i in range(at)))

    toy.run(*AGAIN, *more)
    trials = finalists(toy)
    assert [t.state.name for t in trials].count("COMPLETE") == 3 and len(trials) == 4
    dead = trials[at]
    (again,) = [t for t in trials if t.user_attrs.get("retry_of") == at]
    assert again.params == dead.params and again.user_attrs["finalist"] == dead.user_attrs["finalist"]
    assert toy.files(*(f"finalists/{i}" for i in range(at))) == done


def test_in_a_race_who_falls_behind_the_leader_stops(toy: Any) -> None:
    toy.run(*AGAIN, "n_trials=12", "hydra.sweeper.finalists.top_k=4", "hydra.sweeper.finalists.race=true")
    trials = finalists(toy)
    assert [t.state.name for t in trials] == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "PRUNED"]
    assert trials[1].value < min(t.intermediate_values[0] for t in trials[2:])
    assert all(len(t.intermediate_values) == 1 for t in trials[2:])


def test_nobody_runs_again_when_it_is_not_asked_for_or_nobody_came_to_the_end(toy: Any) -> None:
    toy.run("n_trials=3")
    assert not (toy.folder / "finalists").exists()
    toy.run(*AGAIN[1:], "n_trials=5", "hydra.sweep.dir=multirun/other", "prune_at=[0,1,2,3,4]")
    assert not (toy.cwd / "multirun" / "other" / "finalists").exists()


def test_a_search_for_several_objectives_has_a_front_and_no_finalists(toy: Any) -> None:
    toy.run(*AGAIN[:-1], "two_objectives=true", "hydra.sweeper.direction=[minimize,minimize]")
    assert not (toy.folder / "finalists").exists()


def test_fewer_than_none_are_refused(toy: Any) -> None:
    output = toy.run("hydra.sweeper.finalists.top_k=-1", code=1).output
    assert "Expected `finalists.top_k` to be at least 0, got -1." in output
