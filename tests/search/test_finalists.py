"""The best of a search and the baseline, re-evaluated on other folds, and what that leaves and says."""

import csv
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from tiny import ANY_FOLDS

from docclf.inference.folder import find_model, load_ensemble

SLOW = pytest.mark.slow
AGAIN = ("finalists.top_k=2", "hydra/sweeper/pruner=none")
RUN = [
    ".hydra", "confusion.png", "folds.csv", "label_issues.csv", "oof.csv", "reliability.png", "result.yaml",
    "train.log",
]  # fmt: skip
OWN = ["config.yaml", "params.yaml", "verdict.yaml"]
WITH_MODEL = sorted([*RUN, "model", *OWN])


def finalists(search: Any) -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{search.folder / 'study.db'}"
    return optuna.load_study(study_name=f"{search.name}-finalists", storage=storage).trials


def source(finalist: optuna.trial.FrozenTrial) -> int:
    return int(finalist.user_attrs["finalist"].split()[0])


def best_two(search: Any) -> list[int]:
    others = [trial for trial in search.trials[1:] if trial.value is not None]
    return [trial.number for trial in sorted(others, key=lambda t: -t.value)][:2]


def in_turn(search: Any) -> list[int]:
    """The baseline and the best two, the best of them first."""
    wanted = [0, *best_two(search)]
    first = max(wanted, key=lambda number: search.trials[number].value)
    return [first, *(number for number in wanted if number != first)]


def models(search: Any) -> list[str]:
    return sorted(path.parent.name for path in (search.folder / "finalists").glob("*/model"))


def in_best(search: Any) -> list[str]:
    found = sorted(path.name for path in (search.folder / "best").iterdir())
    return [name for name in found if name != "label_issues.png"]  # which is there if there are some


def winner(search: Any) -> Any:
    complete = [trial for trial in finalists(search) if trial.state.name == "COMPLETE"]
    return max(complete, key=lambda trial: trial.value)


