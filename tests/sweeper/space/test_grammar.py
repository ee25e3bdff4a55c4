"""Override text as distributions and back: what is read, what is refused, and values that come back as themselves."""

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from docclf.errors import SpaceError
from docclf.sweeper.space.grammar import (
    contains,
    decode,
    describe,
    encode,
    extremes,
    parse_override,
    to_distribution,
    to_text,
)

LR = FloatDistribution(1e-5, 1e-2, log=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0, 1)", FloatDistribution(0, 1)),
        ("interval(-1e-3, 2.5)", FloatDistribution(-1e-3, 2.5)),
        ("interval(1, 1)", FloatDistribution(1, 1)),
        ("int(interval(1, 10))", IntDistribution(1, 10)),
        ("tag(log, interval(1e-5, 1e-2))", LR),
        ("tag(first, log, interval(1e-5, 1e-2))", LR),
        ("tag(log, int(interval(1, 100)))", IntDistribution(1, 100, log=True)),
        ("range(5)", IntDistribution(0, 4)),
        ("range(1, 5)", IntDistribution(1, 4)),
        ("shuffle(range(1, 5))", IntDistribution(1, 4)),
        ("range(0, 10, 5)", IntDistribution(0, 5, step=5)),
        ("range(10, 0, -2)", IntDistribution(2, 10, step=2)),
        ("range(0.0, 0.3, 0.1)", FloatDistribution(0, 0.2, step=0.1)),
        ("choice(16, 32)", CategoricalDistribution([16, 32])),
        ("16, 32", CategoricalDistribution([16, 32])),
        ("choice(0.1, 1)", CategoricalDistribution([0.1, 1])),
        ("choice(true, false)", CategoricalDistribution([True, False])),
        ("choice(null, 1)", CategoricalDistribution([None, 1])),
        ("null, 1", CategoricalDistribution([None, 1])),
        ("choice(adamw, sgd)", CategoricalDistribution(["adamw", "sgd"])),
        ("choice('two words', one)", CategoricalDistribution(["two words", "one"])),
        ("choice('a','c,d')", CategoricalDistribution(["a", "'c,d'"])),
        ("choice('1', 1)", CategoricalDistribution(["'1'", 1])),
        ("choice([8, 16], [32])", CategoricalDistribution(["[8,16]", "[32]"])),
        ("choice({a: 1}, {a: 2})", CategoricalDistribution(["{a:1}", "{a:2}"])),
        ("choice(1, 1.0, true, 1)", CategoricalDistribution([1, "1.0", "True"])),
        ("choice(only)", CategoricalDistribution(["only"])),
        ("sort(3, 1, 2)", CategoricalDistribution([1, 2, 3])),
    ],
)
def test_a_sweep_becomes_its_distribution(text: str, expected: BaseDistribution) -> None:
    distribution = to_distribution(parse_override(f"some.key={text}"))
    assert distribution == expected
    if isinstance(distribution, CategoricalDistribution):
        assert [type(choice) for choice in distribution.choices] == [type(choice) for choice in expected.choices]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1.5,
        1e-05,
        "adamw",
        "two words",
        "c,d",
        "1",
        "null",
        "true",
        "",
        "it's",
        "a=b",
        "[1]",
        "{a: 1}",
        "${other.key}",
        "한글",
        "C:\\new\\",
        [1, None, "x y", [2.5]],
        [],
        {"a": 1, "b": "c,d"},
    ],
)
def test_a_value_comes_back_as_itself_through_the_study_and_through_its_override(value: object) -> None:
    held = encode(value)
    assert isinstance(held, str | int | float | type(None)), "what Optuna can store"
    assert decode(held) == value
    assert type(decode(held)) is type(value)
    assert parse_override(f"x={to_text(held)}").value() == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x=interval(1, 0)", "low=1.0, high=0.0"),
        ("x=int(interval(10, 1))", "low=10, high=1"),
        ("x=interval(nan, 1)", "bounds must be finite"),
        ("x=interval(0, inf)", "bounds must be finite"),
        ("x=tag(log, interval(0, 1))", "`low > 0` must hold"),
        ("x=tag(log, interval(-1.0, 1.0))", "`low > 0` must hold"),
        ("x=tag(Log, interval(0.1, 1))", "the one tag is log, of an interval"),
        ("x=tag(nosuch, choice(1, 2))", "the one tag is log, of an interval"),
        ("x=tag(log, range(1, 5))", "the one tag is log, of an interval"),
        ("x=choice()", "empty choice"),
        ("x=range(5, 5)", "at least one value"),
        ("x=range(1, 0)", "at least one value"),
        ("x=range(1, 5, 0)", "nonzero step"),
        ("x=interval(1)", "missing a required argument: 'end'"),
        ("x=interval(a, b)", "str is incompatible"),
        ("x=interval(0, 1", "no viable alternative"),
        ("x=uniform(0, 1)", "Unknown function 'uniform'"),
        ("x", "missing EQUAL"),
        ("", "got ``"),
        ("x=range(inf,1e400)", "Infinity to integer ratio"),
        ("x=range(1.5,true)", "ConversionSyntax"),
    ],
)
def test_a_sweep_without_a_value_is_refused_with_its_text_the_reason_and_an_example(text: str, reason: str) -> None:
    with pytest.raises(SpaceError) as refused:
        to_distribution(parse_override(text))
    assert f"got `{text}`" in str(refused.value)
    assert reason in str(refused.value)
    assert "`choice(16, 32)`" in str(refused.value)


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
        (CategoricalDistribution([1, 2]), True, False),
    ],
)
def test_contains_tells_what_a_distribution_can_yield(
    distribution: BaseDistribution, value: object, inside: bool
) -> None:
    assert contains(distribution, value) is inside


def test_a_distribution_is_described_as_a_reader_writes_it() -> None:
    assert describe(IntDistribution(1, 5)) == "1..5"
    assert describe(CategoricalDistribution([None, "a"])) == "null, a"


def test_the_extremes_are_every_choice_or_the_ends_of_a_range() -> None:
    assert extremes(CategoricalDistribution([None, "a", 3])) == [None, "a", 3]
    assert extremes(LR) == [1e-5, 1e-2]


@pytest.mark.parametrize("text", ["range(0, 1, 1e-300)", "range(0, 1, 1e-9)", "range(1.0, 1e12)"])
def test_a_range_that_would_be_gone_through_for_ever_is_refused(text: str) -> None:
    with pytest.raises(SpaceError, match=r"more than 1,000,000 values: say interval\(low, high\)"):
        to_distribution(parse_override(f"some.key={text}"))


def test_whole_numbers_may_be_very_many() -> None:
    assert to_distribution(parse_override("some.key=range(1, 1000000000)")) == IntDistribution(1, 999_999_999)
