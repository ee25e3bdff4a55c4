"""What a search optimises, what it keeps to, and the pruners that fit."""

import re
from typing import Any

import pytest

from docclf.cli.key_table import METRICS

pytestmark = pytest.mark.slow


def test_the_fastest_trial_that_is_good_enough_wins(search: Any) -> None:
    """Its pruner must not stop the trials with the best scores, of which a search for less time wants none."""
    given = ("search.objective=train_seconds", "search.constraints={macro_f1: '>= 0.6'}", "search.n_trials=5")
    output = search.run(*given, "optimizer.lr=choice(5e-4, 3e-3, 1e-9)", "search.seed=1")
    assert search.states == ["COMPLETE"] * 5
    good = [trial for trial in search.trials if trial.user_attrs["macro_f1"] >= 0.6]
    assert 0 < len(good) < 5, "or there is no choice"
    best = min(good, key=lambda trial: trial.value)
    assert search.read("best/params.yaml") == best.params
    assert search.read(f"{best.number}/result.yaml")["metrics"]["train_seconds"] == best.value
    assert f"trial {best.number}" in next(line for line in output.splitlines() if line.startswith("best train_seconds"))
    assert [trial.constraints["macro_f1"] <= 0 for trial in search.trials] == [t in good for t in search.trials]


def test_where_no_trial_keeps_to_the_constraints_there_is_no_winner(search: Any) -> None:
    output = search.run("search.constraints={parameters: 1}", "search.n_trials=1")
    assert "No trial keeps to the constraints; see trials.csv" in output
    assert search.states == ["COMPLETE"] and not (search.folder / "best").exists()


def test_the_pooled_score_is_another_objective(search: Any) -> None:
    search.run("search.objective=macro_f1_pooled", "search.n_trials=1")
    (trial,) = search.trials
    assert trial.value == trial.user_attrs["macro_f1_pooled"] != trial.user_attrs["macro_f1"]


def test_an_objective_that_there_is_not_is_refused(search: Any) -> None:
    output = search.run("search.objective=[macro_f1,size]", code=1)
    assert "`search.objective`" in output and "got ['macro_f1', 'size']" in output
    assert all(name in output for name in METRICS)
    assert len(output) < 400 and not (search.folder / "0").exists()


def test_the_wilcoxon_pruner_says_that_three_folds_are_too_few_for_it(search: Any) -> None:
    output = search.run("hydra/sweeper/pruner=wilcoxon", "validation.folds=3", "search.n_trials=2")
    assert "WilcoxonPruner can stop no trial: at the earliest it does so after 4 reports" in output
    for trial in search.trials:
        assert list(trial.intermediate_values.values()) == trial.user_attrs["folds"], "each fold's own score"
    config = search.read("best/config.yaml")
    assert (config["search"]["report"], config["validation"]["report"]) == ("fold", "${oc.select:search.report,epoch}")


def test_the_wilcoxon_pruner_stops_a_trial_that_is_worse_in_every_fold(search: Any) -> None:
    lr = "optimizer.lr=choice(5e-4, 1e-9)"
    given = ("validation.folds=6", "validation.epochs=4", "search.n_trials=2", "search.enqueue=['optimizer.lr=1e-9']")
    output = search.run("hydra/sweeper/pruner=wilcoxon", lr, *given)
    assert "can stop no trial" not in output
    pruned = [trial for trial in search.trials if trial.state.name == "PRUNED"]
    assert pruned and all(4 <= len(trial.intermediate_values) < 6 for trial in pruned)
    assert all(re.findall(r"fold (\d)/6", search.log(t.number))[-1] == str(len(t.intermediate_values)) for t in pruned)