@pytest.fixture(scope="module")
def rescored(make_search: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """A search of four trials, three of them re-evaluated, and what it printed."""
    search = make_search(tmp_path_factory.mktemp("finalists"))
    return search, search.run(*AGAIN)


def test_the_baseline_and_the_best_two_are_scored_again_on_other_folds(rescored: tuple[Any, str]) -> None:
    search, _ = rescored
    trials = finalists(search)
    assert [source(trial) for trial in trials] == in_turn(search) and len(search.trials) == 4
    for trial in trials:
        own = f"finalists/{trial.number}"
        twin = search.trials[source(trial)]
        assert trial.params == twin.params
        config, before = search.read(f"{own}/.hydra/config.yaml"), search.read(f"{twin.number}/.hydra/config.yaml")
        assert config["validation"]["seed"] in ("${finalists.seed}", "${docclf.other_seed:${seed}}", 1042)
        assert config["validation"]["report"] == "fold"
        config["validation"] |= {key: before["validation"][key] for key in ("seed", "report")}
        assert config == before, "in nothing else do they differ"
        result = search.read(f"{own}/result.yaml")
        if trial.state.name == "COMPLETE":
            folds = [(search.folder / name / "folds.csv").read_bytes() for name in (own, str(twin.number))]
            assert folds[0] != folds[1]
            assert result["mean"] == trial.value and result["folds"] == trial.user_attrs["folds"]
            assert result["calibration"]["temperature"] > 0 and "refit" not in result


def test_best_has_the_winner_s_run_and_its_folds_models(rescored: tuple[Any, str]) -> None:
    search, _ = rescored
    best = winner(search)
    assert in_best(search) == WITH_MODEL
    for name in RUN[1:]:
        path = search.folder / "finalists" / str(best.number) / name
        assert (search.folder / "best" / name).read_bytes() == path.read_bytes()
    ensemble = load_ensemble(find_model(search.folder))
    assert len(ensemble.nets) == 2
    result = search.read("best/result.yaml")
    assert ensemble.description.source["folds"] == result["folds"]
    assert ensemble.description.temperature == result["calibration"]["temperature"]
    with torch.no_grad():
        assert ensemble(torch.rand(2, 3, 32, 32)).sum(dim=1) == pytest.approx(1)
    assert models(search) == [str(best.number)], "those of the others went"


def test_nothing_to_go_on_with_is_left(rescored: tuple[Any, str]) -> None:
    search, _ = rescored
    assert not list(search.folder.rglob("resume")) and not list(search.folder.rglob("*.ckpt"))
    assert not list(search.folder.rglob("*partial*"))


def test_the_exported_config_is_that_of_the_trial_and_not_of_the_finalist(rescored: tuple[Any, str]) -> None:
    search, _ = rescored
    number = source(winner(search))
    exported = search.read("best/config.yaml")
    assert {"logger": "none"} in exported.pop("defaults")
    assert exported == search.read(f"{number}/.hydra/config.yaml") | {"refit": "folds", "logger": {}}
    assert search.read("best/params.yaml") == search.trials[number].params


def test_screen_log_config_and_verdict_say_the_same(rescored: tuple[Any, str]) -> None:
    search, output = rescored
    best, facts = winner(search), search.read("best/verdict.yaml")
    assert facts["trial"] == source(best) and facts["winner"]["folder"] == f"finalists/{best.number}"
    text = facts["verdict"]
    lost = any(words in text for words in ("does not beat the baseline", "the baseline stays the best"))
    assert lost is not facts["beats_baseline"]
    header = (search.folder / "best" / "config.yaml").read_text(encoding="utf-8").split("\ndefaults:")[0]
    assert f"# verdict: {text} (finalists, re-evaluated on other folds)" in header
    log = (search.folder / "train.log").read_text(encoding="utf-8")
    for place in (output, log):
        assert f"{text[0].upper()}{text[1:]}" in place
        assert "Finalists, re-evaluated with validation.seed=1042 validation.report=fold" in place
        assert f"  trial {source(best)}: {best.value:.3f} (folds " in place
        assert f"; pooled {facts['winner']['macro_f1_pooled']:.3f})" in place
        for trial in finalists(search):
            assert f"finalist {trial.number}/3  trial {source(trial)}: lr=" in place
    predict = next(line for line in output.splitlines() if "docclf.predict run=" in line)
    assert str(search.folder) in predict


def test_the_table_has_the_second_scores(rescored: tuple[Any, str]) -> None:
    search, _ = rescored
    found = {source(t): t.value for t in finalists(search) if t.state.name == "COMPLETE"}
    for row in search.table:
        assert row["rescored"] == (str(found[int(row["number"])]) if int(row["number"]) in found else "")
    assert len(found) >= 2


@pytest.mark.slow
def test_folds_that_the_finalists_were_chosen_by_are_refused_before_the_first_trial(search: Any) -> None:
    output = search.run(*AGAIN, "finalists.seed=42", code=1)
    assert "Expected `finalists.seed` to differ from `validation.seed`, got 42 twice" in output
    assert not (search.folder / "0").exists()


@SLOW
def test_an_option_that_is_not_there_is_refused_before_the_first_trial(search: Any) -> None:
    output = search.run(*AGAIN, "finalists.validation=fulll", code=1)
    assert "Expected finalists to compose, but with validation=fulll" in output and "fulll" in output
    assert not (search.folder / "0").exists()


@pytest.mark.slow
def test_finalists_that_need_more_pages_than_there_are_are_refused_before_the_first_trial(
    search: Any, tmp_path: Path, pages_root: Path
) -> None:
    shutil.copytree(pages_root, few := tmp_path / "few")
    rows = (few / "train.csv").read_text(encoding="utf-8").splitlines()
    (few / "train.csv").write_text("\n".join(rows[:-4]), encoding="utf-8")
    output = search.run(*AGAIN, f"data.root='{few}'", "finalists.validation=full", code=1, tiny=ANY_FOLDS)
    assert "at least 5 pages of every class" in output and "This concerns the finalists only" in output
    assert "finalists.validation=null scores them" in output
    assert not (search.folder / "0").exists()


@SLOW
def test_a_split_that_is_given_is_that_of_the_finalists_too_and_is_called_so(
    rescored: tuple[Any, str], make_search: Callable[..., Any], tmp_path: Path
) -> None:
    split = rescored[0].folder / "0" / "folds.csv"
    search = make_search(tmp_path)
    output = search.run(*AGAIN, f"validation.split_file='{split}'", "search.n_trials=2")
    assert "Finalists will have the folds of the trials, as `validation.split_file` says" in output
    assert "re-evaluated on the same folds" in output and "on other folds" not in output
    assert search.read("best/verdict.yaml")["how"] == "re-evaluated on the same folds"
    assert (search.folder / "finalists" / "0" / "folds.csv").read_bytes() == split.read_bytes()
    again = finalists(search)[0]
    assert again.value != search.trials[source(again)].value, "by another seed"


# Going on


@SLOW
def test_the_same_command_scores_nobody_again_and_makes_best_whole(
    rescored: tuple[Any, str], make_search: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(rescored[0].cwd, tmp_path / "copy", symlinks=True)
    search = make_search(tmp_path / "copy")
    shutil.rmtree(search.folder / "best")
    output = search.run(*AGAIN)
    assert len(finalists(search)) == 3 and "fold 1/2" not in output
    assert in_best(search) == WITH_MODEL and search.read("best/verdict.yaml") == rescored[0].read("best/verdict.yaml")

    # The winner's run is moved away: it is re-evaluated
    best = winner(search)
    shutil.rmtree(search.folder / "finalists" / str(best.number))
    search.run(*AGAIN)
    again = finalists(search)[3:]
    assert [source(trial) for trial in again] == [source(best)]
    assert again[0].value == best.value
    assert search.read("best/verdict.yaml")["winner"]["folder"] == "finalists/3" and in_best(search) == WITH_MODEL

    # Finalists are not wanted any more: their winner stays, as the best trial's own model went
    output = search.run("hydra/sweeper/pruner=none", "finalists.top_k=0")
    assert "best/ keeps the winner of the finalists" in output and in_best(search) == WITH_MODEL
    assert search.read("best/verdict.yaml")["winner"]["folder"] == "finalists/3"
    assert {row["rescored"] for row in search.table} == {""}

    # And with no model wanted, the best trial's run takes its place
    search.run("hydra/sweeper/pruner=none", "finalists.top_k=0", "keep_checkpoints=none")
    run, facts = search.folder / str(search.study.best_trial.number), search.read("best/verdict.yaml")
    assert facts["how"] == "not re-evaluated" and facts["winner"]["folder"] == run.name
    left = {path.name for path in run.iterdir()} - {"label_issues.png"}
    assert in_best(search) == sorted({*left, *OWN}) and "model" not in left
    assert (search.folder / "best" / "oof.csv").read_bytes() == (run / "oof.csv").read_bytes()


@SLOW
def test_a_longer_search_scores_who_is_new_among_the_best(
    rescored: tuple[Any, str], make_search: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(rescored[0].cwd, tmp_path / "copy", symlinks=True)
    search = make_search(tmp_path / "copy")
    before = [source(trial) for trial in finalists(search)]
    search.run(*AGAIN, "search.n_trials=9", "finalists.top_k=4", "keep_checkpoints=finalists")
    after = [source(trial) for trial in finalists(search)]
    assert after[:3] == before and len(after) > 3 and len(set(after)) == len(after)
    assert in_best(search) == WITH_MODEL or winner(search).number < 3, "a model that went stays away"
    assert {str(t.number) for t in finalists(search)[3:] if t.state.name == "COMPLETE"} <= set(models(search))


@SLOW
def test_a_finalist_that_is_killed_goes_on_from_its_last_epoch_to_the_same_model(
    search: Any, make_search: Callable[..., Any], tmp_path: Path
) -> None:
    long = (*AGAIN, "validation.folds=3", "validation.epochs=12", "search.n_trials=2", "finalists.top_k=1")
    log, epoch = search.folder / "finalists/1/train.log", search.folder / "finalists/1/resume/fold_1_epoch.safetensors"
    search.kill_when(lambda: log.is_file() and "fold 1/3" in log.read_text() and epoch.is_file(), *long)
    assert [trial.state.name for trial in finalists(search)] == ["COMPLETE", "RUNNING"]
    assert (epoch.parent / "fold_0_net.safetensors").is_file() and not (search.folder / "finalists/1/model").exists()
    before = search.written("finalists/0")

    search.run(*long, "keep_checkpoints=finalists")
    trials = finalists(search)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert search.written("finalists/0") == before and models(search) == ["0", "2"]
    assert trials[2].params == trials[1].params and trials[2].user_attrs["retry_of"] == 1
    assert f"resumes from {epoch.parent}" in (search.folder / "finalists/2/train.log").read_text()
    assert not list(search.folder.rglob("resume"))

    undisturbed = make_search(tmp_path / "undisturbed")
    undisturbed.run(*long, "keep_checkpoints=all")
    assert finalists(undisturbed)[1].value == trials[2].value
    for fold in range(3):
        kept, expected = (
            s.folder / f"finalists/{number}/model/fold_{fold}.safetensors"
            for s, number in ((search, 2), (undisturbed, 1))
        )
        assert kept.read_bytes() == expected.read_bytes()
    assert len(list((undisturbed.folder / "1" / "model").glob("*.safetensors"))) == 3, "all: the trials' models too"
    assert models(undisturbed) == ["0", "1"]


# Otherwise than by default


@SLOW
def test_among_labels_that_mean_nothing_nothing_beats_the_baseline(
    search: Any, tmp_path: Path, pages_root: Path
) -> None:
    root = tmp_path / "shuffled"
    root.mkdir()
    for name in ("train", "test", "test.csv", "meta.csv"):
        (root / name).symlink_to(pages_root / name)
    with (pages_root / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    targets = [row["target"] for row in rows]
    random.Random(1).shuffle(targets)
    with (root / "train.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["ID", "target"], *([r["ID"], t] for r, t in zip(rows, targets, strict=True))])
    output = search.run(*AGAIN, f"data.root='{root}'", "keep_checkpoints=none")
    assert "does not beat the baseline" in output or "The baseline stays the best" in output
    assert search.read("best/verdict.yaml")["beats_baseline"] is False
    assert in_best(search) == sorted([*RUN, *OWN]) and models(search) == []


@SLOW
def test_finalists_run_on_another_launcher_two_at_a_time_and_on_the_validation_asked_for(search: Any) -> None:
    more = ("hydra/launcher=joblib", "search.workers=2", "validation=holdout", "finalists.validation=full")
    search.run(*AGAIN, *more, "keep_checkpoints=finalists", tiny=ANY_FOLDS)
    assert [len(trial.user_attrs["folds"]) for trial in search.trials] == 4 * [1]
    trials = finalists(search)
    assert [source(trial) for trial in trials] == in_turn(search)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert len(complete) >= 2 and all(len(trial.user_attrs["folds"]) == 5 for trial in complete)
    assert models(search) == [str(trial.number) for trial in complete]
    assert in_best(search) == WITH_MODEL and not list(search.folder.rglob("resume"))
    assert len(load_ensemble(find_model(search.folder)).nets) == 5
