"""Hydra's override grammar, read as what Optuna draws from, and written back."""

import inspect
import math
import shlex
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import PurePath
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString, RangeSweep, Transformer
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from docclf.errors import SpaceError
from docclf.safety.untrusted import change_each
from docclf.sweeper.hydra_private import distribution_of

# What a study's storage holds as it is; everything else is held as the text of its override.
_PLAIN = (bool, int, float, type(None))
_MOST_VALUES = 1_000_000  # of a range of fractions, which Hydra goes through one by one


def parse_override(text: str, loader: ConfigLoader | None = None) -> Override:
    """Parse one override in Hydra's grammar.

    Args:
        loader: Knows the options of config groups, which `glob` asks for.

    Raises:
        SpaceError: It cannot be parsed.
    """
    try:
        (override,) = _parser(loader).parse_overrides([text])
    except (HydraException, ValueError, TypeError) as error:
        raise _refusal(text, error) from error
    return override


def _parser(loader: ConfigLoader | None) -> OverridesParser:
    """Hydra's parser, but for `choice`, which takes null too (hydra#1929; to be removed when Hydra's does)."""

    def choice(*args: str | int | float | bool | dict[Any, Any] | list[Any] | ChoiceSweep | None) -> ChoiceSweep:
        return hydras(*args)

    functions = create_functions()
    hydras: Callable[..., ChoiceSweep] = functions.functions["choice"]
    functions.functions["choice"] = choice
    functions.definitions["choice"] = inspect.signature(choice)
    return OverridesParser(functions, loader)


def to_distribution(override: Override) -> BaseDistribution:
    """What a sweep draws from. A choice is one of its elements, as `encode` has them.

    Raises:
        SpaceError: Nothing could ever be drawn.
    """
    text = override.input_line or ""
    try:
        # The order of a set means nothing to a sampler, and a continued study must have the same one.
        if isinstance(sweep := override.value(), ChoiceSweep | RangeSweep):
            sweep.shuffle = False
        if isinstance(sweep, RangeSweep) and _n_values(sweep) > _MOST_VALUES:
            raise ValueError(f"it has more than {_MOST_VALUES:,} values: say interval(low, high)")
        if (tags := getattr(sweep, "tags", None)) and not ("log" in tags and override.is_interval_sweep()):
            raise ValueError("the one tag is log, of an interval")
        if override.is_choice_sweep():
            choices: list[Any] = []
            for element in override.sweep_iterator():
                choice = encode(element)
                if any(choice == other and type(choice) is type(other) for other in choices):
                    continue
                # To Optuna, 1, 1.0 and true are one choice.
                choices.append(str(choice) if choice in choices else choice)
            if not choices:
                raise ValueError("no option of the group matches")
            return CategoricalDistribution(choices)
        distribution = distribution_of(override)
        if isinstance(distribution, FloatDistribution) and not (
            math.isfinite(distribution.low) and math.isfinite(distribution.high)
        ):
            raise ValueError(f"its bounds must be finite, but are {distribution.low} and {distribution.high}")
        return distribution
    except (HydraException, ArithmeticError, ValueError, TypeError, AssertionError, NotImplementedError) as error:
        raise _refusal(text, error) from error  # ArithmeticError: bounds that are no numbers


def _n_values(sweep: RangeSweep) -> float:
    """How many numbers a range of fractions has, about; one of whole numbers is drawn from whatever it has."""
    numbers = (sweep.start or 0, sweep.stop or 0, sweep.step)
    if all(isinstance(number, int) for number in numbers) or not sweep.step:
        return 0.0
    start, stop, step = map(float, numbers)
    return abs((stop - start) / step) if step else math.inf


