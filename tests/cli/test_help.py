"""The help of the commands: pages of a manual whose keys, defaults and examples cannot rot."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal.utils import get_args
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from processes import cpu_seconds
from slowly import slowly

import docclf
from docclf.results.study.trial_config import write_config
from docclf.sweeper.space.grammar import extremes, parse_override, to_distribution, to_text
from docclf.sweeper.space.keys import has_key

Compose = Callable[..., DictConfig]

# Command: its primary config.
HYDRA = {"train": "train", "data": "look", "predict": "predict", "export_model": "export_model"}
ARGPARSE = ("compare", "labels", "merge", "report")
COLUMNS = 100
SECTIONS = ("NAME", "SYNOPSIS", "DESCRIPTION", "KEYS", "EXAMPLES", "EXIT STATUS", "SEE ALSO")


def shown(command: str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"docclf.{command}", *arguments, "--help"],
        cwd=cwd,
        env={"COLUMNS": str(COLUMNS), "LC_ALL": "C.UTF-8", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command prints with --help; nothing is left where it was called."""
    cwd = tmp_path_factory.mktemp("anywhere")
    found = {command: shown(command, cwd=cwd) for command in (*HYDRA, *ARGPARSE)}
    assert list(cwd.iterdir()) == []
    return found


def section(page: str, name: str) -> str:
    """The lines below a heading."""
    headings = [*re.finditer(r"^[A-Z][A-Z ]+\b.*$", page, re.M)]
    start = next(i for i, match in enumerate(headings) if match[0].startswith(name))
    ends = [match.start() for match in headings[start + 1 :]]
    return page[headings[start].end() : (ends or [len(page)])[0]]


def rows(page: str) -> list[tuple[str, str | None]]:
    """Each key that is explained, with its default where that is told."""
    found = re.findall(r"^    ([a-z][a-z_.]*)(?:=(\S+))?  +\S", section(page, "KEYS"), re.M)
    return [(key, value or None) for key, value in found]


def examples(page: str) -> list[str]:
    text = section(page, "EXAMPLES").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip().startswith("python ")]


def open_config(cfg: DictConfig) -> DictConfig:
    """A config as it is read from a run's folder."""
    OmegaConf.set_struct(cfg, False)
    return cfg


