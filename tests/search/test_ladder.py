"""A ladder of real trainings: what goes on trains no epoch twice, and ends as a training that never paused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from docclf.sweeper.study.attributes import BUDGET, RETRY_OF, RUNG

LADDER = ("hparams_search=ladder", "validation.epochs=3", "validation.folds=3", "search.n_trials=7")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_best_goes_on_to_what_it_would_have_come_to(search: Any, tmp_path: Path, workers: int) -> None:
    output = search.run(*LADDER, f"search.workers={workers}")
    assert "paused at macro-F1" in output
    assert search.trials[0].state.name == "COMPLETE" and BUDGET not in search.trials[0].user_attrs
    whole = [trial for trial in search.trials if RETRY_OF in trial.user_attrs and trial.state.name == "COMPLETE"]
    assert len(whole) == 1 and whole[0].user_attrs[BUDGET] == 9, "the last trials are for the best"
    (last,) = whole
    chain = [last]
    while RETRY_OF in chain[-1].user_attrs:
        chain.append(search.trials[chain[-1].user_attrs[RETRY_OF]])
    assert [len(trial.intermediate_values) for trial in reversed(chain)] == [1, 3, 9]
    assert all(trial.params == last.params for trial in chain)
    assert [search.read(f"{trial.number}/result.yaml")["state"] for trial in chain[1:]] == ["PAUSED", "PAUSED"]
    assert not any((search.folder / str(trial.number) / "resume").exists() for trial in chain)
    given = [f"{key}={value}" for key, value in last.params.items()]
    search.train(search.pages, "validation.epochs=3", "validation.folds=3", "hydra.run.dir=alone", *given)
    alone = yaml.safe_load((tmp_path / "alone" / "result.yaml").read_text(encoding="utf-8"))
    assert alone["folds"] == search.read(f"{last.number}/result.yaml")["folds"]


@pytest.mark.slow
def test_a_ladder_that_was_killed_goes_on(search: Any) -> None:
    search.kill_when(lambda: (search.folder / "4" / "resume").exists(), *LADDER)
    search.run(*LADDER)
    done = [trial for trial in search.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert len(done) == 7
    budgets = [trial.user_attrs.get(BUDGET) for trial in done]
    assert budgets[0] is None and set(budgets[1:]) == {1, 3, 9}


@pytest.mark.slow
def test_heads_come_first_and_none_of_them_pauses(search: Any) -> None:
    small = ("validation.epochs=2", "validation.folds=2", "search.n_trials=10")
    search.run("hparams_search=ladder", "model.tune=choice(head,last)", *small)
    heads, nets = ([t for t in search.trials if t.user_attrs[RUNG] == rung] for rung in ("head", "last"))
    assert len(heads) == len(nets) == 5
    assert all(trial.state.name == "COMPLETE" and BUDGET not in trial.user_attrs for trial in heads)
    assert [trial.user_attrs[BUDGET] for trial in nets] == [2, 2, 2, 4, 2]
    assert nets[3].state.name == "COMPLETE" and nets[3].params == search.trials[nets[3].user_attrs[RETRY_OF]].params
