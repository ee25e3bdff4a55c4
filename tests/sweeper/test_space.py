"""The search space: what is read from override text, what is refused, and the checks before the first trial."""

import re

import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from docclf.errors import SpaceError
from docclf.sweeper.samplers import Grid, make_sampler
from docclf.sweeper.space import baseline, check_keys, contains, describe, parse_space

LR = FloatDistribution(1e-5, 1e-2, log=True)


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
    ("text", "expected"),
    [
        ("interval(0, 1)", FloatDistribution(0, 1)),
        ("interval(-1e-3, 2.5)", FloatDistribution(-1e-3, 2.5)),
        ("interval(1, 1)", FloatDistribution(1, 1)),
        ("int(interval(1, 10))", IntDistribution(1, 10)),
        ("tag(log, interval(1e-5, 1e-2))", LR),
        ("tag(log, int(interval(1, 100)))", IntDistribution(1, 100, log=True)),
        ("range(5)", IntDistribution(0, 4)),
        ("range(1, 5)", IntDistribution(1, 4)),
        ("range(0, 10, 5)", IntDistribution(0, 5, step=5)),
        ("range(10, 0, -2)", IntDistribution(2, 10, step=2)),
        ("range(0.0, 0.3, 0.1)", FloatDistribution(0, 0.2, step=0.1)),
        ("choice(16, 32)", CategoricalDistribution([16, 32])),
        ("16, 32", CategoricalDistribution([16, 32])),
        ("choice(0.1, 1)", CategoricalDistribution([0.1, 1])),
        ("choice(true, false)", CategoricalDistribution([True, False])),
        ("choice(adamw, sgd)", CategoricalDistribution(["adamw", "sgd"])),
        ("choice('two words', one)", CategoricalDistribution(["two words", "one"])),
        ("choice(only)", CategoricalDistribution(["only"])),
        ("sort(3, 1, 2)", CategoricalDistribution([1, 2, 3])),
    ],
)
def test_a_sweep_becomes_its_distribution_from_the_config_as_from_the_command_line(
    text: str, expected: BaseDistribution
) -> None:
    assert parse_space({"some.key": text}, []).distributions == {"some.key": expected}
    assert parse_space(None, [f"some.key={text}"]).distributions == {"some.key": expected}
    assert parse_space(None, [f"some.key={text}"]).fixed == ()


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
    ],
)
def test_the_command_line_narrows_fixes_and_extends_the_space_of_the_config(
    arguments: list[str], distributions: dict[str, BaseDistribution], overrides: tuple[str, ...]
) -> None:
    space = parse_space({"lr": "tag(log, interval(1e-5, 1e-2))", "n": "range(5)", "seed": 1}, arguments)
    assert space.distributions == distributions
    assert space.fixed == overrides


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x=interval(1, 0)", "low=1.0, high=0.0"),
        ("x=int(interval(10, 1))", "low=10, high=1"),
        ("x=interval(nan, 1)", "bounds must be finite"),
        ("x=interval(0, inf)", "bounds must be finite"),
        ("x=tag(log, interval(0, 1))", "`low > 0` must hold"),
        ("x=tag(log, interval(-1.0, 1.0))", "`low > 0` must hold"),
        ("x=choice()", "empty choice"),
        ("x=range(5, 5)", "at least one value"),
        ("x=range(1, 0)", "at least one value"),
        ("x=range(1, 5, 0)", "nonzero step"),
        ("x=interval(1)", "missing a required argument: 'end'"),
        ("x=interval(a, b)", "str is incompatible"),
        ("x=interval(0, 1", "no viable alternative"),
        ("x=uniform(0, 1)", "Unknown function 'uniform'"),
        ("x=glob(*)", "Optuna cannot draw from it"),
        ("x", "missing EQUAL"),
        ("", "got ``"),
    ],
)
def test_a_sweep_without_a_value_is_refused_with_its_text_the_reason_and_an_example(text: str, reason: str) -> None:
    with pytest.raises(SpaceError) as refused:
        parse_space(None, [text])
    assert f"got `{text}`" in str(refused.value)
    assert reason in str(refused.value)
    assert "`choice(16, 32)`" in str(refused.value)


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
    space = {
        "optimizer.lr": LR,
        "data.batch_size": CategoricalDistribution([16, 32]),
        "model": CategoricalDistribution(["mobilenet", "swin_tiny"]),
        "+optimizer.weight_decay": FloatDistribution(0, 0.1),
    }
    expected = {
        "optimizer.lr": 1e-3,
        "data.batch_size": 32,
        "model": "mobilenet",
        "+optimizer.weight_decay": 0.01,
    }
    assert baseline(space, config) == expected


