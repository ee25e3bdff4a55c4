"""Samplers and pruners draw and stop as they do in plain Optuna."""

import pkgutil
import re
import runpy
import sys
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from docclf.errors import NotAllowedError
from docclf.sweeper.space.parameters import Space
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.pruners import _PRUNERS, make_pruner
from docclf.sweeper.strategy.samplers import _SAMPLERS, make_sampler

APP = Path(__file__).parents[1] / "toy" / "app.py"
TOY = runpy.run_path(str(APP))
SPACE = {
    "x": FloatDistribution(-1, 1),
    "n": IntDistribution(0, 4),
    "colour": CategoricalDistribution(["blue", "green", "red"]),
}
Outcome = tuple[dict[str, Any], str, float | None, dict[int, float]]


def by_hand(
    n_trials: int,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner | None = None,
    space: dict[str, Any] | None = SPACE,
) -> list[Outcome]:
    """The toy's search in plain Optuna, without pruning where no pruner is named.

    Args:
        space: What is asked for at once; None to draw one parameter after the other.
    """
    study = optuna.create_study(study_name="toy", sampler=sampler, pruner=pruner or optuna.pruners.NopPruner())
    for _ in range(n_trials):
        trial = study.ask(space)
        if not space:
            trial.suggest_float("x", -1, 1)
            trial.suggest_int("n", 0, 4)
            trial.suggest_categorical("colour", ["blue", "green", "red"])
        value = TOY["distance"](trial.params["x"] - 0.3, trial.params["n"], trial.params["colour"])
        for step in range(3):
            trial.report(TOY["reported"](value, step), step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
    return [(t.params, t.state.name, t.value, t.intermediate_values) for t in study.trials]


SAMPLERS = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "nsgaiii": optuna.samplers.NSGAIIISampler,
    "gp": optuna.samplers.GPSampler,
    "qmc": optuna.samplers.QMCSampler,
}
# Sooner at work than by default, so that few trials show it
SAMPLER_OPTIONS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 4},
    "gp": {"n_startup_trials": 4},
    "nsgaii": {"population_size": 2},
    "nsgaiii": {"population_size": 2},
}
PRUNERS = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": partial(optuna.pruners.PercentilePruner, percentile=25),
    "successive_halving": partial(optuna.pruners.SuccessiveHalvingPruner, min_resource=1, reduction_factor=3),
    "hyperband": optuna.pruners.HyperbandPruner,
    "patient": partial(optuna.pruners.PatientPruner, None, patience=3),
    "wilcoxon": optuna.pruners.WilcoxonPruner,
}
PRUNER_OPTIONS: dict[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 2},
    "percentile": {"n_startup_trials": 2},
}


def composed(compose_config: Any, group: str, name: str, options: dict[str, Any]) -> Any:
    """The option of a group as the command line makes it."""
    given = (f"hydra.sweeper.{group}.{key}={value}" for key, value in options.items())
    config = compose_config(
        f"hydra/sweeper/{group}={name}", *given, config="config", folder=APP.parent / "conf", hydra=True
    )
    return config.hydra.sweeper[group]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_draws_what_it_draws_with_the_defaults_of_optuna(name: str, compose_config: Any) -> None:
    options = SAMPLER_OPTIONS.get(name, {})
    option = composed(compose_config, "sampler", name, options)
    ours, plain = make_sampler(option, Space(()), 0), SAMPLERS[name](seed=1, **options)
    assert type(ours) is type(plain)
    assert by_hand(8, ours) == by_hand(8, plain)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_stops_the_trials_that_it_stops_in_plain_optuna(name: str, compose_config: Any) -> None:
    options = PRUNER_OPTIONS.get(name, {})
    option = composed(compose_config, "pruner", name, options)
    ours, plain = make_pruner(option), PRUNERS[name](**options)
    assert type(ours) is type(plain)
    outcome = by_hand(12, optuna.samplers.RandomSampler(seed=1), ours)
    assert outcome == by_hand(12, optuna.samplers.RandomSampler(seed=1), plain)
    can_stop = name not in ("none", "patient", "wilcoxon")  # these need more than the toy's three steps
    assert any(state == "PRUNED" for _, state, *_ in outcome) is can_stop


