"""How trials end, and what the study holds of each."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

APP = Path(__file__).parents[1] / "toy" / "app.py"
TOY = runpy.run_path(str(APP))


@pytest.fixture(scope="module")
def eventful(new_toy: Any) -> Any:
    """Baseline, five bad ends, and then trials of which the pruner stops some."""
    toy = new_toy()
    toy.result = toy.run(
        "n_trials=14",
        "hydra.sweeper.baseline=true",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.pruner.n_startup_trials=2",
        "raise_at=[1]",
        "nan_at=[2]",
        "text_at=[3]",
        "pair_at=[4]",
        "prune_at=[5]",
        "hydra.sweeper.max_failure_rate=1",
    )
    return toy


def test_each_end_of_a_trial_is_recorded_as_what_it_is(eventful: Any) -> None:
    assert eventful.states()[:6] == ["COMPLETE", "FAIL", "FAIL", "FAIL", "FAIL", "PRUNED"]
    assert len(eventful.trials) == 14
    assert {"COMPLETE", "PRUNED"} == set(eventful.states()[6:])


def test_a_failed_trial_keeps_its_cause_and_no_other_has_one(eventful: Any) -> None:
    causes = {trial.number: trial.user_attrs["cause"] for trial in eventful.trials if "cause" in trial.user_attrs}
    assert causes == {
        1: "ArithmeticError: asked to fail, number 1",
        2: "The objective is not a number: nan",
        3: "Expected the task to return a number, got 'blue'",
        4: "Expected 1 objective values, got 2",
    }
    for cause in causes.values():
        assert f"failed: {cause}" in eventful.result.output
    assert "Traceback" not in eventful.result.output
    assert "in misbehave" in (eventful.folder / "1" / "app.log").read_text(), "the traceback is in the trial's folder"


def test_the_value_and_what_the_task_kept_are_on_the_trial(eventful: Any) -> None:
    complete = [trial for trial in eventful.trials if trial.state.name == "COMPLETE"]
    assert complete
    for trial in complete:
        expected = TOY["distance"](trial.params["x"] - 0.3, trial.params["n"], trial.params["colour"])
        assert trial.value == pytest.approx(expected, abs=1e-12)
        assert trial.user_attrs["colour"] == trial.params["colour"]
        assert trial.intermediate_values == {step: TOY["reported"](trial.value, step) for step in range(3)}


def test_a_trial_that_followed_the_pruner_has_stopped_early_and_without_an_error(eventful: Any) -> None:
    pruned = [t for t in eventful.trials if t.state.name == "PRUNED" and t.number != 5]
    assert pruned
    for trial in pruned:
        assert trial.user_attrs["pruned_at_step"] == trial.last_step
        text = (eventful.folder / str(trial.number) / "app.log").read_text()
        assert "Error" not in text
        assert f"trial {trial.number}/14  pruned at value" in eventful.result.output
    assert "Error" not in (eventful.folder / "5" / "app.log").read_text(), "TrialPruned was raised"


def test_the_baseline_is_trial_0_with_the_values_of_the_config(eventful: Any) -> None:
    assert eventful.trials[0].params == {"x": 0.5, "n": 1, "colour": "green"}
    assert [t.user_attrs.get("role") for t in eventful.trials] == ["baseline"] + 13 * [None]


def test_number_of_trial_folder_and_job_are_one(eventful: Any) -> None:
    assert eventful.folders() == [trial.number for trial in eventful.trials] == list(range(14))
    for trial in eventful.trials:
        hydra = yaml.safe_load((eventful.folder / str(trial.number) / ".hydra" / "hydra.yaml").read_text())["hydra"]
        config = eventful.config(trial.number)
        assert hydra["job"]["num"] == trial.number
        assert {key: config[key] for key in trial.params} == trial.params
        assert config.raise_at == [1]


def test_every_trial_has_a_line_at_its_start_and_one_at_its_end_with_the_best_so_far(eventful: Any) -> None:
    lines = re.findall(r"trial (\d+)/14  (\S+)", eventful.result.output)
    assert [int(number) for number, _ in lines] == [number for n in range(14) for number in (n, n)]
    best = re.findall(r"\(best ([0-9.]+), trial (\d+)\)", eventful.result.output)[-1]
    assert best == (f"{eventful.study.best_value:.3f}", str(eventful.study.best_trial.number))
