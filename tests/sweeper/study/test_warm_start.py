"""Searches that start from what another study has learned."""

import shutil
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from docclf.sweeper.run.asker import Asker
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.samplers import make_sampler
from docclf.sweeper.study.starting_points import fitting_trials
from docclf.sweeper.study.trials import best_trial

SPACE = {
    "x": FloatDistribution(-1, 1),
    "n": IntDistribution(0, 4),
    "colour": CategoricalDistribution(["blue", "green", "red"]),
}
MINIMIZE = [optuna.study.StudyDirection.MINIMIZE]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A search's folder: 14 trials of the toy's space, the best one at x = 0.25."""
    folder = tmp_path_factory.mktemp("learned")
    study = new_study(folder, "learned")
    for i in range(14):
        study.enqueue_trial({"x": i / 13 * 2 - 1, "n": 4, "colour": "red"})
    study.enqueue_trial({"x": 0.25, "n": 2, "colour": "blue"})
    for _ in range(15):
        trial = study.ask(SPACE)
        study.tell(trial, abs(trial.params["x"] - 0.25))
    study.tell(study.ask(SPACE), state=optuna.trial.TrialState.FAIL)
    return folder


def new_study(folder: Any, name: str, **options: Any) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=f"sqlite:///{folder / 'study.db'}", **options)


def test_the_best_of_another_study_is_tried_first_and_nothing_else_of_it(learned: Any, toy: Any) -> None:
    shutil.copytree(learned, toy.cwd / "before")
    command = ("hydra.sweeper.warm_start_from=before", "hydra.sweeper.baseline=true")
    output = toy.run("n_trials=2", *command).output
    assert "Starting from study learned: 15 of its 15 trials fit the space" in output
    toy.run("n_trials=4", *command)
    assert [t.user_attrs.get("role") for t in toy.trials] == ["baseline", None, None, None]
    assert toy.trials[1].params == {"x": 0.25, "n": 2, "colour": "blue"}
    assert toy.trials[1].user_attrs["enqueued"] == "best of before"
    assert [t.params for t in toy.trials].count(toy.trials[1].params) == 1
    assert toy.folders() == [0, 1, 2, 3]


def test_what_broke_a_constraint_is_not_the_best_to_start_from() -> None:
    space = parse_space({"x": "interval(-1.0,1.0)"}, [])
    before = optuna.create_study()
    for x, excess in ((0.0, 0.5), (0.5, -0.5)):
        drawn = {"x": FloatDistribution(-1, 1)}
        before.add_trial(create_trial(params={"x": x}, distributions=drawn, value=x, constraints={"size": excess}))
    known = fitting_trials(before, space, MINIMIZE)
    assert [trial.constraints for trial in known] == [{"size": 0.5}, {"size": -0.5}]
    best = best_trial(known, MINIMIZE[0])
    assert best is not None and best.params == {"x": 0.5}


@pytest.mark.slow
def test_all_trials_of_another_study_teach_the_sampler_and_are_none_of_this_one(learned: Any, toy: Any) -> None:
    every = ("n_trials=2", "hydra.sweeper.warm_start=all", f"hydra.sweeper.warm_start_from={learned / 'study.db'}")
    toy.run(*every)
    assert toy.states() == 2 * ["COMPLETE"]
    assert toy.folders() == [t.number for t in toy.trials] == [0, 1]
    assert optuna.get_all_study_names(toy.storage) == ["toy"]

    study = optuna.load_study(study_name="learned", storage=f"sqlite:///{learned / 'study.db'}")
    plain = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    plain.add_trials([t for t in study.trials if t.state.name == "COMPLETE"])
    asked = plain.ask(SPACE)
    cold = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1)).ask(SPACE)
    assert toy.trials[0].params != cold.params
    assert toy.trials[0].params == asked.params, "as a sampler that has these trials in its own study"


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "target", ["TPESampler", "RandomSampler", "GPSampler", "NSGAIISampler", "NSGAIIISampler", "QMCSampler"]
)
def test_every_sampler_draws_with_trials_of_another_study(target: str, learned: Any) -> None:
    source = optuna.load_study(study_name="learned", storage=f"sqlite:///{learned / 'study.db'}")
    space = parse_space({"x": "interval(-1.0, 1.0)", "n": "range(0, 5)", "colour": "choice(blue, green, red)"})
    sampler = make_sampler(OmegaConf.create({"_target_": f"optuna.samplers.{target}", "seed": 1}), space, 0)
    study = optuna.create_study(sampler=sampler)
    asker = Asker(study, known=fitting_trials(source, space, MINIMIZE))
    for number in range(5):
        trial = asker.ask(asker.take())
        space.suggest(trial)
        assert trial.number == number
        assert space.misfits(trial.params) == {}
        study.tell(trial, trial.params["x"])
    assert len(trial.study.get_trials()) == 20
    assert len(study.trials) == 5


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_brute_force_leaves_out_no_point_that_another_study_has_tried() -> None:
    space = parse_space({"n": "range(0, 3)"})
    source = optuna.create_study()
    source.add_trial(create_trial(params={"n": 1}, distributions={"n": IntDistribution(0, 3)}, value=0.0))
    sampler = make_sampler(OmegaConf.create({"_target_": "optuna.samplers.BruteForceSampler", "seed": 1}), space, 0)
    study = optuna.create_study(sampler=sampler)
    asker = Asker(study, known=fitting_trials(source, space, MINIMIZE))
    for _ in range(3):
        trial = asker.ask(asker.take())
        space.suggest(trial)
        study.tell(trial, 0.0)
    assert sorted(trial.params["n"] for trial in study.trials) == [0, 1, 2]


@pytest.mark.slow
def test_trials_outside_the_space_are_left_out_and_the_best_is_that_of_the_rest(learned: Any, toy: Any) -> None:
    output = toy.run("n_trials=1", f"hydra.sweeper.warm_start_from={learned}", "x=interval(-1.0, 0.0)").output
    assert "7 of its 15 trials fit the space" in output
    assert toy.trials[0].params == {"x": 6 / 13 * 2 - 1, "n": 4, "colour": "red"}


@pytest.mark.slow
def test_a_study_of_which_no_trial_fits_leaves_the_search_as_it_is(learned: Any, toy: Any) -> None:
    output = toy.run(
        "n_trials=1", f"hydra.sweeper.warm_start_from={learned}", "shape=choice(round, square)", "n=1"
    ).output
    assert "0 of its 15 trials fit the space" in output
    assert toy.states() == ["COMPLETE"]


@pytest.mark.slow
def test_a_storage_of_several_studies_is_asked_for_one_by_name(learned: Any, toy: Any) -> None:
    shutil.copytree(learned, toy.cwd / "before")
    new_study(toy.cwd / "before", "upwards", direction="maximize")
    url = f"sqlite:///{toy.cwd}/before/study.db"
    for source, message in {
        url: "Expected one study in",
        f"{url}#other": "Expected a study `other`",
        f"{url}#upwards": "with the directions ['minimize'], got ['maximize']",
        "nowhere": "nowhere: no such file",
    }.items():
        output = toy.run(f"hydra.sweeper.warm_start_from='{source}'", code=1).output
        assert message in output
        assert "Traceback" not in output
        assert not (toy.folder / "0").exists()
    toy.run("n_trials=1", f"hydra.sweeper.warm_start_from='{url}#learned'")
    assert toy.trials[0].params == {"x": 0.25, "n": 2, "colour": "blue"}


@pytest.mark.slow
def test_a_way_to_start_that_does_not_exist_is_refused(learned: Any, toy: Any) -> None:
    output = toy.run(f"hydra.sweeper.warm_start_from={learned}", "hydra.sweeper.warm_start=some", code=1).output
    assert "Expected `hydra.sweeper.warm_start` to be best or all, got some" in output
