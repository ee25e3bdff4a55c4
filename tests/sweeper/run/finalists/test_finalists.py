"""The best trials and the baseline, re-evaluated when a search has come to its total."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import optuna
import pytest
from slowly import slowly
from toy_finalists import AGAIN, finalists

from docclf.sweeper.study.finalists import is_for_another, scored, source_number


def sources(toy: Any) -> list[int]:
    return [int(trial.user_attrs["finalist"].split()[0]) for trial in finalists(toy)]


def best_two(toy: Any) -> list[int]:
    others = [t for t in toy.trials if t.user_attrs.get("role") != "baseline" and t.value is not None]
    return [t.number for t in sorted(others, key=lambda t: t.value)][:2]


@pytest.fixture(scope="module")
def rescored(new_toy: Callable[[], Any]) -> tuple[Any, str]:
    """A search with finalists, to be read, and what it printed."""
    toy = new_toy()
    return toy, toy.run(*AGAIN).output


@pytest.fixture
def again(rescored: tuple[Any, str], toy: Any) -> Any:
    """A copy of it, to go on with."""
    shutil.copytree(rescored[0].cwd, toy.cwd, dirs_exist_ok=True)
    return toy


def test_the_baseline_and_the_best_run_again_with_the_overrides_in_folders_of_their_own(
    rescored: tuple[Any, str],
) -> None:
    toy, output = rescored
    assert len(toy.trials) == 6, "they are no trials of the search"
    first, second = best_two(toy)
    assert sources(toy) == [first, 0, second], "where time ends, the best one is scored"
    for finalist, source in zip(finalists(toy), sources(toy), strict=True):
        assert finalist.params == toy.trials[source].params
        assert finalist.state.name == "COMPLETE" and len(finalist.intermediate_values) == 2
        assert toy.config(f"finalists/{finalist.number}").steps == 2
    assert toy.config(0).steps == 3
    assert toy.folders() == list(range(6))
    assert [output.count(f"finalist {i}/3  trial {n}: ") for i, n in enumerate(sources(toy))] == [1, 1, 1]


def test_the_same_command_scores_nobody_twice_and_a_longer_search_scores_who_is_new(again: Any) -> None:
    before = sources(again)
    assert "finalist" not in again.run(*AGAIN).output.lower().replace("finalists.", "")
    assert sources(again) == before
    again.run(*AGAIN, "n_trials=14")
    new = [number for number in best_two(again) if number not in before]
    assert sources(again) == before + new
    assert new, "or nothing was looked at"


@pytest.mark.slow
def test_other_overrides_score_them_all_again(again: Any) -> None:
    again.run(*AGAIN, "hydra.sweeper.finalists.overrides={steps: 1}")
    assert sources(again) == 2 * sources(again)[:3]
    assert [len(trial.intermediate_values) for trial in finalists(again)] == 3 * [2] + 3 * [1]


@pytest.mark.parametrize("at", [0, *slowly(2)])
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


@pytest.mark.slow
def test_in_a_race_who_falls_behind_the_leader_stops(toy: Any) -> None:
    toy.run(*AGAIN, "n_trials=12", "hydra.sweeper.finalists.top_k=4", "hydra.sweeper.finalists.race=true")
    trials = finalists(toy)
    assert [t.state.name for t in trials] == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "PRUNED"]
    assert trials[0].value < min(t.intermediate_values[0] for t in trials[2:])
    assert all(len(t.intermediate_values) == 1 for t in trials[2:])


@pytest.mark.slow
def test_nobody_runs_again_when_it_is_not_asked_for_or_nobody_came_to_the_end(toy: Any) -> None:
    toy.run("n_trials=3")
    assert not (toy.folder / "finalists").exists()
    toy.run(*AGAIN[1:], "n_trials=5", "hydra.sweep.dir=multirun/other", "prune_at=[0,1,2,3,4]")
    assert not (toy.cwd / "multirun" / "other" / "finalists").exists()


def test_a_search_for_several_objectives_has_a_front_and_no_finalists(toy: Any) -> None:
    toy.run(*AGAIN[:-1], "two_objectives=true", "hydra.sweeper.direction=[minimize,minimize]")
    assert not (toy.folder / "finalists").exists()


def test_a_search_with_finalists_is_learnt_from_by_its_folder(again: Any) -> None:
    again.run("n_trials=1", "hydra.sweep.dir=multirun/next", "hydra.sweeper.warm_start_from=multirun/toy")
    study = optuna.load_study(study_name="next", storage=again.storage.replace("/toy/", "/next/"))
    assert study.trials[0].params == again.study.best_params


def test_fewer_than_none_are_refused(toy: Any) -> None:
    output = toy.run("hydra.sweeper.finalists.top_k=-1", code=1).output
    assert "Expected `finalists.top_k` to be at least 0, got -1." in output


# What may come between


@pytest.mark.slow
def test_a_finalist_whose_worker_dies_is_scored_again_as_the_finalist_that_it_is(toy: Any) -> None:
    more = ("hydra.sweeper.finalists.overrides={steps: 5}", "hydra.sweeper.n_jobs=2", "signal=SIGKILL")
    toy.run(*AGAIN, *more, "signal_at=[1, 4]")
    best, dead, *others = finalists(toy)  # the baseline comes second
    assert (dead.state.name, dead.user_attrs["interrupted"]) == ("FAIL", "process")
    assert [t.state.name for t in (best, *others)] == ["COMPLETE"] * 3
    again = others[-1]
    assert again.params == dead.params
    for key, value in (("retry_of", 1), ("finalist", "0 steps=5"), ("role", "baseline")):
        assert again.user_attrs[key] == value
    assert toy.config("finalists/3").steps == 5


def test_an_override_that_no_config_takes_is_refused_before_the_first_trial(toy: Any) -> None:
    output = toy.run(*AGAIN[:-1], "hydra.sweeper.finalists.overrides={stepz: 2}", code=1).output
    assert "Expected finalists to compose, but with stepz=2 they do not" in output and "Traceback" not in output
    assert not toy.folder.exists() or not toy.folders()


def test_a_damaged_study_of_finalists_is_told_of_in_words(again: Any) -> None:
    with sqlite3.connect(again.folder / "study.db") as database:
        (number,) = database.execute("SELECT study_id FROM studies WHERE study_name LIKE '%finalists%'").fetchone()
        database.execute("DELETE FROM study_directions WHERE study_id = ?", (number,))
    output = again.run(*AGAIN, code=1).output
    assert "Expected finalists as their search has them, got the directions []." in output and "Traceback" not in output


@pytest.mark.slow
def test_an_interrupted_rescoring_leaves_the_verdict_of_before_and_is_gone_on_with(again: Any) -> None:
    before = scored(again.study)
    assert [source_number(t) for t in before] == sorted(sources(again), key=lambda n: again.trials[n].value)
    others = ("hydra.sweeper.finalists.overrides={steps: 5}", "signal=SIGINT", "signal_at=[4, 4]")
    output = again.run(*AGAIN, *others, code=130).output
    assert "Continue with:" in output
    assert [t.state.name for t in finalists(again)][3:] == ["COMPLETE", "FAIL", "WAITING"]
    assert scored(again.study) == before, "one of three says nothing yet"
    again.run(*AGAIN, *others[:1])
    after = scored(again.study)
    assert [source_number(t) for t in after] == [source_number(t) for t in before]
    assert [t.user_attrs["finalist"].partition(" ")[2] for t in after] == 3 * ["steps=5"]


def test_what_a_deleted_study_left_of_its_finalists_counts_in_no_later_one_of_its_name(again: Any) -> None:
    shared = f"sqlite:///{again.cwd / 'shared.db'}"
    shutil.move(again.folder / "study.db", again.cwd / "shared.db")
    shutil.rmtree(again.folder)
    optuna.delete_study(study_name="toy", storage=shared)
    kept = optuna.load_study(study_name="toy-finalists", storage=shared).trials
    stored = (f"hydra.sweeper.storage={shared}", "hydra/sweeper/sampler=random")
    assert len(kept) == 3 and "was deleted" not in again.run(*stored, "n_trials=4").output
    study = optuna.load_study(study_name="toy", storage=shared)
    assert scored(study) == []
    assert "Finalists of a study toy that was deleted are deleted too" in again.run(*AGAIN, *stored).output
    finalists = optuna.load_study(study_name="toy-finalists", storage=shared).trials
    assert finalists[0].datetime_start > kept[-1].datetime_complete
    assert len(scored(study)) == len(finalists) == 2, "without the baseline, which that search did not have"
    assert "are deleted too" not in again.run(*AGAIN, *stored).output
    assert len(scored(study)) == 2


def test_finalists_that_all_fail_are_told_of_and_the_same_command_tries_them_again(again: Any) -> None:
    before = scored(again.study)
    fail = "hydra.sweeper.finalists.overrides={raise_at: [3,4,5,6,7,8]}"
    for number in (3, 6):
        told = again.run(*AGAIN[:-1], fail, code=1).output.partition("All 3 finalists failed:")[2]
        assert f"1 x ArithmeticError: asked to fail, number {number}" in told
        assert "finalists.top_k=0" in told and "n_trials" not in told
    assert len(finalists(again)) == 9
    assert scored(again.study) == before


def test_without_time_for_other_finalists_those_of_before_go_on_to_count(again: Any) -> None:
    before = scored(again.study)
    output = again.run(*AGAIN, "hydra.sweeper.finalists.overrides={steps: 1}", "hydra.sweeper.timeout=0.01").output
    assert "No finalist finished, so what finalists came to before stands" in output
    assert [t.state.name for t in finalists(again)][3:] == 3 * ["WAITING"]
    assert scored(again.study) == before and len(before) == 3


@pytest.mark.slow
def test_who_is_taken_out_of_the_queue_is_not_tried_again_when_a_worker_dies(toy: Any) -> None:
    more = ("hydra.sweeper.finalists.overrides={steps: 5}", "signal=SIGKILL")
    toy.run(*AGAIN, *more, "signal_at=[0, 4]", code=-9)
    others = ("hydra.sweeper.finalists.overrides={steps: 4}", "hydra.sweeper.n_jobs=2", "signal_at=[3, 3]")
    toy.run(*AGAIN, *more[1:], *others)
    states = [(t.state.name, t.user_attrs.get("interrupted")) for t in finalists(toy)]
    assert states == [("FAIL", "process"), *2 * [("FAIL", "unwanted")], ("FAIL", "process"), *3 * [("COMPLETE", None)]]
    assert len(scored(toy.study)) == 3


@pytest.mark.slow
def test_who_was_scored_before_may_still_win_when_others_take_its_place(toy: Any) -> None:
    """The score in the search and the second one disagree here: what is best by the one is worst by the other."""
    upside_down = ("hydra.sweeper.finalists.overrides={x: 0.9, n: 4}", "hydra.sweeper.finalists.race=true")
    toy.run(*AGAIN[:-1], *upside_down, "n_trials=3", "hydra.sweeper.finalists.top_k=1")
    first = scored(toy.study)
    toy.run(*AGAIN[:-1], *upside_down, "n_trials=14", "hydra.sweeper.finalists.top_k=1")
    assert len(set(sources(toy))) > 2, "or nobody was new"
    assert {t.number for t in scored(toy.study)} >= {t.number for t in first}


@pytest.mark.slow
def test_who_was_scored_elsewhere_is_scored_here_and_counts_as_it_was_last(again: Any) -> None:
    best = scored(again.study)[0]
    shutil.rmtree(again.folder / "finalists" / str(best.number))
    again.run(*AGAIN)
    (last,) = finalists(again)[3:]
    assert last.user_attrs["finalist"] == best.user_attrs["finalist"]
    found = scored(again.study)
    assert found[0].number == last.number and len(found) == 3


@pytest.mark.slow
def test_finalists_whose_runs_are_all_on_another_machine_are_left_to_it(again: Any) -> None:
    ids = [trial._trial_id for trial in finalists(again)]
    with closing(sqlite3.connect(again.folder / "study.db")) as database, database:
        change = "UPDATE trial_user_attributes SET value_json = '\"gpubox:12:34\"' WHERE key = 'owner' AND trial_id = ?"
        assert database.executemany(change, [(id_,) for id_ in ids]).rowcount == 3
    assert not is_for_another(again.study, again.folder), "a folder that both share"
    shutil.move(again.folder / "finalists", again.cwd / "there")
    assert is_for_another(again.study, again.folder) and not is_for_another(again.study, None)
    assert "The finalists were scored on gpubox, where the winner is exported." in again.run(*AGAIN).output
    assert len(finalists(again)) == 3
    again.run(*AGAIN, "hydra.sweeper.finalists.overrides={steps: 1}")
    assert len(finalists(again)) == 6 and not is_for_another(again.study, again.folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "space",
    [
        ("--config-name", "branches", "hydra/sweeper/sampler=random"),
        ("hydra.sweeper.custom_search_space=hooks.draw_radius", "hydra/sweeper/sampler=random"),
    ],
)
def test_finalists_of_any_space_have_the_parameters_of_their_trials(space: tuple[str, ...], toy: Any) -> None:
    toy.run(*space, *AGAIN, "hydra.sweeper.baseline=false", "n_trials=8", "hydra.sweeper.finalists.top_k=5")
    assert len(finalists(toy)) == 5
    for finalist, source in zip(finalists(toy), sources(toy), strict=True):
        assert finalist.params == toy.trials[source].params and finalist.value == toy.trials[source].value
        own, theirs = toy.config(f"finalists/{finalist.number}"), toy.config(source)
        own.steps = theirs.steps
        assert own == theirs


@pytest.mark.slow
def test_who_kept_to_the_constraints_of_the_search_is_not_measured_by_them_again(toy: Any) -> None:
    bound = "hydra.sweeper.constraints={size: 0.6}"
    toy.run(
        *AGAIN[:3],
        bound,
        "as_mapping=true",
        "hydra.sweeper.metric=distance",
        "hydra.sweeper.finalists.overrides={x: 0.8}",
    )
    chosen = [toy.trials[number] for number in sources(toy)]
    assert all(t.params["x"] ** 2 <= 0.6**2 for t in chosen)
    assert len(scored(toy.study)) == 3
