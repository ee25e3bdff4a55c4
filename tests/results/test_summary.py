"""The last lines of a search."""

import re
import shlex
from pathlib import Path

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import TrialState

from docclf.results.study.summary import steps_up, summary
from docclf.sweeper.screen.progress import TypedCommand


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


def test_another_search_that_is_advised_has_the_limits_and_a_name_of_this_one() -> None:
    study = optuna.create_study(study_name="첫 번째 (1)")
    study.set_user_attr("config", '{"data.image_size": 64}')
    study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"tune": "last"}))
    limits = ["search.n_trials=null", "search.timeout=20s"]
    arguments = ["-m", "docclf.train", "-m", "data.root=a b", "model.tune=last", *limits, "study_name=x"]
    command = TypedCommand("/실험 (b)", arguments, ["search.timeout=40"])
    check, head, larger = steps_up(study, study.trials[0], {"pixels": {"mean": 0.9}}, command).values()
    assert check == "cd '/실험 (b)' && python -m docclf.data 'data.root=a b'"
    for text, name in ((head, "첫 번째 (1)-head"), (larger, "첫 번째 (1)-96")):
        typed = shlex.split(text.partition(" && ")[2])
        assert [t for t in typed if t.startswith("search.")] == ["search.n_trials=null", "search.timeout=20s"]
        values = {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(typed[4:])}
        assert values["study_name"] == name
        assert values["model.tune"] == ("head" if text is head else "last")
    assert command.go_on.endswith("study_name=x search.timeout=40") and "20s" not in command.go_on


def test_a_small_objective_is_told_with_its_digits(tmp_path: Path) -> None:
    study = optuna.create_study()
    for value, role in ((4.5e-4, {"role": "baseline"}), (3e-4, {})):
        study.add_trial(optuna.trial.create_trial(value=value, user_attrs=role))
    text = summary(study, tmp_path, ["loss"], None, None)
    assert "best loss 0.0003, trial 1\n-0.00015 loss over the baseline, trial 0: 0.00045" in text
