"""The search space: what the config and the command line make of it, conditions, and the draws of a trial."""

from dataclasses import replace
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from docclf.errors import SpaceError
from docclf.sweeper.space.parameters import key_of
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.samplers import Grid, make_sampler

LR = FloatDistribution(1e-5, 1e-2, log=True)
# Two backbones with ranges of their own, one of them with an optimizer to choose
BACKBONES: list[dict[str, Any]] = [
    {"when": {"model": "swin"}, "params": {"lr": "tag(log, interval(1e-5, 1e-3))", "decay": "interval(0, 0.3)"}},
    {
        "when": {"model": "resnet"},
        "params": {"lr": "tag(log, interval(1e-3, 1e-1))", "optimizer": "choice(sgd, adamw)"},
    },
    {"when": {"model": "resnet", "optimizer": "sgd"}, "params": {"momentum": "interval(0.5, 0.99)", "nesterov": True}},
]


@pytest.mark.parametrize("text", ["x=5", "x=0.001", "x=abc", "x=null", "x=[1,2]", "x='a=b'", "+new=5", "~x", "~x=3"])
def test_one_value_or_a_deletion_goes_to_every_trial_as_it_was_written(text: str) -> None:
    space = parse_space({"lr": "choice(1, 2)"}, [text])
    assert list(space.distributions) == ["lr"]
    assert space.overrides({"lr": 2}) == ("lr=2", text)


@pytest.mark.parametrize(
    ("arguments", "distributions", "overrides"),
    [
        (["lr=interval(0.1, 0.2)"], {"lr": FloatDistribution(0.1, 0.2), "n": IntDistribution(0, 4)}, ("seed=1",)),
        (["lr=0.1"], {"n": IntDistribution(0, 4)}, ("seed=1", "lr=0.1")),
        (["lr=0.1", "n=2"], {}, ("seed=1", "lr=0.1", "n=2")),
        (
            ["lr=0.1", "lr=choice(1, 2)"],
            {"n": IntDistribution(0, 4), "lr": CategoricalDistribution([1, 2])},
            ("seed=1",),
        ),
        (["seed=2"], {"lr": LR, "n": IntDistribution(0, 4)}, ("seed=2",)),
        (["seed=choice(1, 2)"], {"lr": LR, "n": IntDistribution(0, 4), "seed": CategoricalDistribution([1, 2])}, ()),
        (["~lr"], {"n": IntDistribution(0, 4)}, ("seed=1", "~lr")),
        (["++lr=0.1", "+seed=2"], {"n": IntDistribution(0, 4)}, ("++lr=0.1", "+seed=2")),
    ],
)
def test_the_command_line_narrows_fixes_and_extends_the_space_of_the_config(
    arguments: list[str], distributions: dict[str, BaseDistribution], overrides: tuple[str, ...]
) -> None:
    space = parse_space({"lr": "tag(log, interval(1e-5, 1e-2))", "n": "range(5)", "seed": 1}, arguments)
    assert space.distributions == distributions
    assert space.fixed == overrides


def test_a_range_that_the_command_line_narrows_keeps_its_place_in_the_order_of_draws() -> None:
    space = parse_space({"a": "range(5)", "b": "range(5)"}, ["c=choice(1, 2)", "a=range(3)"])
    assert list(space.distributions) == ["a", "b", "c"]


def test_values_of_the_yaml_need_no_grammar() -> None:
    space = parse_space({"sizes": [8, None], "name": "${other}", "on": True, "left_out": None, "a": {"b": 1}})
    assert space.fixed == ("sizes=[8,null]", "name=${other}", "on=True", "a={b:1}")


def test_the_json_of_a_space_depends_on_its_content_and_not_on_the_order_or_the_fixed_values() -> None:
    space = parse_space({"a": "choice(1, 2)", "b": "interval(0, 1)"}, ["seed=1"])
    assert space.to_json() == parse_space({"b": "interval(0.0, 1.0)"}, ["a=1, 2"]).to_json()
    for other in ("choice(2, 1)", "choice(1, 2, 3)", "range(1, 3)", "choice('1', '2')"):
        assert space.to_json() != parse_space({"a": other, "b": "interval(0, 1)"}, []).to_json()


def test_a_grid_has_every_point_of_a_finite_space_and_refuses_an_interval_and_conditions() -> None:
    option = OmegaConf.create({"_target_": "optuna.samplers.GridSampler", "_partial_": True, "seed": None})
    grid = make_sampler(
        option, parse_space({"a": "choice(1, 2)", "b": "range(0, 6, 2)", "c": "range(0.1, 0.4, 0.1)"}), 0
    )
    assert isinstance(grid, Grid)
    assert grid.size == 2 * 3 * 3
    with pytest.raises(SpaceError, match=r"finite set of values of `d`.*range\(start, stop, step\)"):
        make_sampler(option, parse_space({"d": "interval(0, 1)"}), 0)
    with pytest.raises(SpaceError, match=r"without `conditional` for a grid.*sampler=tpe"):
        make_sampler(option, parse_space({"model": "choice(swin, resnet)"}, [], BACKBONES), 0)


# Conditions


