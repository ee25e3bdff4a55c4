"""The last lines of a search."""

import re
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from docclf.results.study.summary import summary


@pytest.mark.parametrize(("first", "order"), [("minimize", ["0", "2", "1"]), ("maximize", ["1", "2", "0"])])
def test_a_pareto_front_begins_with_the_best_by_the_first_objective(
    first: str, order: list[str], tmp_path: Path
) -> None:
    study = optuna.create_study(directions=[first, "maximize" if first == "minimize" else "minimize"])
    for values in ((1.0, 0.5), (3.0, 0.9), (2.0, 0.7)):
        study.add_trial(optuna.trial.create_trial(values=values))
    assert len(study.best_trials) == 3
    text = summary(study, tmp_path, ["seconds", "score"], "python -m docclf.train -m")
    assert "3 trials on the Pareto front, by seconds:" in text
    assert re.findall(r"  trial (\d): seconds", text) == order


def test_a_trial_that_waits_is_no_cause_of_a_search_without_a_result(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"cause": "too large"}))
    study.enqueue_trial({"x": 1.0})
    text = summary(study, tmp_path, ["score"], "python -m docclf.train -m")
    assert text.endswith("No trial came to its end:\n  1 x too large")
