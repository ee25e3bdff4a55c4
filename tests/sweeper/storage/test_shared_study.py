"""A study that others write to: what they write is data."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.space.parameters import Parameter, Space
from docclf.sweeper.strategy.pruners import make_finalists_pruner
from docclf.sweeper.strategy.race import Race
from docclf.sweeper.study.queue import drop_foreign, retry_interrupted


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


ESCAPES = {"hydra.sweep.subdir": "../../../escaped", "+hydra.job.env_set.DOCCLF_ALLOW": "'mine.*'", "note": "theirs"}


def row(**drawn: Any) -> FrozenTrial:
    """A trial that waits, with parameters that somebody has written into the study."""
    return create_trial(
        state=TrialState.WAITING,
        params=drawn,
        distributions={name: CategoricalDistribution([value]) for name, value in drawn.items()},
    )


@pytest.mark.slow
@pytest.mark.parametrize("hook", [[], ["hydra.sweeper.custom_search_space=hooks.draw_radius"]])
def test_rows_that_others_queue_set_nothing_in_jobs(hook: list[str], toy: Any) -> None:
    toy.run("n_trials=2", *hook, "hydra/sweeper/sampler=random")
    toy.study.add_trial(row(**ESCAPES))
    toy.study.enqueue_trial(ESCAPES)
    output = toy.run("n_trials=5", *hook, "hydra/sweeper/sampler=random").output
    assert "trial 2 was queued by another program, with parameters, and is left out" in output
    assert toy.states() == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert not (toy.cwd / "escaped").exists() and toy.folders() == [0, 1, 3, 4, 5]
    assert {toy.config(number).note for number in toy.folders()} == {toy.config(0).note}


def test_a_job_gets_what_its_space_or_its_hook_has_and_nothing_else() -> None:
    space = Space((Parameter("x", FloatDistribution(0.0, 1.0)),), ("seed=1",))
    params = {"x": 0.5, "radius": 2.0, "optimizer._target_": "mine.Evil", **ESCAPES}
    assert space.overrides(params) == ("x=0.5", "seed=1")
    assert space.overrides(params, {"radius"}) == ("x=0.5", "radius=2.0", "seed=1")


def test_what_others_queue_with_parameters_is_taken_out_and_what_a_search_queues_stays() -> None:
    study = optuna.create_study()
    study.add_trial(row(**ESCAPES))
    study.enqueue_trial({"x": 0.5})
    drop_foreign(study, study.get_trials())
    retry_interrupted(study)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]
    assert study.trials[0].user_attrs["interrupted"] == "unwanted"
