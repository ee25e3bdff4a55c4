"""What is checked before the first trial: keys, values, the baseline, pruners."""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import optuna
import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from docclf.errors import SpaceError
from docclf.sweeper.space.checks import baseline, check_keys, check_values, values_of
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.pruners import check_pruner


@pytest.fixture
def config() -> DictConfig:
    return OmegaConf.create(
        {
            "optimizer": {"lr": 1e-3, "weight_decay": 0.01, "nesterov": None},
            "data": {"batch_size": 32, "root": "???", "sizes": [1, 2]},
            "model": {"name": "small"},
            "hydra": {"runtime": {"choices": {"model": "mobilenet", "optimizer": "adamw"}}},
        }
    )


@pytest.mark.parametrize(
    "key", ["optimizer.lr", "optimizer.nesterov", "data.root", "data.sizes", "model", "+any.thing"]
)
def test_a_key_of_the_config_a_group_and_a_new_key_may_be_searched(key: str, config: DictConfig) -> None:
    check_keys([key], config)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("optimizer.lrr", "optimizer.lr"),
        ("optimiser.lr", "optimizer.lr"),
        ("lr", None),
        ("data.batchsize", "data.batch_size"),
        ("batch_size", "data.batch_size"),
        ("modle", "model"),
        ("optimizer.lr.start", "optimizer.lr"),
        ("zzz", None),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_one_named(key: str, nearest: str | None, config: DictConfig) -> None:
    with pytest.raises(SpaceError, match=re.escape(f"got `{key}`")) as refused:
        check_keys(["optimizer.lr", key], config)
    if nearest:
        assert nearest in str(refused.value).partition("Nearest: ")[2]


def test_the_baseline_is_what_the_config_has(config: DictConfig) -> None:
    space = parse_space(
        {
            "optimizer.lr": "tag(log, interval(1e-5, 1e-2))",
            "data.batch_size": "choice(16, 32)",
            "data.sizes": "choice([1, 2], [3])",
            "model": "choice(mobilenet, swin_tiny)",
            "optimizer.nesterov": "choice(null, true)",
            "+optimizer.weight_decay": "interval(0, 0.1)",
        }
    )
    assert baseline(space, config) == {
        "optimizer.lr": 1e-3,
        "data.batch_size": 32,
        "data.sizes": "[1,2]",
        "model": "mobilenet",
        "optimizer.nesterov": None,
        "+optimizer.weight_decay": 0.01,
    }


@pytest.mark.parametrize(
    ("key", "sweep", "told"),
    [
        ("optimizer.lr", "tag(log, interval(1e-5, 1e-4))", "1e-05..0.0001 (log), but it is 0.001"),
        ("data.batch_size", "choice(64, 128)", "64, 128, but it is 32"),
        ("data.batch_size", "range(0, 80, 20)", "0..60 (step 20), but it is 32"),
        ("optimizer.nesterov", "interval(0, 1)", "but it is null"),
        ("model", "choice(swin_tiny)", "swin_tiny, but it is mobilenet"),
        ("+new", "interval(0, 1)", "but it is not set"),
        ("data.root", "choice(a, b)", "but it is not set"),
    ],
)
def test_a_default_outside_the_space_is_refused_with_the_ways_out(
    key: str, sweep: str, told: str, config: DictConfig
) -> None:
    with pytest.raises(SpaceError) as refused:
        baseline(parse_space({key: sweep}), config)
    for part in (f"`{key}`", told, "Widen the range", "hydra.sweeper.baseline=false"):
        assert part in str(refused.value)


def test_the_baseline_has_only_what_its_own_values_make_active(config: DictConfig) -> None:
    conditional = [
        {"when": {"model": "mobilenet"}, "params": {"optimizer.lr": "interval(0, 1)"}},
        {"when": {"model": "swin_tiny"}, "params": {"data.batch_size": "choice(1, 2)"}},
    ]
    space = parse_space({"model": "choice(mobilenet, swin_tiny)"}, [], conditional)
    assert baseline(space, config) == {"model": "mobilenet", "optimizer.lr": 1e-3}
    fixed = parse_space({}, [], conditional)
    assert baseline(replace(fixed, constants=values_of(["model"], config)), config) == {"optimizer.lr": 1e-3}


class Composer:
    """Composes everything but overrides that contain a text."""

    def __init__(self, broken: str = "nothing is") -> None:
        self.broken, self.seen = broken, list[set[str]]()

    def __call__(self, overrides: Sequence[str]) -> None:
        self.seen.append(set(overrides))
        if self.broken in overrides:
            raise ConfigCompositionException("Could not find it")


SPACE: dict[str, Any] = {"a": "interval(0, 1)", "b": "interval(2, 3)", "model": "choice(x, y)", "seed": 1}
BRANCHES = [{"when": {"model": "y"}, "params": {"c": "choice(4, 5)", "d": 6}}]


def test_every_choice_and_both_ends_of_every_range_are_composed() -> None:
    compose = Composer()
    check_values(parse_space(SPACE, [], BRANCHES), compose)
    seen = set().union(*compose.seen)
    assert seen == {"a=0.0", "a=1.0", "b=2.0", "b=3.0", "model=x", "model=y", "c=4", "c=5", "d=6", "seed=1"}
    assert all("model=y" in overrides for overrides in compose.seen if overrides & {"c=4", "c=5", "d=6"})


@pytest.mark.parametrize(
    ("broken", "named"),
    [("model=y", "`model=y`"), ("b=3.0", "`b=3.0`"), ("c=5", "`model=y, c=5`"), ("seed=1", "seed=1")],
)
def test_a_value_that_does_not_compose_is_named(broken: str, named: str) -> None:
    with pytest.raises(
        SpaceError, match=f"every value of the search space to compose, but .*{named}.*Could not find it"
    ):
        check_values(parse_space(SPACE, [], BRANCHES), Composer(broken))


@pytest.mark.parametrize(
    ("asked", "earliest"), [({}, 4), ({"p_threshold": 0.2}, 3), ({"p_threshold": 0.25}, 3), ({"n_startup_steps": 6}, 6)]
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_wilcoxon_test_that_can_never_stop_a_trial_is_told_with_the_reports_that_it_needs(
    asked: dict[str, float], earliest: int, caplog: pytest.LogCaptureFixture
) -> None:
    pruner = optuna.pruners.WilcoxonPruner(**asked)  # type: ignore[arg-type]
    check_pruner(pruner, asked, 1, earliest)
    check_pruner(pruner, asked, 1, 0)
    assert not caplog.records
    check_pruner(pruner, asked, 1, earliest - 1)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"after {earliest} reports, and a whole trial makes {earliest - 1}" in caplog.text


def test_a_pruner_is_refused_with_several_objectives() -> None:
    check_pruner(optuna.pruners.NopPruner(), {}, 2, 0)
    with pytest.raises(SpaceError, match=r"no pruner with 2 objectives.*got MedianPruner.*pruner=none"):
        check_pruner(optuna.pruners.MedianPruner(), {}, 2, 0)
