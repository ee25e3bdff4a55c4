"""Winners of earlier searches are tried first."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from docclf.errors import DataError
from docclf.sweeper.space.parameters import Space
from docclf.sweeper.space.parsing import parse_space
from docclf.sweeper.strategy.memory import most_known, remembered

SPACE = {"optimizer.lr": "interval(1e-4, 1e-2)", "data.batch_size": "choice(8, 16)"}
CONFIG = OmegaConf.create({"model": {"name": "a"}})


@pytest.fixture
def space() -> Space:
    return parse_space(SPACE, [])


def winner(folder: Path, lr: float, batch_size: int, model: str = "a") -> None:
    """What a search leaves of its winner."""
    (folder / "best").mkdir(parents=True)
    params = {"optimizer.lr": lr, "data.batch_size": batch_size, "model.drop_rate": 0.1}
    (folder / "best" / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "best" / "config.yaml").write_text(yaml.safe_dump({"model": {"name": model}}))


def found(place: Path, space: Space, n_trials: float = 8, memory: str = "auto") -> list[dict[str, float]]:
    same, most = ["model.name"], most_known(n_trials)
    return list(remembered(memory, place / "new", space, CONFIG, same=same, most=most).values())


def test_winners_with_the_same_model_count_a_quarter_of_the_trials_the_latest_first(
    tmp_path: Path, space: Space
) -> None:
    for i, lr in enumerate((1e-3, 2e-3, 3e-3)):
        winner(tmp_path / str(i), lr, 8)
    winner(tmp_path / "other", 4e-3, 8, model="b")
    winner(tmp_path / "new", 5e-3, 8)
    winner(tmp_path / "twice", 3e-3, 8)
    assert found(tmp_path, space) == [
        {"optimizer.lr": 3e-3, "data.batch_size": 8},
        {"optimizer.lr": 2e-3, "data.batch_size": 8},
    ]
    assert len(found(tmp_path, space, math.inf)) == 3 and found(tmp_path, space, 3) == []
    assert found(tmp_path, space, memory="none") == [] and len(found(tmp_path, space, 12, str(tmp_path))) == 3


def test_what_this_space_does_not_hold_is_left_to_the_sampler(tmp_path: Path, space: Space) -> None:
    winner(tmp_path / "a", 0.5, 16)
    assert found(tmp_path, space) == [{"data.batch_size": 16}]
    for folder, params in (
        ("damaged", "{"),
        ("list", "[1]"),
        ("date", "optimizer.lr: 2026-01-01"),
        ("bomb", "a: &a [1]\n" + "b: *a\n" * 200),
    ):
        winner(tmp_path / folder, 1e-3, 8)
        (tmp_path / folder / "best" / "params.yaml").write_text(params)
    assert found(tmp_path, space) == [{"data.batch_size": 16}]
    with pytest.raises(DataError, match="auto, none or a folder"):
        found(tmp_path, space, memory=str(tmp_path / "absent"))


HEADS = ("model.tune=head", "search.n_trials=4", "hydra/sweeper/pruner=none", "search.ensemble=false")


@pytest.mark.slow
def test_a_search_begins_with_the_winner_of_the_one_before(make_search: Callable[..., Any], tmp_path: Path) -> None:
    first = make_search(tmp_path, "first")
    first.run(*HEADS, "search.n_trials=2")
    best = yaml.safe_load((first.folder / "best" / "params.yaml").read_text())
    second = make_search(tmp_path, "second")
    assert "Tried first: the winner of first" in second.run(*HEADS)
    config = OmegaConf.load(second.folder / "1" / ".hydra" / "config.yaml")
    assert {key: OmegaConf.select(config, key) for key in best} == best
    assert "Tried first" not in make_search(tmp_path, "third").run(*HEADS, "search.memory=none")