def variants(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Overrides with both ends of every range, or the first and last choice, in the place of the range."""
    parsed = [parse_override(text) for text in overrides]
    for end in (0, -1):
        yield [
            f"{o.key_or_group}={to_text(extremes(to_distribution(o))[end])}" if o.is_sweep_override() else text
            for o, text in zip(parsed, overrides, strict=True)
        ]


@pytest.mark.parametrize("command", ["train", "compare", *slowly(*[*HYDRA, *ARGPARSE][1:4], *ARGPARSE[1:])])
def test_version_is_that_of_docclf(command: str, tmp_path: Path) -> None:
    name = f"docclf.{command}"
    done = subprocess.run(
        [sys.executable, "-m", name, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"docclf {docclf.__version__}\n"


@pytest.mark.parametrize("command", HYDRA)
def test_help_is_a_page_of_a_manual(pages: dict[str, str], command: str) -> None:
    page = pages[command]
    places = [page.index(f"\n{name}" if i else name) for i, name in enumerate(SECTIONS)]
    assert all(a < b for a, b in pairwise(places))
    assert page.startswith(f"NAME\n    docclf.{command} - ")


@pytest.mark.parametrize("command", [*HYDRA, *ARGPARSE])
def test_help_fits_100_columns(pages: dict[str, str], command: str) -> None:
    # Hydra writes the groups of the application, as many options as there are.
    written = [line for line in pages[command].splitlines() if not re.match(r"[a-z_]+: ", line)]
    assert [line for line in written if len(line) > COLUMNS] == []


@pytest.mark.parametrize("command", HYDRA)
def test_every_key_of_the_help_exists_and_has_the_default_told(
    pages: dict[str, str], compose_config: Compose, command: str
) -> None:
    cfg = compose_config(config=HYDRA[command])
    told = rows(pages[command])
    assert len(told) == {"train": 13, "data": 6, "predict": 11, "export_model": 3}[command]
    for key, default in told:
        assert has_key(cfg, key), key
        if default == "???":
            assert key in OmegaConf.missing_keys(cfg)
        elif default is not None:
            assert parse_override(f"{key}={default}").value() == OmegaConf.select(cfg, key), key


@pytest.mark.parametrize("command", ["predict", "export_model"])
def test_the_help_of_a_small_command_tells_every_key(
    pages: dict[str, str], compose_config: Compose, command: str
) -> None:
    from docclf.sweeper.space.keys import leaves

    assert {key for key, _ in rows(pages[command])} == set(leaves(compose_config(config=command)))


@pytest.mark.parametrize("command", HYDRA)
def test_every_example_of_the_help_composes(
    pages: dict[str, str], compose_config: Compose, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    groups = ["augment", "validation", "data", "model"]
    write_config(Path("multirun/mine/best/config.yaml"), open_config(compose_config()), tmp_path, groups, "")
    found = examples(pages[command])
    assert len(found) == {"train": 6, "data": 3, "predict": 4, "export_model": 2}[command]
    for example in found:
        python, flag, module, *arguments = shlex.split(example)
        assert [python, flag, module] == ["python", "-m", f"docclf.{command}"]
        given = get_args(arguments)
        folder = docclf.CONF_DIR if given.config_dir is None else Path(given.config_dir).absolute()
        path = [] if given.config_dir is None else [f"hydra.searchpath=['file://{docclf.CONF_DIR}']"]
        for overrides in variants(given.overrides):
            name = given.config_name or HYDRA[command]
            cfg = compose_config(*path, *overrides, config=name, folder=folder, hydra=True)
            assert OmegaConf.missing_keys(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])) == set()
            searched = cfg.hydra.sweeper._target_ == "docclf.sweeper.plugin.DocclfSweeper"
            assert given.multirun is searched, "-m and a search go together"


def test_the_ranges_of_the_examples_contain_the_defaults(pages: dict[str, str], compose_config: Compose) -> None:
    """Or the search would refuse its own example."""
    from docclf.sweeper.space.checks import baseline
    from docclf.sweeper.space.parsing import parse_space

    searches = [get_args(shlex.split(text)[3:]) for text in examples(pages["train"]) if " -m hparams" in text]
    with_ranges = [[text for text in given.overrides if "(" in text] for given in searches]
    assert any(with_ranges)
    for overrides in with_ranges:
        space = parse_space({}, overrides)
        baseline(space, compose_config(hydra=True))


def test_the_help_of_the_training_lists_all_groups_with_all_options(pages: dict[str, str]) -> None:
    listed = dict(re.findall(r"^([a-z_/]+): (.+)$", pages["train"], re.M))
    folders = [path for path in docclf.CONF_DIR.iterdir() if path.is_dir() and path.name != "hydra"]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(docclf.CONF_DIR)):
        plugins = GlobalHydra.instance().config_loader()
        expected = {path.name: sorted(option.stem for option in path.glob("*.yaml")) for path in folders}
        for group in ("hydra/sweeper/pruner", "hydra/sweeper/sampler"):
            expected[group] = sorted(plugins.get_group_options(group))
    assert {group: options.split(", ") for group, options in listed.items()} == expected


@pytest.mark.parametrize("command", HYDRA)
def test_every_module_and_file_that_the_help_names_is_there(pages: dict[str, str], command: str) -> None:
    assert all(find_spec(name) for name in re.findall(r"python -m (docclf\.\w+)", pages[command]))
    for path in re.findall(r"\bconf/[a-z_/.]*[a-z]", pages[command]):
        assert (docclf.CONF_DIR.parent / path).exists(), path


@pytest.mark.parametrize("command", ARGPARSE)
def test_every_example_of_the_other_commands_is_one_that_they_take(pages: dict[str, str], command: str) -> None:
    parser = importlib.import_module(f"docclf.{command}")._parser()
    found = re.findall(rf"^  python -m docclf\.{command} (.+?)(?:  .*)?$", pages[command], re.M)
    assert len(found) >= 4
    for example in found:
        parser.parse_args(shlex.split(example))


def test_looking_at_pages_has_the_config_of_the_training(compose_config: Compose) -> None:
    for overrides in ([], ["data=csv", "data.root=x", "experiment=basic", "data.image_size=64"]):
        assert compose_config(*overrides, config="look") == compose_config(*overrides)


def test_an_exported_config_has_the_help_of_the_training(
    pages: dict[str, str], compose_config: Compose, tmp_path: Path
) -> None:
    write_config(tmp_path / "best" / "config.yaml", open_config(compose_config()), tmp_path, ["model"], "")
    page = shown("train", "--config-dir", "best", "--config-name", "config", cwd=tmp_path)
    assert page == pages["train"]


def test_help_comes_at_once(tmp_path: Path) -> None:
    def seconds() -> float:
        before = cpu_seconds()
        shown("train", cwd=tmp_path)
        return cpu_seconds() - before

    assert any(seconds() < 1.5 for _ in range(3)), "slow and busy processors included: torch alone takes longer"