@pytest.mark.parametrize("multivariate", [True, False])
def test_an_option_of_tpe_that_is_given_is_kept(multivariate: bool, compose_config: Any) -> None:
    given = f"hydra.sweeper.sampler.multivariate={multivariate}"
    sweeper = compose_config(given, config="config", folder=APP.parent / "conf", hydra=True).hydra.sweeper
    plain = optuna.samplers.TPESampler(seed=1, multivariate=multivariate)
    assert by_hand(14, make_sampler(sweeper.sampler, Space(()), 0)) == by_hand(14, plain)


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "pruner"), [("tpe", "successive_halving"), ("gp", "percentile")])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_search_is_that_of_plain_optuna(sampler: str, pruner: str, toy: Any) -> None:
    toy.run(f"hydra/sweeper/sampler={sampler}", f"hydra/sweeper/pruner={pruner}", "n_trials=14")
    assert toy.outcomes() == by_hand(14, SAMPLERS[sampler](seed=1), PRUNERS[pruner]())


@pytest.mark.slow
def test_a_grid_tries_every_point_once_also_when_it_is_continued(toy: Any) -> None:
    grid = ("hydra/sweeper/sampler=grid", "x=choice(0.1, 0.2)", "n=range(1, 3)", "colour=blue")
    toy.run(*grid, "n_trials=2")
    toy.run(*grid, "n_trials=20")
    points = [(trial.params["x"], trial.params["n"]) for trial in toy.trials]
    assert sorted(points) == [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]
    assert set(toy.states()) == {"COMPLETE"}


@pytest.mark.slow
def test_a_grid_with_a_baseline_tries_that_besides(toy: Any) -> None:
    toy.run("hydra/sweeper/sampler=grid", "x=choice(0.5, 0.2)", "n=1", "colour=green", "hydra.sweeper.baseline=true")
    assert [trial.params["x"] for trial in toy.trials][:1] == [0.5]
    assert sorted(trial.params["x"] for trial in toy.trials) == [0.2, 0.5, 0.5]


def test_a_grid_over_an_interval_is_refused(toy: Any) -> None:
    output = toy.run("hydra/sweeper/sampler=grid", code=1).output
    assert "finite set of values of `x` for a grid" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_grid_tries_what_is_enqueued_besides_and_an_interrupted_point_again(toy: Any) -> None:
    grid = ("hydra/sweeper/sampler=grid", "x=choice(0.1, 0.2)", "n=range(1, 3)", "colour=blue", "n_trials=20")
    entry = "hydra.sweeper.enqueue=[{x:0.2,n:2}]"
    toy.run(*grid, entry, "signal_at=[2, 1]", code=-9)
    toy.run(*grid, entry)
    assert toy.states() == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    points = {(t.params["x"], t.params["n"]) for t in toy.trials}
    assert points == {(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)}
    # The entry, or the grid's own point of it, is told and not run twice.
    assert len(toy.folders()) == 5


@pytest.mark.slow
def test_a_grid_takes_no_winners_and_gives_entries_the_defaults_of_the_rest(toy: Any) -> None:
    best = toy.cwd / "multirun" / "other" / "best"
    best.mkdir(parents=True)
    (best / "params.yaml").write_text("n: 2\nx: 0.7\n")
    (best / "config.yaml").write_text("n: 2\n")
    grid = ("hydra/sweeper/sampler=grid", "x=choice(0.2, 0.5)", "n=range(1, 3)", "colour=green", "n_trials=20")
    entry = ("hydra.sweeper.memory=auto", "hydra.sweeper.enqueue=['n=2']")
    toy.run(*grid, *entry, "signal_at=[2, 1]", code=-9)
    toy.run(*grid, "hydra.sweeper.memory=auto")
    points = [(t.params["x"], t.params["n"]) for t in toy.trials if t.state.name == "COMPLETE"]
    assert points[0] == (0.5, 2), "the entry, with the default of x"
    assert sorted(points[1:]) == [(0.2, 1), (0.2, 2), (0.5, 1), (0.5, 2)]


