"""Members of a team are told before the first trial that the default seed is everybody's."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from docclf.cli.members import own_seed, tell_seed

Compose = Callable[..., DictConfig]


@pytest.fixture
def compose(compose_config: Compose, tmp_path: Path) -> Compose:
    def call(*overrides: str) -> DictConfig:
        cfg = compose_config("hparams_search=optuna", *overrides, hydra=True)
        OmegaConf.set_struct(cfg, False)
        OmegaConf.update(cfg, "hydra.runtime.cwd", str(tmp_path))
        cfg.hydra.overrides.task = list(overrides)
        return cfg

    return call


def test_a_new_search_of_the_default_seed_says_so_with_another_one(
    compose: Compose, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tell_seed(compose())
    (message,) = caplog.messages
    assert "search.seed=42, as everybody has it" in message and f"search.seed={own_seed()}." in message


@pytest.mark.parametrize("said", ["search.seed=42", "search.seed=7", "search.storage=team.log"])
def test_whoever_has_said_a_seed_or_shares_the_study_is_not_told(
    compose: Compose, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    caplog.set_level(logging.INFO)
    tell_seed(compose(said))
    assert not caplog.messages


def test_a_search_that_goes_on_is_not_told(compose: Compose, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "multirun" / "search").mkdir(parents=True)
    (tmp_path / "multirun" / "search" / "multirun.yaml").touch()
    tell_seed(compose())
    assert not caplog.messages


def test_a_seed_of_ones_own_is_the_same_again_and_not_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = {}
    for who in ("ann", "bob", "kim"):
        monkeypatch.setenv("LOGNAME", who)
        seeds[who] = own_seed()
        assert own_seed() == seeds[who]
    assert len(set(seeds.values())) == 3 and 42 not in seeds.values()
