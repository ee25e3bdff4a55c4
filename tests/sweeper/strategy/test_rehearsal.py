"""Options of samplers and pruners that Optuna checks only at work are refused before the first trial."""

from typing import Any

import pytest

from docclf.errors import ConfigError
from docclf.sweeper.config import Settings
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.rehearsal import rehearse

SPACE = parse_space({"x": "interval(0, 1)", "colour": "choice(blue, red)"})
RANDOM = {"_target_": "optuna.samplers.RandomSampler"}
NONE = {"_target_": "optuna.pruners.NopPruner"}


def sampler(kind: str, **options: Any) -> Settings:
    return Settings(sampler={"_target_": f"optuna.samplers.{kind}Sampler", **options}, pruner=NONE)


def pruner(kind: str, **options: Any) -> Settings:
    return Settings(sampler=RANDOM, pruner={"_target_": f"optuna.pruners.{kind}Pruner", **options})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            sampler("TPE", n_startup_trials=500, n_ei_candidates=0, seed=1),
            "`hydra.sweeper.sampler.n_ei_candidates` that Optuna can work with, got 0: ValueError",
        ),
        (sampler("TPE", n_ei_candidates=-2), "`hydra.sweeper.sampler.n_ei_candidates` to be at least 0, got -2"),
        (sampler("TPE", n_startup_trials=-3), "`hydra.sweeper.sampler.n_startup_trials` to be at least 0, got -3"),
        (
            pruner("Hyperband", min_resource=1, reduction_factor=1),
            "`hydra.sweeper.pruner.reduction_factor` that Optuna can work with, got 1: ZeroDivisionError",
        ),
        (
            pruner("Patient", wrapped_pruner="median", patience=100),
            "`hydra.sweeper.pruner.wrapped_pruner` that Optuna can work with, got median: AttributeError",
        ),
        (sampler("BruteForce"), "a sampler that works with this search space, got BruteForceSampler: ValueError"),
    ],
)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_an_option_that_fails_at_work_is_named(settings: Settings, told: str, direction: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rehearse(settings, SPACE, [direction])
    assert told in str(refused.value)
    assert str(refused.value).endswith(("Leave it out.", "Say hydra/sweeper/sampler=tpe."))


@pytest.mark.parametrize("directions", [["minimize"], ["minimize", "maximize"]])
@pytest.mark.parametrize(
    "settings",
    [
        sampler("TPE", n_startup_trials=10, multivariate=True, seed=1),
        sampler("NSGAII", population_size=50),
        sampler("QMC"),
        sampler("GP", n_startup_trials=10),
        pruner("Hyperband", reduction_factor=2),
        pruner("SuccessiveHalving", min_resource=1000),
        pruner("Patient", wrapped_pruner={"_target_": "optuna.pruners.MedianPruner"}, patience=3),
        pruner("Wilcoxon"),
    ],
)
def test_options_that_work_are_taken_without_a_word(
    settings: Settings, directions: list[str], recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    rehearse(settings, SPACE, directions)
    assert not recwarn.list and not caplog.records


def test_a_search_is_refused_with_the_option_before_its_first_trial(toy: Any) -> None:
    output = toy.run("hydra.sweeper.sampler.n_ei_candidates=0", "n_trials=14", code=1).output
    assert "Expected a value of `hydra.sweeper.sampler.n_ei_candidates`" in output
    assert "Traceback" not in output
    assert not toy.folder.exists()


@pytest.mark.slow
def test_a_sampler_that_fails_while_the_search_runs_loses_nothing(toy: Any) -> None:
    toy.run("n_trials=1")
    gp = ("hydra/sweeper/sampler=gp", "+hydra.sweeper.sampler.independent_sampler=random")
    output = toy.run("n_trials=2", *gp, code=1).output
    assert "Expected GPSampler to draw a trial, got AttributeError: 'str' object has no attribute" in output
    assert output.rstrip().endswith("To go on, say hydra/sweeper/sampler=random.")
    assert "Traceback" not in output
    toy.run("n_trials=2", "hydra/sweeper/sampler=random")
    assert [trial.state.name for trial in toy.counted()] == ["COMPLETE", "COMPLETE"]