def test_the_largest_seed_goes_on_with_the_smallest() -> None:
    space = parse_space({}, ["x=interval(0, 1)"])
    drawn = []
    for seed, n_before in (2**32 - 1, 1), (0, 0):
        study = optuna.create_study(
            sampler=make_sampler({"_target_": "optuna.samplers.RandomSampler", "seed": seed}, space, n_before)
        )
        drawn.append(study.ask(space.distributions).params)
    assert drawn[0] == drawn[1]


CMA_ES = {"_target_": "optuna.samplers.CmaEsSampler"}
WITHIN = {"_target_": "optuna.samplers.PartialFixedSampler", "fixed_params": {"x": 0.5}, "base_sampler": CMA_ES}


@pytest.mark.parametrize("config", [CMA_ES, WITHIN])
def test_the_sampler_that_opens_pickles_of_the_study_is_made_where_it_is_allowed_alone(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = parse_space({}, ["x=interval(0, 1)"])
    monkeypatch.delenv("DOCCLF_ALLOW", raising=False)
    with pytest.raises(NotAllowedError, match=r"optuna\.samplers\.CmaEsSampler"):
        make_sampler(config, space, 0)
    monkeypatch.setenv("DOCCLF_ALLOW", "optuna.samplers.CmaEsSampler")
    assert type(make_sampler(config, space, 0)).__name__ == config["_target_"].rpartition(".")[2]


def opens_what_it_reads(name: str) -> bool:
    """Whether the modules of a class and its bases, or of a function, open pickles or run texts."""
    found = pkgutil.resolve_name(name)
    modules = {getattr(base, "__module__", "") for base in getattr(found, "__mro__", [found])} - {"builtins", "abc"}
    assert modules
    sources = [Path(str(sys.modules[module].__file__)).read_text("utf-8") for module in modules]
    return any(re.search(r"pickle|marshal|(?<![.\w])(eval|exec)\(", source) for source in sources)


@pytest.mark.parametrize("name", [*_SAMPLERS, *_PRUNERS])
def test_nothing_that_a_sampler_or_pruner_may_be_opens_pickles(name: str) -> None:
    assert not opens_what_it_reads(name)


def test_a_sampler_that_opens_pickles_is_seen() -> None:
    assert opens_what_it_reads("optuna.samplers.CmaEsSampler")


@pytest.mark.slow
def test_the_stock_sweeper_keeps_its_own_defaults(toy: Any) -> None:
    storage = f"sqlite:///{toy.cwd}/stock.db"
    toy.run(
        "hydra/sweeper=optuna",
        "hydra.sweeper.study_name=stock",
        f"hydra.sweeper.storage='{storage}'",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.sampler.n_startup_trials=4",
        "n_trials=7",
    )
    study = optuna.load_study(study_name="stock", storage=storage)
    sampler = partial(optuna.samplers.TPESampler, seed=1, n_startup_trials=4)
    stock = by_hand(7, sampler(multivariate=False, constant_liar=False), space=None)
    assert [trial.params for trial in study.trials] == [params for params, *_ in stock]
    assert stock != by_hand(7, sampler(), space=None), "the two defaults draw alike"
    assert all(not trial.intermediate_values for trial in study.trials), "no trial of ours behind another sweeper"


def test_rungs_share_the_trials_that_a_sampler_draws_at_random() -> None:
    option = OmegaConf.create({"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 9})
    assert make_sampler(option, parse_space({"n": "choice(1, 2)"}), 0, 0.5)._n_startup_trials == 5  # type: ignore[attr-defined]
