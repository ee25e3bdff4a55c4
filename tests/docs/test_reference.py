"""docs/reference/config.md has every key, and is as docs/reference.py writes it."""

import importlib.util
from collections.abc import Callable

import pytest
from documents import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import docclf
from docclf.sweeper.space.keys import leaves

Compose = Callable[..., DictConfig]

PAGE = ROOT / "docs" / "reference" / "config.md"
OPTIONS = sorted(path.relative_to(docclf.CONF_DIR).with_suffix("") for path in docclf.CONF_DIR.glob("*/*.yaml"))


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def missing(page: str, cfg: DictConfig) -> list[str]:
    """Keys that the page has not; what an option builds is no key to set."""
    keys = [key for key in leaves(cfg) if not key.endswith(("._target_", "._partial_"))]
    assert len(keys) > 2
    return [key for key in keys if f"`{key}`" not in page]


def test_the_page_is_as_conf_says(
    page: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = tmp_path_factory.mktemp("reference") / "config.md"
    monkeypatch.setattr(module, "PAGE", written)
    module.write()
    assert written.read_text(encoding="utf-8") == page, "run `make docs` and commit what it writes"


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_no_key_of_an_option_is_missing(page: str, compose_config: Compose, option: object) -> None:
    group, _, name = str(option).partition("/")
    assert missing(page, compose_config(f"{group}={name}")) == []


@pytest.mark.parametrize("config", ["predict", "export_model"])
def test_no_key_of_another_command_is_missing(page: str, compose_config: Compose, config: str) -> None:
    assert missing(page, compose_config(config=config)) == []


@pytest.mark.parametrize("kind", ["sampler", "pruner"])
def test_no_key_of_a_sampler_or_pruner_is_missing(page: str, compose_config: Compose, kind: str) -> None:
    group = f"hydra/sweeper/{kind}"
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(docclf.CONF_DIR)):
        options = GlobalHydra.instance().config_loader().get_group_options(group)
    assert len(options) > 5
    for option in options:
        _, _, section = page.partition(f"### {kind}={option}\n")
        section = section.partition("\n##")[0]
        chosen = compose_config("hydra/sweeper=docclf", f"{group}={option}", hydra=True).hydra.sweeper[kind]
        assert section and all(f"`hydra.sweeper.{kind}.{key}`" in section for key in chosen if key[0] != "_"), option


def test_no_key_of_the_sweeper_is_missing(page: str, compose_config: Compose) -> None:
    sweeper = compose_config("hydra/sweeper=docclf", hydra=True).hydra.sweeper
    keys = {f"hydra.sweeper.{key}" for key in sweeper if key not in ("_target_", "sampler", "pruner", "finalists")}
    keys |= {f"hydra.sweeper.finalists.{key}" for key in sweeper.finalists}
    assert {key for key in keys if f"`{key}`" not in page} == set()
