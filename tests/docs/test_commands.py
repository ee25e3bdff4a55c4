"""Every command and every override in README, README.ko and docs/ is one that docclf takes."""

import ast
import importlib
import re
import subprocess
import tomllib
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from documents import FOLDER, PAGES, ROOT, blocks, commands, inline, overrides
from hydra._internal.utils import get_args
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from slowly import slowly

from docclf.cli.composing import Composer
from docclf.cli.foreign import check_foreign
from docclf.cli.preflight import check_config
from docclf.errors import DocclfError
from docclf.results.study.trial_config import write_config
from docclf.sweeper.space.checks import baseline
from docclf.sweeper.space.grammar import extremes, parse_override, to_distribution, to_text
from docclf.sweeper.space.parsing import parse_space

Compose = Callable[..., DictConfig]

# Command: its primary config.
HYDRA = {"train": "train", "data": "look", "predict": "predict", "export_model": "export_model"}
FOLDS = ("multirun/mine/best/folds.csv", "multirun/old/best/folds.csv")
# What else stands in blocks: how things are installed and looked at, what a server or a cluster needs.
PROGRAMS = {
    "pip",
    "python3",
    "cd",
    "ls",
    "head",
    "cat",
    "sed",
    "sudo",
    "echo",
    "read",
    "ray",
    "optuna-dashboard",
    "tensorboard",
}
# Inline code that only looks like an override.
NO_OVERRIDES = {"key=null,1"}
TYPED_AFTER = ("train -m hparams_search=optuna", "predict run=RUN data.root=DIR", "train", "export_model run=RUN")

FIRST_READ = [ROOT / name for name in ("README.md", "docs/tutorial.md")]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


page = pytest.mark.parametrize("page", PAGES, ids=named)


@pytest.fixture
def folder(tmp_path: Path, compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are typed, with the exported configs that they name."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("first", "mine", "pareto", "scans", "team"):
        config = compose_config()
        OmegaConf.set_struct(config, False)
        groups = ["augment", "validation", "data", "model"]
        write_config(Path(f"multirun/{name}/best/config.yaml"), config, folder, groups, "")
    for name in ("FILE", "problems.csv", "multirun/mine/corrections.csv", *FOLDS):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return folder


def without_ranges(given: Sequence[str]) -> Iterator[list[str]]:
    """Overrides with both ends of every range, or the first and last choice, in the place of the range."""
    parsed = [parse_override(text) for text in given]
    for end in (0, -1) if any(override.is_sweep_override() for override in parsed) else (0,):
        yield [
            f"{o.key_or_group}={to_text(extremes(to_distribution(o))[end])}" if o.is_sweep_override() else text
            for o, text in zip(parsed, given, strict=True)
        ]


def compose(command: str, words: Sequence[str]) -> tuple[Namespace, list[DictConfig]]:
    """What a command of Hydra's would run with, at both ends of its ranges."""
    given = get_args(list(words))
    if given.config_dir is not None:
        check_foreign(given, HYDRA[command])
    composer = Composer(HYDRA[command], given)
    found = []
    for chosen in without_ranges(given.overrides):
        with composer.open():
            found.append(composer.compose(chosen))
    return given, found


def check(command: str, words: Sequence[str]) -> None:
    """Compose a command, and check the config as the command would."""
    given, found = compose(command, words)
    for cfg in found:
        searched = cfg.hydra.sweeper._target_ == "docclf.sweeper.plugin.DocclfSweeper"
        if given.multirun and not searched:
            raise ValueError("-m without a search")
        cfg = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        assert OmegaConf.missing_keys(cfg) == set()
        if command in ("train", "data"):
            cfg.model.checkpoint_path = None  # a file of the reader's
            check_config(cfg)
    ranges = [text for text in given.overrides if "(" in text and not text.startswith("data.root=")]
    if ranges:
        _, (cfg, *_) = compose(command, [word for word in words if word not in ranges])
        baseline(parse_space({}, ranges), cfg)


CHECKED: set[tuple[object, ...]] = set()  # what stands in several documents, without configs of the reader's


@pytest.mark.parametrize("page", [*FIRST_READ, *slowly(*(page for page in PAGES if page not in FIRST_READ))], ids=named)
def test_every_command_composes(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks(page):
        if block.language == "yaml" and block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, encoding="utf-8")
    for environment, (name, *words) in commands(page):
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        command = name.removeprefix("docclf.")
        if command in HYDRA:
            plain = [word for word in words if word not in ("--help", "--version", "--cfg", "job")]
            known = (command, *plain, *environment.items())
            if known not in CHECKED or any("config-dir" in word or "searchpath" in word for word in plain):
                check(command, plain)
                CHECKED.add(known)
        elif "--help" not in words:
            importlib.import_module(name)._parser().parse_args(words)


@pytest.mark.slow
@page
def test_every_override_in_the_text_composes(page: Path, folder: Path) -> None:
    for given in overrides(page):
        if given[0] not in NO_OVERRIDES:
            assert any(not refused(start, given) for start in TYPED_AFTER), refused(TYPED_AFTER[0], given)


@cache
def refused(start: str, given: tuple[str, ...]) -> str:
    """Why a command with these overrides does not compose; empty where it does."""
    command, *words = start.split()
    keys = {text.partition("=")[0] for text in given}
    words = [word for word in words if word.partition("=")[0] not in keys]
    data = [f"{key}={value}" for key, value in (("data", "csv"), ("data.root", "pages")) if key not in keys]
    data = data if command == "train" else []
    try:
        check(command, [*words, *data, *given])
    except (HydraException, DocclfError, ValueError) as error:
        return str(error)
    return ""


@page
def test_every_block_is_sound(page: Path) -> None:
    for block in blocks(page):
        assert block.language in ("bash", "python", "yaml", "text"), block
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "bash":
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
            for line in block.lines:
                words = [word for word in line.split() if not re.match(r"[A-Z_]+=", word)]
                assert words[0] in PROGRAMS | {"exec"} or words[0] == "python", line


@page
def test_every_link_and_every_file_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)#]*)", text):
        assert not target or (page.parent / target).exists(), target
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"docclf\[(\w+)\]", text)) <= extras.keys()
    for name in re.findall(r"(?<![\w/])((?:benchmarks|conf|examples)/[\w/]+\.(?:py|yaml))", text):
        assert (ROOT / name).is_file(), name


def test_the_readme_is_short() -> None:
    for name in ("README.md", "README.ko.md"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert len(lines) <= {"README.md": 120, "README.ko.md": 125}[name]


def test_both_readmes_have_the_same_blocks() -> None:
    """Commands, output and numbers, but for the comments."""
    english, korean = (
        [[*block.lines] if block.language == "bash" else block.text.split("#")[0] for block in blocks(ROOT / name)]
        for name in ("README.md", "README.ko.md")
    )
    assert english == korean


def test_these_tests_see_what_is_typed() -> None:
    guide = ROOT / "docs" / "ko" / "guide.md"
    assert len([*commands(guide)]) > 25 and len([*overrides(guide)]) > 60
    assert "search.n_trials=50" in inline(guide)
    assert refused(TYPED_AFTER[0], ("optimizer.lr=tag(log, interval(1e-3, 1e-2))",)), "the default is not within"
    assert refused("train", ("optimizer.lrr=1",)) and refused("train", ("refit=everything",))
