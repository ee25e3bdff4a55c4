"""The mean of several trials, where it is better than one: members re-evaluated, one model exported, chosen anew."""

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from forked import python

from docclf.inference.doubt import read_doubt
from docclf.inference.ensemble import TrialEnsemble
from docclf.inference.folder import find_model, load_ensemble
from docclf.inference.selection import Library
from docclf.results.study.ensemble_choice import _estimate_once

HEADS = ("model.tune=head", "model.name=test_resnet", "search.n_trials=4", "hydra/sweeper/pruner=none")
TOP = ("finalists.top_k=1", "search.max_predict_cost=10")


def take_turns(search: Any, *numbers: int) -> None:
    """Make of the out-of-fold predictions of some trials what each knows of every other page alone; others guess."""
    for folder in (search.folder / str(trial.number) for trial in search.trials):
        with (folder / "oof.csv").open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        names = {target: i for i, target in enumerate(search.read(f"{folder.name}/result.yaml")["data"]["targets"])}
        for place, row in enumerate(sorted(rows, key=lambda row: (row[1], row[0]))):
            number, label = int(folder.name), names[row[1]]
            is_known = number in numbers and place % len(numbers) == numbers.index(number)
            share = np.full(3, 0.05) if is_known else np.full(3, 0.3)
            share[label if is_known else (label + 1 + number % 2) % 3] = 0.9 if is_known else 0.4
            row[3:] = [f"{value:.6f}" for value in share / share.sum()]
        with (folder / "oof.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])


def finalists(search: Any) -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{search.folder / 'study.db'}"
    return optuna.load_study(study_name=f"{search.name}-finalists", storage=storage).trials


def members(search: Any) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in finalists(search) if trial.user_attrs.get("reference") == "ensemble"]


def models(search: Any) -> set[str]:
    return {path.parent.name for path in (search.folder / "finalists").glob("*/model")}


def told(search: Any) -> dict[str, Any]:
    found: dict[str, Any] = search.read("best/verdict.yaml")
    return found