def encode(value: Any) -> Any:
    """A value as a study holds it: the text of its override, unless it is a number, a bool or null.

    Strings stay as they are where Hydra reads them as themselves. `decode` goes back; of a typed config, a member of an
    enumeration is its name and a path its text.

    >>> encode(None), encode("adamw"), encode("1"), encode([8, "a b"]), encode("c,d"), encode(PurePath("a"))
    (None, 'adamw', "'1'", "[8,'a b']", "'c,d'", 'a')
    """
    value = change_each(value, lambda v: v.name if isinstance(v, Enum) else str(v) if isinstance(v, PurePath) else v)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, QuotedString):
        value = value.text
    if isinstance(value, str) and _is_bare(value):
        return value
    return Transformer.str(change_each(value, lambda v: QuotedString(v, Quote.single) if isinstance(v, str) else v))


def decode(value: Any) -> Any:
    """A value of a study as the config has it.

    >>> decode(0.1), decode("adamw"), decode("'1'"), decode("[8,null]"), decode("{a:1}")
    (0.1, 'adamw', '1', [8, None], {'a': 1})
    """
    return parse_override(f"x={value}").value() if isinstance(value, str) else value


def to_text(value: Any) -> str:
    """A value of a study as the right side of an override.

    >>> to_text(None), to_text(True), to_text(1e-05), to_text("'c,d'")
    ('null', 'True', '1e-05', "'c,d'")
    """
    return value if isinstance(value, str) else Transformer.str(value)


def typed(key: str, value: Any) -> str:
    """An override as it is typed into a shell: quoted for Hydra, and then for the shell.

    >>> print(typed("run", "multirun/a"), typed("run", "실험 (b)"), typed("run", "$a's"))
    run=multirun/a "run='실험 (b)'" 'run='"'"'$a\\'"'"'s'"'"''
    """
    text = f"{key}={to_text(encode(value))}"
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def _is_bare(text: str) -> bool:
    """Whether Hydra reads a text without quotes as the string itself."""
    try:
        override = parse_override(f"x={text}")
    except SpaceError:
        return False
    return not override.is_sweep_override() and bool(override.value() == text)


def is_among(value: Any, choices: Iterable[Any]) -> bool:
    """Whether a value is one of several, all in the form of a study.

    >>> is_among(1.0, (1, 2)), is_among(True, (1, 2))
    (True, False)
    """
    return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a distribution can yield a value, in the form of a study.

    >>> contains(IntDistribution(0, 10, step=5), 5), contains(IntDistribution(0, 10, step=5), 6)
    (True, False)
    """
    if isinstance(distribution, CategoricalDistribution):
        return is_among(value, distribution.choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.low <= value <= distribution.high:
        return False
    steps = (value - distribution.low) / distribution.step if distribution.step else 0.0
    return abs(steps - round(steps)) < 1e-8


def draw(trial: Trial, name: str, distribution: Any) -> Any:
    """Have a trial draw one value of a distribution, in the form of a study."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    suggest: Any = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    return suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def describe(distribution: BaseDistribution) -> str:
    """A distribution as a reader writes it.

    >>> describe(FloatDistribution(0.1, 1, log=True)), describe(CategoricalDistribution([1, 2, None]))
    ('0.1..1.0 (log)', '1, 2, null')
    >>> describe(IntDistribution(0, 10, step=5))
    '0..10 (step 5)'
    """
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(to_text, distribution.choices))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    kind = (
        " (log)" if distribution.log else f" (step {distribution.step})" if distribution.step not in (None, 1) else ""
    )
    return f"{distribution.low}..{distribution.high}{kind}"


def extremes(distribution: BaseDistribution) -> list[Any]:
    """Every choice, or the two ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low, distribution.high]


def _refusal(text: str, error: Exception) -> SpaceError:
    reason = str(error).rstrip(".") or "Optuna cannot draw from it"
    return SpaceError(
        f"Expected a range or choice with at least one value, got `{text}`: {reason}. "
        "Write for example `tag(log, interval(1e-5, 1e-2))`, `interval(0.0, 0.3)` or `choice(16, 32)`."
    )
