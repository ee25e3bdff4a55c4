"""Which loggers a config asks for: by options of `conf/logger`, and by configs of before there were several."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from slowly import slowly

from docclf import CONF_DIR
from docclf.errors import ConfigError
from docclf.loggers.choice import check_loggers, chosen_loggers
from docclf.results.study.trial_config import write_config
from docclf.safety.targets import check_parts
from docclf.train import train

Compose = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], ["csv"]),
        (["logger=csv"], ["csv"]),
        (["logger=wandb"], ["wandb"]),
        (["logger=tensorboard"], ["tensorboard"]),
        (["logger=none"], []),
        (["logger=[]"], []),
        (["logger=[none]"], []),
        (["logger=[csv,wandb]"], ["csv", "wandb"]),
        (["logger=[wandb,tensorboard,csv]"], ["csv", "tensorboard", "wandb"]),
        (["~logger"], []),
        (["logger=[csv,wandb]", "~logger.csv"], ["wandb"]),
        (["logger=[csv,wandb]", "logger.csv=null"], ["wandb"]),
        (["+logger.mine._target_=mine.Logger"], ["csv", "mine"]),
    ],
)
def test_a_choice_is_these_loggers_and_no_others(
    compose_config: Compose, overrides: list[str], names: list[str]
) -> None:
    assert list(chosen_loggers(compose_config(*overrides).get("logger"))) == names


@pytest.mark.parametrize("order", ["[csv,none]", "[none,csv]", "[none,csv,tensorboard]"])
def test_none_beside_others_is_an_error_before_any_work(compose_config: Compose, order: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Expected `logger` to be none or a list of loggers, got none together with"):
        train(compose_config(f"logger={order}", f"data.root={tmp_path / 'pages'}"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_logger_is_answered_with_those_that_are(compose_config: Compose) -> None:
    with pytest.raises(ConfigCompositionException, match=r"(?s)logger/wandbb.*csv\s+none\s+tensorboard\s+wandb"):
        compose_config("logger=wandbb")
    with pytest.raises(ConfigCompositionException, match="logger/wandbb"):
        compose_config("logger=[csv,wandbb]")


# Exported configs


def exported(compose_config: Compose, folder: Path, *overrides: str) -> Callable[..., DictConfig]:
    """Composes after the config that is exported of a run with these overrides."""
    cfg = compose_config(*overrides)
    write_config(folder / "config.yaml", cfg, folder, ["app", "logger", "model", "hparams_search"], "")
    path = f"hydra.searchpath=['file://{CONF_DIR}']"
    return lambda *more: compose_config(path, *more, config="config", folder=folder)


@pytest.mark.parametrize("before", ["[csv,wandb]", *slowly("csv", "wandb", "none", "[]")])
@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("csv", ["csv"]), ("wandb", ["wandb"]), ("tensorboard", ["tensorboard"]), ("none", []),
        ("[csv,tensorboard]", ["csv", "tensorboard"]),
    ],
)  # fmt: skip
def test_a_choice_after_an_exported_config_replaces_its_loggers(
    compose_config: Compose, tmp_path: Path, before: str, override: str, names: list[str]
) -> None:
    compose = exported(compose_config, tmp_path, f"logger={before}")
    plain = compose_config(f"logger={before}").get("logger")
    assert list(chosen_loggers(compose().get("logger"))) == list(chosen_loggers(plain))
    assert list(chosen_loggers(compose(f"logger={override}").get("logger"))) == names


def test_settings_of_a_logger_stay_in_an_exported_config_also_while_another_one_is_chosen(
    compose_config: Compose, tmp_path: Path
) -> None:
    compose = exported(compose_config, tmp_path, "logger=[csv,wandb]", "logger.wandb.project=mine")
    assert chosen_loggers(compose().logger)["wandb"].project == "mine"
    assert compose("logger=wandb").logger.wandb.project == "mine"
    assert "wandb" not in chosen_loggers(compose("logger=csv").logger)
    assert compose("logger=csv").model == compose().model


def test_a_logger_that_is_no_option_of_docclf_is_exported_as_it_is(compose_config: Compose, tmp_path: Path) -> None:
    compose = exported(compose_config, tmp_path, "+logger.mine._target_=mine.Logger")
    assert list(chosen_loggers(compose().logger)) == ["csv", "mine"]


# Configs of before


def former(target: str, **settings: Any) -> DictConfig:
    return OmegaConf.create({"_target_": f"docclf.loggers.{target}", "_partial_": True, **settings})


def test_a_former_config_has_the_logger_that_it_names() -> None:
    assert list(chosen_loggers(former("CsvLogger"))) == ["csv"]
    assert chosen_loggers(former("CsvLogger"))["csv"]._target_ == "docclf.loggers.csv_files.CsvLogger"
    assert chosen_loggers(former("WandbRunLogger", project="mine"))["wandb"].project == "mine"
    assert chosen_loggers(former("RunLogger")) == {}


def test_what_a_former_config_names_passes_the_check_of_parts(compose_config: Compose) -> None:
    cfg = compose_config()
    cfg.logger = former("CsvLogger")
    check_parts(cfg)


@pytest.mark.parametrize(("option", "names"), [("csv", ["csv"]), ("wandb", ["wandb"]), ("none", [])])
def test_an_option_after_a_former_config_replaces_its_logger(option: str, names: list[str]) -> None:
    merged = OmegaConf.merge(former("WandbRunLogger"), OmegaConf.load(CONF_DIR / "logger" / f"{option}.yaml"))
    assert list(chosen_loggers(merged)) == names  # type: ignore[arg-type]


def test_a_former_config_is_exported_so_that_it_still_runs(compose_config: Compose, tmp_path: Path) -> None:
    cfg = compose_config()
    cfg.logger = former("WandbRunLogger")
    write_config(tmp_path / "config.yaml", cfg, tmp_path, ["logger"], "")
    path = f"hydra.searchpath=['file://{CONF_DIR}']"
    assert list(chosen_loggers(compose_config(path, config="config", folder=tmp_path).logger)) == ["wandb"]


@pytest.mark.parametrize("logger", ["csv", ["csv", "wandb"], 3])
def test_what_is_no_mapping_is_answered_with_how_to_choose(logger: Any) -> None:
    with pytest.raises(ConfigError, match=r"Expected `logger` to hold loggers by name, got .*logger=csv"):
        chosen_loggers(OmegaConf.create({"logger": logger}).logger)


def test_an_unknown_class_is_answered_with_where_it_belongs() -> None:
    with pytest.raises(ConfigError, match=r"got the `_target_` mine\.Logger\. Write `logger: \{my_name: "):
        chosen_loggers(OmegaConf.create({"_target_": "mine.Logger"}))


# Packages


@pytest.mark.parametrize(
    ("name", "missing", "install"),
    [
        ("wandb", ["wandb"], r"pip install 'wandb'"),
        ("tensorboard", ["tensorboard", "tensorboardX"], r"pip install 'docclf\[tensorboard\]'"),
    ],
)
def test_a_missing_package_is_an_error_before_any_work(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, missing: list[str], install: str
) -> None:
    for package in missing:
        monkeypatch.setitem(sys.modules, package, None)
    cfg.logger = OmegaConf.load(CONF_DIR / "logger" / f"{name}.yaml")
    with pytest.raises(ConfigError, match=rf"Expected the package {' or '.join(missing)} for logger={name}.*{install}"):
        train(cfg, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_runs_is_not_taken_for_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(ConfigError, match="Expected the package wandb"):
        check_loggers(OmegaConf.create({"wandb": {"_target_": "a.B"}}))


def test_loggers_that_are_not_chosen_need_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    check_loggers(OmegaConf.create({"csv": {"_target_": "a.B"}, "wandb": {"project": "mine"}}))


def test_a_team_in_the_name_of_a_project_is_an_error_before_any_work(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = OmegaConf.load(CONF_DIR / "logger" / "wandb.yaml")
    cfg.logger.wandb.project = "team/mine"
    with pytest.raises(
        ConfigError, match=r"`logger\.wandb\.project` without /, got team/mine.*`logger\.wandb\.entity`"
    ):
        train(cfg, tmp_path)
    assert list(tmp_path.iterdir()) == []
