"""The last lines of a search."""

import re
from pathlib import Path

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

from docclf.results.study.summary import larger_limits, summary
from docclf.sweeper.study.attributes import RUN


@pytest.mark.parametrize(("first", "order"), [("minimize", ["0", "2", "1"]), ("maximize", ["1", "2", "0"])])
def test_a_pareto_front_begins_with_the_best_by_the_first_objective(
    first: str, order: list[str], tmp_path: Path
) -> None:
    study = optuna.create_study(directions=[first, "maximize" if first == "minimize" else "minimize"])
    for values in ((1.0, 0.5), (3.0, 0.9), (2.0, 0.7)):
        study.add_trial(optuna.trial.create_trial(values=values))
    assert len(study.best_trials) == 3
    text = summary(study, tmp_path, ["seconds", "score"], None, None)
    assert "3 trials on the Pareto front, by seconds:" in text
    assert re.findall(r"  trial (\d): seconds", text) == order


def test_a_trial_that_waits_is_no_cause_of_a_search_without_a_result(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"cause": "too large"}))
    study.enqueue_trial({"x": 1.0})
    text = summary(study, tmp_path, ["score"], None, None)
    assert text.endswith("No trial finished:\n  1 x too large")


def test_a_small_objective_is_told_with_its_digits(tmp_path: Path) -> None:
    study = optuna.create_study()
    for value, role in ((4.5e-4, {"role": "baseline"}), (3e-4, {})):
        study.add_trial(optuna.trial.create_trial(value=value, user_attrs=role))
    text = summary(study, tmp_path, ["loss"], None, None)
    assert "best loss 0.0003, trial 1\n-0.00015 loss over the baseline, trial 0: 0.00045" in text


@pytest.mark.parametrize(("timeout", "said"), [("10m", "20m"), ("3h", "360m"), (45, "90")])
def test_a_time_budget_that_is_spent_is_doubled_in_minutes_where_they_are_whole(timeout: str | int, said: str) -> None:
    study = optuna.create_study()
    config = OmegaConf.create({"hydra": {"sweeper": {"n_trials": 20, "timeout": timeout}}})
    assert larger_limits(study, config) == []
    study.set_user_attr(f"{RUN}me", [0.0, 1e5])
    assert larger_limits(study, config) == [f"search.timeout={said}"]
