"""A study that others write to: what they write is data."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from docclf.sweeper.strategy.pruners import make_finalists_pruner
from docclf.sweeper.strategy.race import Race


def gadget(seen: Path) -> dict[str, Any]:
    return {"_target_": "torch.utils.collect_env.run", "command": f"touch {seen}"}


NAMES = ("pruner", "sampler", "preflight", "preload", "custom_search_space")


@pytest.mark.slow
def test_attributes_of_a_study_are_never_called(toy: Any) -> None:
    toy.run("n_trials=2", "hydra.sweeper.n_jobs=1")
    seen = {name: gadget(toy.cwd / f"{name} was called") for name in NAMES}
    for name, called in seen.items():
        toy.study.set_user_attr(name, called)
        toy.study._storage.set_study_system_attr(toy.study._study_id, name, called)
    toy.run("n_trials=4", "hydra.sweeper.finalists.top_k=1", "hydra.sweeper.finalists.race=true")
    assert toy.states() == 4 * ["COMPLETE"]
    finalists = optuna.load_study(study_name="toy-finalists", storage=toy.storage)
    for name, called in seen.items():
        finalists.set_user_attr(name, called)
    toy.run("n_trials=6", "hydra.sweeper.finalists.top_k=2", "hydra.sweeper.finalists.race=true")
    assert list(toy.cwd.glob("* was called")) == []


def test_finalists_have_one_of_two_pruners_whatever_the_study_says() -> None:
    assert isinstance(make_finalists_pruner("race"), Race)
    assert isinstance(make_finalists_pruner({"_target_": "docclf.sweeper.race.Race"}), Race), "a study of before"
    for other in ("none", None, 7, [], "mine.Pruner", gadget(Path("x")), {"_target_": "optuna.pruners.NopPruner"}):
        assert type(make_finalists_pruner(other)) is optuna.pruners.NopPruner