@pytest.mark.parametrize(
    ("draws", "overrides"),
    [
        ({"model": "swin", "lr [model=swin]": 1e-4, "decay": 0.1}, {"model=swin", "lr=0.0001", "decay=0.1"}),
        (
            {"model": "resnet", "lr [model=resnet]": 0.01, "optimizer": "adamw"},
            {"model=resnet", "lr=0.01", "optimizer=adamw"},
        ),
        (
            {"model": "resnet", "lr [model=resnet]": 0.01, "optimizer": "sgd", "momentum": 0.9},
            {"model=resnet", "lr=0.01", "optimizer=sgd", "momentum=0.9", "nesterov=True"},
        ),
    ],
)
def test_a_trial_draws_what_its_conditions_leave_and_its_job_gets_just_that(
    draws: dict[str, Any], overrides: set[str]
) -> None:
    space = parse_space({"model": "choice(swin, resnet)"}, [], BACKBONES)
    study = optuna.create_study()
    study.enqueue_trial(draws)
    trial = study.ask()
    space.suggest(trial)
    assert trial.params == draws
    assert set(space.overrides(trial.params)) == overrides
    values = {key_of(name): value for name, value in draws.items()}
    assert space.to_names(values) == draws
    assert space.misfits(values) == {}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_learn_in_each_branch_and_importances_are_there() -> None:
    space = parse_space({"model": "choice(swin, resnet)"}, [], BACKBONES)
    option = OmegaConf.create({"_target_": "optuna.samplers.TPESampler", "seed": 0, "n_startup_trials": 10})
    study = optuna.create_study(sampler=make_sampler(option, space, 0))
    for _ in range(40):
        trial = study.ask()
        space.suggest(trial)
        values = {key_of(name): value for name, value in trial.params.items()}
        study.tell(trial, abs(values["lr"] - 1e-4) * 100 + (values["model"] == "resnet"))
    late = [trial.params["model"] for trial in study.trials[20:]]
    assert late.count("swin") > 14, "the better branch is drawn more often"
    assert set(optuna.importance.get_param_importances(study)) == set(space.distributions)


def test_the_later_of_two_conditions_counts_and_a_key_of_one_place_keeps_its_name() -> None:
    conditional = [
        {"when": {"n": [2, 3]}, "params": {"lr": "interval(0, 2)"}},
        {"when": {"n": 3}, "params": {"lr": "interval(0, 3)", "only": "interval(0, 1)"}},
    ]
    space = parse_space({"n": "range(1, 4)", "lr": "interval(0, 1)"}, [], conditional)
    assert list(space.distributions) == ["n", "lr", "lr [n=2|3]", "lr [n=3]", "only"]
    for n, name in {1: "lr", 2: "lr [n=2|3]", 3: "lr [n=3]"}.items():
        assert set(space.to_names({"n": n, "lr": 0.5, "only": 0.5})) == {"n", name, *(["only"] if n == 3 else [])}


def test_a_value_on_the_command_line_takes_a_key_out_of_its_conditions_too() -> None:
    space = parse_space({"model": "choice(swin, resnet)"}, ["lr=0.1"], BACKBONES)
    assert "lr=0.1" in space.fixed
    assert not [name for name in space.distributions if name.startswith("lr")]


@pytest.mark.parametrize(
    ("conditional", "message"),
    [
        ([{"when": {"model": "vit"}, "params": {"a": 1}}], r"a value that `model` can have \(swin, resnet\), got vit"),
        ([{"when": {"model": "swin"}}], r"entries of `conditional` with `when` and `params`"),
        ([{"when": {}, "params": {"a": 1}}], r"entries of `conditional` with `when` and `params`"),
        (
            [
                {"when": {"a": 1}, "params": {"b": "choice(1, 2)"}},
                {"when": {"b": 1}, "params": {"a": "choice(1, 2)"}},
            ],
            r"wait for each other: `b` for `a`, `a` for `b`",
        ),
        ([{"when": {"model": "swin"}, "params": {"a": "interval(1, 0)"}}], r"got `a=interval\(1, 0\)`"),
    ],
)
def test_a_condition_that_can_never_hold_is_refused(conditional: list[Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        parse_space({"model": "choice(swin, resnet)"}, [], conditional)


BLOCKS = [
    {"when": {"tune": "head"}, "params": {"c": "interval(0, 1)"}},
    {"when": {"tune": ["last", "all"]}, "params": {"lr": "interval(0, 1)"}},
]


def test_a_sweep_on_the_command_line_narrows_a_key_where_its_condition_holds() -> None:
    space = parse_space({"tune": "choice(head, last, all)"}, ["lr=interval(0.2, 0.4)"], BLOCKS)
    (lr,) = (p for p in space.parameters if p.key == "lr")
    assert lr.when == {"tune": ("last", "all")}
    assert space.distributions["lr"] == FloatDistribution(0.2, 0.4)
    assert "lr" not in {p.key for p in parse_space({}, ["lr=0.3", "tune=head,last,all"], BLOCKS).parameters}


def test_conditions_that_a_narrowed_key_cannot_fulfil_are_left_out() -> None:
    space = parse_space({"tune": "choice(head, last, all)"}, ["tune=choice(all, other)"], BLOCKS)
    assert space.keys == ["tune", "lr"]
    assert space.parameters[1].when == {"tune": ("all",)}


def test_a_space_whose_conditions_are_all_decided_is_an_ordinary_one() -> None:
    space = replace(parse_space({}, ["tune=last"], BLOCKS), constants={"tune": "last"})
    assert not space.is_conditional and [p.key for p in space.active({"lr": 0.3})] == ["lr"]
    assert parse_space({"tune": "choice(head, last, all)"}, [], BLOCKS).is_conditional
