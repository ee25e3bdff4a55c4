"""What a search leaves and prints: files, table, log, the winner and the command that trains it."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

Searched = tuple[Any, str]


def test_a_search_leaves_the_files_that_are_promised(searched: Searched) -> None:
    search, _ = searched
    for name in ("study.db", "trials.csv", "train.log", "best/config.yaml", "best/params.yaml"):
        assert (search.folder / name).stat().st_size > 0, name
    assert sorted(path.name for path in search.folder.iterdir() if path.is_dir()) == [
        "0", "1", "2", "3", "artifacts", "best",
    ]  # fmt: skip
    for trial in search.trials:
        own = search.folder / str(trial.number)
        result = search.read(f"{trial.number}/result.yaml")
        assert (own / ".hydra" / "config.yaml").is_file()
        assert (own / "train.log").is_file()
        assert not (own / "resume").exists(), "of use to an open run alone"
        assert result["params"] == trial.params
        assert result["state"] == trial.state.name
        assert result["folds"] == trial.user_attrs["folds"]
        assert result["seconds"] > 0
        if trial.state.name == "COMPLETE":
            assert result["mean"] == trial.value == pytest.approx(sum(result["folds"]) / 2)
            assert result["metrics"] == {name: trial.user_attrs[name] for name in result["metrics"]}
            with (own / "oof.csv").open(encoding="utf-8") as file:
                assert len(list(csv.DictReader(file))) == 24
    assert set(search.states) == {"COMPLETE", "PRUNED"}, "or one of them was not looked at"


def test_the_baseline_comes_first_and_the_parameters_lie_in_the_space(searched: Searched) -> None:
    trials = searched[0].trials
    # data.batch_size is given on the command line, and so is not searched
    assert trials[0].params == {
        "optimizer.lr": 5e-4,
        "optimizer.weight_decay": 0.01,
        "model.drop_rate": 0.0,
        "model.layer_decay": 0.7,
        "augment.strength": 1.0,
    }
    for trial in trials:
        assert 1e-4 <= trial.params["optimizer.lr"] <= 2e-3
        assert 0 <= trial.params["optimizer.weight_decay"] <= 0.1
        assert 0 <= trial.params["model.drop_rate"] <= 0.3


def test_the_table_of_trials_agrees_with_the_study(searched: Searched) -> None:
    search, _ = searched
    for row, trial in zip(search.table, search.trials, strict=True):
        assert (int(row["number"]), row["state"], row["folder"]) == (trial.number, trial.state.name, str(trial.number))
        assert float(row["value"]) == trial.value
        assert {key: float(row[key]) for key in trial.params} == trial.params


def test_the_lines_of_trials_and_folds_and_the_summary_are_on_the_screen_and_in_the_log(searched: Searched) -> None:
    search, output = searched
    study = search.study
    log = (search.folder / "train.log").read_text(encoding="utf-8")
    for text in (output, log):
        for trial in study.trials:
            assert len(re.findall(rf"\btrial {trial.number}/4  lr=", text)) == 1
            ends = rf"\btrial {trial.number}/4  (macro-F1|pruned at macro-F1) \d\.\d{{3}} \((the )?best.*\)  \S+ s"
            assert len(re.findall(ends, text)) == 1
        complete = sum(trial.state.name == "COMPLETE" for trial in study.trials)
        assert len(re.findall(r"  fold 1/2  macro-F1 \d\.\d{3}", text)) >= complete
        assert len(re.findall(r"  fold 2/2  macro-F1 \d\.\d{3}", text)) == complete
        assert f"best macro-F1 {study.best_value:.3f}" in text
        assert f", trial {study.best_trial.number}" in text
        assert "What next:" in text


def test_the_winner_is_exported_whole_and_with_its_parameters(searched: Searched) -> None:
    search, _ = searched
    best = search.study.best_trial
    assert search.read("best/params.yaml") == best.params
    exported = search.read("best/config.yaml")
    assert {"logger": "none"} in exported.pop("defaults")
    assert exported == search.read(f"{best.number}/.hydra/config.yaml") | {"refit": "folds", "logger": {}}
    header = (search.folder / "best" / "config.yaml").read_text(encoding="utf-8").splitlines()
    assert header[0].startswith(f"# study: search, trial {best.number} of 4")


@pytest.mark.slow
def test_the_printed_command_trains_the_winner_to_the_same_scores_in_another_folder(
    searched: Searched, tmp_path: Path
) -> None:
    search, output = searched
    best = search.study.best_trial
    line = next(line for line in output.splitlines() if "--config-name config refit=all" in line)
    search.paste(line, tmp_path)
    (result,) = tmp_path.glob("outputs/*/*/result.yaml")
    again, before = yaml.safe_load(result.read_text(encoding="utf-8")), search.read(f"{best.number}/result.yaml")
    assert again["folds"] == before["folds"]
    assert again["mean"] == before["mean"] == best.value
    assert (result.parent / "model" / "all.safetensors").is_file()
    assert (result.parent / "oof.csv").read_bytes() == (search.folder / str(best.number) / "oof.csv").read_bytes()
