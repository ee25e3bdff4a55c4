"""The same command goes on with a study, after its end, after a signal, a kill or the end of its time."""

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Searched = tuple[Any, str]
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def done(searched: Searched, make_search: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy of a search, to go on with."""
    shutil.copytree(searched[0].cwd, cwd := tmp_path_factory.mktemp("done") / "here", symlinks=True)
    return make_search(cwd)


def test_the_same_command_again_runs_nothing_new(done: Any) -> None:
    before = done.written(0, 1, 2, 3)
    output = done.run()
    assert "4 of 4 trials done" in output
    assert "What next:" in output
    assert "fold 1/2" not in output
    assert done.written(0, 1, 2, 3) == before
    assert len(done.trials) == 4


@pytest.mark.slow
def test_a_study_is_not_continued_on_other_pages_or_folds(done: Any) -> None:
    before = done.written(0, 1, 2, 3)
    output = done.run("search.n_trials=5", "validation.folds=3", code=1)
    assert "Expected the config of study `search` as it was begun" in output and "validation.folds: 2, now 3" in output
    assert "study_name=NEW_NAME" in output
    assert done.written(0, 1, 2, 3) == before


def test_a_study_is_not_continued_with_another_config_but_with_another_logger(done: Any) -> None:
    output = done.run("model.label_smoothing=0.1", code=1)
    assert "model.label_smoothing: 0.0, now 0.1" in output
    assert "study_name=NEW_NAME" in output
    assert "What next:" not in output, "a command with what is refused would be among it"
    assert "4 of 4 trials done" in done.run("logger=csv")


def test_a_study_of_an_earlier_release_goes_on_with_its_folds(search: Any, searched: Searched) -> None:
    heads = ("model.tune=head", "hydra/sweeper/pruner=none", "search.ensemble=false")
    search.run("search.n_trials=1", *heads, "validation.order=rows")  # as that release had no other
    facts, folds = search.study.user_attrs["facts"], (search.folder / "0" / "folds.csv").read_bytes()
    search.run("search.n_trials=2", *heads)
    assert search.study.user_attrs["facts"] == facts
    assert (search.folder / "1" / "folds.csv").read_bytes() == folds
    assert search.read("1/.hydra/config.yaml")["validation"]["order"] == "rows"
    new, _ = searched
    assert (new.folder / "0" / "folds.csv").read_bytes() != folds and new.study.user_attrs["facts"] != facts


# Epochs so many that a signal comes while a fold trains
LONG = ("validation.folds=3", "validation.epochs=12", "search.n_trials=3", "hydra/sweeper/pruner=none")


@pytest.mark.parametrize("sent", [pytest.param(signal.SIGINT, marks=SLOW), pytest.param(signal.SIGTERM, marks=SLOW)])
def test_a_search_that_is_ended_in_a_fold_prints_the_command_that_goes_on_to_its_total(
    search: Any, sent: signal.Signals
) -> None:
    output = search.kill_when(lambda: "fold 1/3" in search.log(1), *LONG, sent=sent)
    first = search.trials
    ended = [trial.number for trial in first if trial.state.name in ("COMPLETE", "PRUNED")]
    assert ended in ([0], [0, 1])  # a signal may come where Python has to drop it; then its trial is the last one
    before = search.written(*ended)
    assert (search.folder / "best" / "config.yaml").is_file()
    assert "RUNNING" not in search.states
    if ended == [0]:
        assert search.read("1/result.yaml")["state"] == "INTERRUPTED"
    search.paste(output.partition("Continue with:\n")[2].splitlines()[0].strip(), Path.home())

    interrupted = [trial.number for trial in search.trials if trial.user_attrs.get("interrupted")]
    assert interrupted == ([1] if ended == [0] else [])
    assert len(search.trials) - len(interrupted) == 3
    assert all(t.state.name in ("COMPLETE", "PRUNED") for t in search.trials if t.number not in interrupted)
    assert search.written(*ended) == before
    if interrupted:
        assert search.trials[2].params == search.trials[1].params
        assert f"resumes from {search.folder / '1' / 'resume'}" in search.log(2)


@SLOW
def test_a_search_killed_in_the_second_fold_goes_on_from_there_to_the_same_scores(
    search: Any, make_search: Callable[..., Any], tmp_path: Path
) -> None:
    epoch = search.folder / "1" / "resume" / "fold_1_epoch.safetensors"
    search.kill_when(lambda: "fold 1/3" in search.log(1) and epoch.is_file(), *LONG)
    assert search.states == ["COMPLETE", "RUNNING"] and (search.folder / "1" / "resume" / "folds.safetensors").is_file()
    before = search.written(0)

    search.run(*LONG)
    assert search.states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"] and search.written(0) == before
    assert search.trials[2].params == search.trials[1].params
    assert f"resumes from {search.folder / '1' / 'resume'}" in search.log(2)
    assert re.findall(r"fold (\d)/3", search.log(1)) == ["1"] and re.findall(r"fold (\d)/3", search.log(2)) == [
        "2",
        "3",
    ]
    assert not list(search.folder.glob("*/resume")), "of no use any more"

    undisturbed = make_search(tmp_path / "undisturbed")
    undisturbed.run(*LONG, "search.n_trials=2")
    expected, found = undisturbed.trials[1], search.trials[2]
    assert found.params == expected.params
    assert (found.value, found.user_attrs["folds"]) == (expected.value, expected.user_attrs["folds"])
    assert found.intermediate_values == expected.intermediate_values and len(found.intermediate_values) == 36
    oof = [(s.folder / n / "oof.csv").read_bytes() for s, n in ((search, "2"), (undisturbed, "1"))]
    assert oof[0] == oof[1]


@SLOW
def test_a_search_out_of_time_is_a_success_and_the_same_command_ends_it(search: Any) -> None:
    """Time ends in the folds of a trial; without it, the same trial is tried again and goes on."""
    long = ("validation.folds=3", "validation.epochs=4", "search.n_trials=2", "hydra/sweeper/pruner=none")
    # Which is over before the first epoch is
    output = search.run(*long, "search.timeout=0.1")
    assert "The time budget ran out (timeout=0.1 s). Raise it to continue" in output
    assert "out of time" in output and "No trial finished" in output
    (trial,) = search.trials
    assert (trial.state.name, trial.user_attrs["interrupted"]) == ("FAIL", "timeout")
    assert search.read("0/result.yaml")["state"] == "INTERRUPTED"
    assert (search.folder / "0" / "resume" / "fold_0_epoch.safetensors").is_file()
    assert list(trial.intermediate_values) == [0], "one epoch, which then has its end"

    search.run(*long)
    assert search.states == ["FAIL", "COMPLETE", "COMPLETE"]
    assert search.trials[1].params == trial.params
    assert f"resumes from {search.folder / '0' / 'resume'}" in search.log(1)
    assert len(search.trials[1].intermediate_values) == 12
    assert not list(search.folder.glob("*/resume"))


@pytest.mark.slow
def test_the_best_trial_so_far_can_predict_whenever_the_search_is_killed(search: Any) -> None:
    best = search.folder / "best"

    def has_two() -> bool:
        return (best / "verdict.yaml").is_file() and (search.folder / "2" / ".hydra").is_dir()

    search.kill_when(has_two, "search.n_trials=30", "hydra/sweeper/pruner=none")
    done = [trial for trial in search.trials if trial.state.name == "COMPLETE"]
    assert len(done) >= 2
    first = max(done, key=lambda trial: trial.value)
    assert search.read("best/verdict.yaml")["trial"] == first.number
    assert search.read("best/result.yaml")["mean"] == first.value
    models = [path.parent.name for path in search.folder.glob("[0-9]*/model")]
    assert models == [str(first.number)], "of the trials, the best one keeps its model"
    assert "predictions.csv" in search.paste(
        f"python -m docclf.predict run='{search.folder}' \"{search.pages}\"", search.cwd
    )
