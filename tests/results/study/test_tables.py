"""trials.csv from a real study."""

import csv
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from docclf.results.study.files import write_trials


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", direction="maximize")
    study.enqueue_trial({"optimizer.lr": 0.01})
    trial = study.ask({"optimizer.lr": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True)})
    trial.set_user_attr("folds", [0.5, 0.75])
    study.tell(trial, 0.625)
    trial = study.ask({"model": optuna.distributions.CategoricalDistribution(["스윈", None])})
    trial.set_user_attr("cause", "NonFiniteLossError: lr, too large\nsecond line")
    study.tell(trial, state=TrialState.FAIL)
    trial = study.ask()
    trial.report(0.25, 0)
    study.tell(trial, state=TrialState.PRUNED)
    study.ask()
    return study


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_trial_has_a_row_with_what_it_tried_and_how_it_ended(study: optuna.Study, tmp_path: Path) -> None:
    write_trials(tmp_path / "trials.csv", study.get_trials())
    rows = read(tmp_path / "trials.csv")
    assert ",".join(rows[0]) == "number,state,value,rescored,model,optimizer.lr,folds,seconds,cause,folder"
    assert [row["state"] for row in rows] == ["COMPLETE", "FAIL", "PRUNED", "RUNNING"]
    assert [row["number"] for row in rows] == [row["folder"] for row in rows] == ["0", "1", "2", "3"]
    assert (rows[0]["value"], rows[0]["optimizer.lr"]) == ("0.625", "0.01")
    assert rows[0]["folds"] == "0.500000 0.750000" and float(rows[0]["seconds"]) >= 0
    assert rows[1]["cause"] == "NonFiniteLossError: lr, too large\nsecond line" and rows[1]["value"] == ""
    assert rows[2]["value"] == "0.25", "the last report of a pruned trial"
    assert rows[3]["seconds"] == ""


def test_the_rung_of_a_trial_has_a_column_where_the_search_climbs(tmp_path: Path) -> None:
    study = optuna.create_study()
    for rung in ("head", "last"):
        trial = study.ask()
        trial.set_user_attr("rung", rung)
        trial.set_user_attr("carried_from", 0)
        study.tell(trial, 0.5)
    write_trials(tmp_path / "trials.csv", study.get_trials())
    rows = read(tmp_path / "trials.csv")
    assert ",".join(rows[0]) == "number,rung,state,value,rescored,folds,seconds,cause,folder"
    assert [row["rung"] for row in rows] == ["head", "last"]


def test_several_objectives_have_a_column_each(tmp_path: Path) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.tell(study.ask(), [0.5, 20])
    study.tell(study.ask(), state=TrialState.FAIL)
    write_trials(tmp_path / "trials.csv", study.get_trials(), ["macro_f1", "train_seconds"])
    rows = read(tmp_path / "trials.csv")
    assert list(rows[0])[:4] == ["number", "state", "macro_f1", "train_seconds"]
    assert [(row["macro_f1"], row["train_seconds"]) for row in rows] == [("0.5", "20.0"), ("", "")]


def test_a_study_without_trials_gives_a_header(tmp_path: Path) -> None:
    write_trials(tmp_path / "trials.csv", [])
    assert (tmp_path / "trials.csv").read_text().splitlines() == [
        "number,state,value,rescored,folds,seconds,cause,folder"
    ]
