"""A search that is kept in an experiment, and -m without one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

CHOOSES = "defaults:\n  - override /hparams_search: optuna\nsearch: {n_trials: 2}\n"
NARROWS = """
search: {n_trials: 3}
hydra:
  sweeper:
    baseline: false
    conditional: null
    climb: null
    params: {optimizer.lr: 'tag(log, interval(1e-4, 2e-4))', data.batch_size: null}
"""


@pytest.fixture
def with_experiment(compose_config: Callable[..., DictConfig], tmp_path: Path) -> Callable[..., DictConfig]:
    """Composes with an experiment of this content."""

    def compose(content: str, *overrides: str) -> DictConfig:
        option = tmp_path / "experiment" / "mine.yaml"
        option.parent.mkdir(exist_ok=True)
        option.write_text(f"# @package _global_\n{content}")
        return compose_config(f"hydra.searchpath=['file://{tmp_path}']", *overrides, "experiment=mine", hydra=True)

    return compose


def test_an_experiment_can_choose_the_search(with_experiment: Callable[..., DictConfig]) -> None:
    config = with_experiment(CHOOSES)
    assert config.hydra.sweeper._target_ == "docclf.sweeper.plugin.DocclfSweeper"
    assert config.hydra.sweeper.n_trials == 2


def test_an_experiment_can_narrow_the_search_in_either_order(with_experiment: Callable[..., DictConfig]) -> None:
    sweeper = with_experiment(NARROWS, "hparams_search=optuna").hydra.sweeper
    assert (
        sweeper.params["optimizer.lr"] == "tag(log, interval(1e-4, 2e-4))" and sweeper.params["data.batch_size"] is None
    )
    assert sweeper.baseline is False and sweeper.n_trials == 3


def test_an_experiment_and_a_search_may_want_options_of_the_same_group(
    with_experiment: Callable[..., DictConfig], compose_config: Callable[..., DictConfig]
) -> None:
    config = with_experiment("defaults:\n  - override /validation: full\n", "hparams_search=optuna")
    assert config.validation.folds == 5
    assert compose_config("experiment=highperf", "hparams_search=quick", "model=mobilenet").search.n_trials == 8


@pytest.mark.parametrize("given", [(), ("optimizer.lr=1e-3",), ("experiment=basic",)])
def test_a_sweep_over_nothing_is_no_search(given: tuple[str, ...], tmp_path: Path) -> None:
    command: list[Any] = [sys.executable, "-m", "docclf.train", "-m", *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "-m hparams_search=optuna" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