@pytest.mark.parametrize(
    ("key", "distribution", "got"),
    [
        ("optimizer.lr", FloatDistribution(1e-5, 1e-4, log=True), "1e-05..0.0001 (log), got 0.001"),
        ("data.batch_size", CategoricalDistribution([64, 128]), "64, 128, got 32"),
        ("data.batch_size", IntDistribution(0, 60, step=20), "0..60"),
        ("optimizer.nesterov", FloatDistribution(0, 1), "got None"),
        ("model", CategoricalDistribution(["swin_tiny"]), "swin_tiny, got mobilenet"),
        ("model.name", FloatDistribution(0, 1), "got small"),
        ("+new", FloatDistribution(0, 1), "got None"),
    ],
)
def test_a_default_outside_the_space_is_refused_with_the_ways_out(
    key: str, distribution: BaseDistribution, got: str, config: DictConfig
) -> None:
    with pytest.raises(SpaceError) as refused:
        baseline({key: distribution}, config)
    for part in (f"`{key}`", got, "Widen the range", "hydra.sweeper.baseline=false"):
        assert part in str(refused.value)


def test_a_default_that_is_missing_is_refused_with_the_key(config: DictConfig) -> None:
    with pytest.raises(SpaceError, match=r"`data\.root`"):
        baseline({"data.root": CategoricalDistribution(["a", "b"])}, config)


@pytest.mark.parametrize(
    ("distribution", "value", "inside"),
    [
        (FloatDistribution(0, 1), 0, True),
        (FloatDistribution(0, 1), 1.0, True),
        (FloatDistribution(0, 1), 1.0000001, False),
        (FloatDistribution(0, 1), True, False),
        (FloatDistribution(0, 1), "0.5", False),
        (FloatDistribution(0, 1), None, False),
        (FloatDistribution(0, 1, step=0.1), 0.3, True),
        (FloatDistribution(0, 1, step=0.1), 0.35, False),
        (IntDistribution(0, 10, step=5), 5, True),
        (IntDistribution(0, 10, step=5), 6, False),
        (IntDistribution(1, 10), 2.5, False),
        (CategoricalDistribution([16, "a", None]), "a", True),
        (CategoricalDistribution([16, "a", None]), None, True),
        (CategoricalDistribution([16, "a"]), "16", False),
    ],
)
def test_contains_tells_what_a_distribution_can_yield(
    distribution: BaseDistribution, value: object, inside: bool
) -> None:
    assert contains(distribution, value) is inside


def test_a_distribution_is_described_as_a_reader_writes_it() -> None:
    assert describe(IntDistribution(1, 5)) == "1..5"
    assert describe(CategoricalDistribution([None, "a"])) == "None, a"


def test_the_json_of_a_space_depends_on_its_content_and_not_on_the_order_or_the_fixed_values() -> None:
    space = parse_space({"a": "choice(1, 2)", "b": "interval(0, 1)"}, ["seed=1"])
    assert space.to_json() == parse_space({"b": "interval(0.0, 1.0)"}, ["a=1, 2"]).to_json()
    for other in ("choice(2, 1)", "choice(1, 2, 3)", "range(1, 3)", "choice('1', '2')"):
        assert space.to_json() != parse_space({"a": other, "b": "interval(0, 1)"}, []).to_json()


def test_a_grid_has_every_point_of_a_finite_space_and_refuses_an_interval() -> None:
    option = OmegaConf.create({"_target_": "optuna.samplers.GridSampler", "_partial_": True, "seed": None})
    space = parse_space({"a": "choice(1, 2)", "b": "range(0, 6, 2)", "c": "range(0.1, 0.4, 0.1)"}, [])
    grid = make_sampler(option, space.distributions, 0)
    assert isinstance(grid, Grid)
    assert grid.size == 2 * 3 * 3
    with pytest.raises(SpaceError, match=r"finite set of values of `d`.*range\(start, stop, step\)"):
        make_sampler(option, {"d": FloatDistribution(0, 1)}, 0)