@pytest.fixture(scope="module")
def searched(make_search: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A search of four heads, of which trials 2 and 3 together know all that each does not."""
    search = make_search(tmp_path_factory.mktemp("ensemble"))
    search.run(*HEADS)
    take_turns(search, 2, 3)
    return search


@pytest.fixture
def search(searched: Any, make_search: Callable[..., Any], tmp_path: Path) -> Any:
    """A copy of it, to go on with."""
    shutil.copytree(searched.cwd, tmp_path / "here")
    return make_search(tmp_path / "here")


@pytest.fixture(scope="module")
def exported(searched: Any, make_search: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A copy that was gone on with, to be read, and what that printed."""
    shutil.copytree(searched.cwd, cwd := tmp_path_factory.mktemp("exported") / "here")
    search = make_search(cwd)
    return search, search.run(*HEADS, *TOP)


@pytest.fixture
def again(exported: Any, make_search: Callable[..., Any], tmp_path: Path) -> Any:
    """A copy of that, to go on with."""
    shutil.copytree(exported[0].cwd, tmp_path / "again", symlinks=True)
    return make_search(tmp_path / "again")


def test_the_mean_of_trials_that_complement_each_other_is_exported(exported: Any) -> None:
    search, output = exported
    facts = told(search)
    assert facts["exported"] == "ensemble" and set(facts["ensemble"]["trials"]) == {2, 3}
    assert facts["ensemble"]["macro_f1"] == 1.0 and facts["ensemble"]["difference"]["low"] > 0
    text = facts["ensemble"]["text"]
    assert f"\nE{text[1:]}\n" in output and f"ensemble: {text}" in (search.folder / "best/config.yaml").read_text()
    assert text.startswith("exported is the mean of 2 trials: 1.000 on pages that did not choose them")
    assert "predict other pages with the ensemble" in output
    assert re.search(r"\n  python -m docclf\.train .* refit=distill \S*teacher=\S+ model\.tune=last\n", output)
    new = {int(trial.user_attrs["finalist"].partition("/")[0]) for trial in members(search)}
    assert new and new <= {2, 3}, "those that no finalist had scored"
    assert facts["trial"] not in new, "a member cannot win"
    kept = {path.partition("/")[2] for path in (*facts["ensemble"]["folders"], facts["winner"]["folder"])}
    assert models(search) == {*kept, "ensemble"}
    config = search.read("best/config.yaml")
    assert config["model"]["head"]["C"] == search.read(f"{facts['trial']}/.hydra/config.yaml")["model"]["head"]["C"]


def test_best_has_one_model_that_predicts_the_mean_and_a_run_as_any_other(exported: Any) -> None:
    search, _ = exported
    facts, best = told(search)["ensemble"], search.folder / "best"
    blend = load_ensemble(find_model(search.folder))
    assert isinstance(blend, TrialEnsemble) and find_model(search.folder) == best / "model"
    images = torch.rand(4, 3, 32, 32)
    weights = [facts["trials"][number] for number in facts["trials"]]
    with torch.inference_mode():
        found = blend(*[images] * len(blend.description.views), torch.ones(4))
        apart = [load_ensemble(search.folder / name / "model")(images, torch.ones(4)) for name in facts["folders"]]
    mean = sum(weight * one for weight, one in zip(weights, apart, strict=True))
    assert torch.allclose(found, mean, atol=2e-6), "weights are told to 1e-6"
    result = search.read("best/result.yaml")
    assert blend.description.temperature == result["calibration"]["temperature"]
    doubt = read_doubt(best / "model" / "doubt.npz")
    assert doubt.novelty is None and doubt.selective.coverage[-1] == 1, "abstain works by confidence"
    assert (best / "reliability.png").is_file() and (best / "label_issues.csv").is_file()
    status, compared = python("docclf.compare", str(best), str(search.folder / "finalists" / "0"), cwd=search.cwd)
    assert compared and status == 0


@pytest.mark.slow
def test_the_same_command_again_says_the_same(again: Any) -> None:
    before = told(again)
    n = len(finalists(again))
    again.run(*HEADS, *TOP)
    assert told(again) == before and len(finalists(again)) == n


@pytest.mark.slow
def test_without_an_ensemble_best_has_the_winner_again(again: Any) -> None:
    output = again.run(*HEADS, *TOP, "search.ensemble=false")
    facts = told(again)
    assert facts["exported"] == "winner" and "ensemble" not in facts and "mean of" not in output
    assert not isinstance(load_ensemble(find_model(again.folder)), TrialEnsemble)
    number = facts["winner"]["folder"].partition("/")[2]
    assert models(again) == {number}
    assert again.read("best/result.yaml") == again.read(f"finalists/{number}/result.yaml")


@pytest.mark.slow
def test_it_is_chosen_anew_by_what_is_known_then(again: Any) -> None:
    take_turns(again, 1, 3)
    again.run(*HEADS, *TOP)
    assert set(told(again)["ensemble"]["trials"]) == {1, 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "known", "why"),
    [
        ("search.ensemble=true", (2,), "one trial alone is as good as the mean of several"),
        pytest.param("keep_checkpoints=none", (2, 3), "keep_checkpoints=none keeps no models", marks=pytest.mark.slow),
    ],
)
def test_where_there_is_none_one_line_says_why(search: Any, override: str, known: tuple[int, ...], why: str) -> None:
    take_turns(search, *known)
    output = search.run(*HEADS, *TOP, override)
    assert f"\nNo ensemble: {why}" in output and told(search)["exported"] == "winner"
    assert told(search)["ensemble"]["text"] == f"no ensemble: {why}" and not members(search)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.ensemble=maybe", "Expected `search.ensemble` to be one of auto, true, false, got maybe."),
        ("search.max_predict_cost=0.5", "Expected `search.max_predict_cost` to be at least 1, got 0.5."),
    ],
)
def test_a_wrong_value_is_an_error_before_the_first_trial(
    make_search: Callable[..., Any], tmp_path: Path, override: str, message: str
) -> None:
    search = make_search(tmp_path)
    assert message in search.run(*HEADS, override, code=1)
    assert not (search.folder / "0").exists()


def test_what_the_same_models_are_worth_is_computed_once() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), (2, 30)).astype(np.float32)
    some = Library(np.arange(30) % 3, probabilities, np.eye(2, dtype=bool), np.ones(2))
    first = _estimate_once(some)
    assert _estimate_once(replace(some, labels=some.labels.copy())) is first
    assert _estimate_once(replace(some, limit=1.0)) is not first
