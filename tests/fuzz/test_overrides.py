"""Overrides with values of all kinds for every key of conf/: each is taken, or refused in words before it starts."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forked import command, is_told, require_told, served
from omegaconf import DictConfig
from slowly import slowly

from docclf.cli.key_table import TABLES
from docclf.predict import main as predict
from docclf.sweeper.space.keys import leaves
from docclf.train import main as train

VALUES = (
    *("abc", "null", "true", "false", "-1", "0", "1", "2", "5", "0.5", "1.5", "-0.001", "1e9", "1e-12", "1e400"),
    *(
        "nan",
        "inf",
        "''",
        "' '",
        "..",
        "/",
        "a/b",
        "[]",
        "[1]",
        "[a,b]",
        "{}",
        "{a: 1}",
        "'\\n'",
        "서식",
        "12abc",
        "???",
    ),
    *("'${seed}'", "'${no_key}'", "'${oc.env:NONE}'", "999999999999999999999", "0x10", "1_000", "'-'", "auto", "none"),
)
SPACES = (
    *("choice({})", "choice({},{})", "interval({},{})", "range({},{})", "tag(log,interval({},{}))", "shuffle({},{})"),
    *("glob(*)", "choice()", "interval({})", "sort({},{})", "int(interval({},{}))"),
)


def inputs(config: DictConfig, seed: int, n: int) -> Iterator[tuple[bool, list[str]]]:
    """Whether it is a search, and its overrides."""
    draw = random.Random(seed)
    keys = [key for key in leaves(config) if not key.endswith(("_target_", "_partial_"))]
    ours = [key for key in leaves(config.hydra) if key.startswith("sweeper.") and not key.endswith("_target_")]
    sweeper = [f"hydra.{key}" for key in ours]
    for i in range(n):
        key = draw.choice(sweeper if i % 5 == 4 else keys)
        is_search = i % 2 == 0 or i % 5 == 4
        value = draw.choice(VALUES)
        if is_search and i % 3 == 0 and not key.startswith("hydra"):
            value = draw.choice(SPACES).format(draw.choice(VALUES), draw.choice(VALUES))
        others = [f"{draw.choice(keys)}={draw.choice(VALUES)}"] if i % 7 == 0 else []
        yield is_search, [f"{key}={value}", *others]


@pytest.fixture(scope="module")
def config(compose_config: Callable[..., DictConfig]) -> DictConfig:
    return compose_config("hparams_search=optuna", "optimizer=sgd", hydra=True)


@pytest.mark.parametrize(("seed", "n"), [(0, 7), *slowly((1, 270))])
def test_an_override_is_taken_or_refused_in_words(seed: int, n: int, config: DictConfig, tmp_path: Path) -> None:
    untold = []
    for is_search, given in inputs(config, seed, n):
        before = ["-m", "hparams_search=optuna", "hydra.sweeper.preload=null"] if is_search else []
        nowhere = ["data=csv", "data.root=nowhere", "optimizer=sgd"]  # so that what is taken trains nothing
        code, output = served(command(train, *before, *nowhere, *given), tmp_path)
        if not is_told(code, output):
            untold.append(f"{given}, exit code {code}\n{output[-3000:]}")
    assert not untold, f"{len(untold)} of {n}:\n" + "\n".join(untold)


@pytest.mark.parametrize(("seed", "n"), [(0, 3), *slowly((1, 45))])
def test_so_is_one_of_predict(seed: int, n: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    for _ in range(n):
        given = [f"{draw.choice(list(TABLES['predict']))}={draw.choice(VALUES)}" for _ in range(2)]
        code, output = served(command(predict, "run=nowhere", "data.root=nowhere", *given), tmp_path)
        require_told(code, output, given)
        assert code
