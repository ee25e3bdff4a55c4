"""What users do wrong is named by its key, with the way out, before the first trial."""

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from forked import python
from omegaconf import DictConfig
from PIL import Image
from slowly import slowly

from docclf.cli.preflight import check_config, preflight
from docclf.errors import ConfigError

SLOW = pytest.mark.slow
# So many steps that a run does not warn of few of them before it fails.
STEPS = ("data.batch_size=2", "validation.epochs=6")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, pages_root: Path) -> Path:
    """Data sets with one thing wrong each, and a search of a key that there is not."""
    root = tmp_path_factory.mktemp("broken")
    for name in ("truncated", "text", "lost", "scarce"):
        shutil.copytree(pages_root, root / name)
    picture = root / "truncated" / "train" / "0 쪽 1.jpg"
    picture.write_bytes(picture.read_bytes()[:500])
    (root / "text" / "train" / "7 쪽 2.png").write_text("no picture")
    (root / "lost" / "train" / "10 쪽 3.jpg").unlink()
    rows = (root / "scarce" / "train.csv").read_text(encoding="utf-8").splitlines()
    (root / "scarce" / "train.csv").write_text("\n".join(rows[:-7]), encoding="utf-8")
    (root / "empty").mkdir()
    for name in ("full", "hollow"):
        (root / "folders" / name).mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(root / "folders" / "full" / "page.png")
    search = root / "conf" / "hparams_search" / "misspelt.yaml"
    search.parent.mkdir(parents=True)
    search.write_text(
        "# @package _global_\ndefaults:\n  - optuna\n  - _self_\n"
        "hydra:\n  sweeper:\n    params:\n      optimizer.lrr: tag(log, interval(1e-4, 1e-2))\n"
    )
    return root


DATA_MISTAKES = {
    "a truncated image": (("data.root={root}/truncated",), ("truncated that can all be used", "train/0 쪽 1.jpg: ")),
    "no image": (("data.root={root}/text",), ("text that can all be used", "train/7 쪽 2.png: ")),
    "an ID without a file": (("data.root={root}/lost",), ("10 쪽 3.jpg", "train.csv", "lost/train")),
    "a folder without train.csv": (("data.root={root}/empty",), ("train.csv", "{root}/empty", "data=folder")),
    "a folder that is not there": (("data=folder", "data.root={root}/none"), ("`data.root`", "{root}/none")),
    "no class folders": (("data=folder", "data.root={root}/empty"), ("at least 2 class folders", "{root}/empty")),
    "an empty class folder": (("data=folder", "data.root={root}/folders"), ("{root}/folders/hollow", "Fill it or")),
    "no folder": (("data=folder", "data.root=null"), ("`data.root`, the folder of the pages", "Say data.root=DIR.")),
    "a learning rate that is none": (("{pages}", "optimizer.lr=abc"), ("`optimizer.lr` to be a number, got abc.",)),
    "pages of no size": (
        ("{pages}", "data.image_size=0"),
        ("`data.image_size` to be at least 8 and at most 4,096, got 0.",),
    ),
    "one fold": (
        ("{pages}", "validation.folds=1"),
        ("`validation.folds`", "at least 2 and at most 1,000, got 1", "validation=holdout"),
    ),
    "a class with fewer pages than folds": (
        ("data.root={root}/scarce",),
        ("at least 2 pages", "validation.folds=2", "letter of intent (1)", "data.rare_classes=drop"),
    ),
}
SPACE_MISTAKES = {
    "two devices": (
        ("{pages}", "trainer.devices=2"),
        ("got 2. Say search.workers=2; `trainer.devices` is for a training alone.\n",),  # and nothing of the space
    ),
    "a key that there is not": (
        ("{pages}", "optimizer.lrr=interval(1e-4, 1e-2)"),
        ("`optimizer.lrr`", "Nearest: optimizer.lr"),
    ),
    "such a key in a file": (
        ("--config-dir", "{root}/conf", "hparams_search=misspelt", "{pages}"),
        ("`optimizer.lrr`", "Nearest: optimizer.lr"),
    ),
    "an empty range": (
        ("{pages}", "optimizer.lr=interval(1e-2, 1e-4)"),
        ("`optimizer.lr=interval(1e-2, 1e-4)`", "low"),
    ),
    "log from 0": (("{pages}", "optimizer.lr=tag(log, interval(0, 1))"), ("`low > 0`",)),
    "no choice": (("{pages}", "data.batch_size=choice()"), ("data.batch_size=choice()", "empty choice is not legal")),
    "a fixed key that there is not": (("{pages}", "optimizer.lrr=1"), ("'optimizer.lrr'", "Did you mean: 'lr'")),
    "no trial": (("{pages}", "search.n_trials=0"), ("`search.n_trials` to be at least 1, got 0",)),
}


# Those that no test of a smaller part knows
QUICK_MISTAKES = ("a truncated image", "no folder", "pages of no size", "one fold", "an empty range", "two devices")


def slow_but(*quick: str, names: Iterable[str]) -> list[Any]:
    """Names as parameters of a test, all but some of them marked slow."""
    return [name if name in quick else pytest.param(name, marks=SLOW) for name in names]


def fill(arguments: Sequence[str], root: Path, pages: str) -> list[str]:
    filled = [argument.format(root=root, pages=pages) for argument in arguments]
    return [f"data.root='{a.partition('=')[2]}'" if a.startswith("data.root=/") else a for a in filled]


@pytest.mark.parametrize("mistake", slow_but(*QUICK_MISTAKES, names=[*DATA_MISTAKES, *SPACE_MISTAKES]))
def test_a_mistake_is_named_before_the_first_trial(mistake: str, broken: Path, search: Any) -> None:
    arguments, named = {**DATA_MISTAKES, **SPACE_MISTAKES}[mistake]
    output = search.run(*fill(arguments, broken, search.pages), code=1)
    for text in named:
        assert text.format(root=broken) in output
    assert len(output) < 1000, output  # Hydra repeats the whole command where it cannot parse it
    assert not (search.folder / "0").exists()


@pytest.mark.parametrize("mistake", slow_but("a truncated image", names=DATA_MISTAKES))
def test_a_mistake_is_named_by_a_single_run_too(mistake: str, broken: Path, search: Any) -> None:
    arguments, named = DATA_MISTAKES[mistake]
    output = search.train(*STEPS, *fill(arguments, broken, search.pages), code=1)
    assert output.startswith(("DataError: ", "ConfigError: "))
    for text in named:
        assert text.format(root=broken) in output
    assert len(output) < 600, output


# Numbers. The pages are nowhere, so what is refused for its number is refused before they are looked for.


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=abc", "`optimizer.lr` to be a number, got abc."),
        ("optimizer.lr=null", "`optimizer.lr` to be a number, got null."),
        ("optimizer.lr=nan", "`optimizer.lr` to be a number, got nan."),
        ("optimizer.lr=-1e-3", "`optimizer.lr` to be at least 0, got -0.001."),
        ("optimizer.weight_decay=-1", "`optimizer.weight_decay` to be at least 0, got -1."),
        ("optimizer.weight_decay=inf", "`optimizer.weight_decay` to be a number, got inf."),
        ("model.drop_rate=1.5", "`model.drop_rate` to be at least 0 and below 1, got 1.5."),
        ("model.drop_rate=true", "`model.drop_rate` to be a number, got True."),
        ("model.label_smoothing=2", "`model.label_smoothing` to be at least 0 and below 1, got 2."),
        ("data.image_size=0", "`data.image_size` to be at least 8 and at most 4,096, got 0."),
        ("data.image_size=96.5", "`data.image_size` to be a whole number, got 96.5."),
        ("data.batch_size=0", "`data.batch_size` to be at least 1, got 0."),
        ("data.batch_size=null", "`data.batch_size` to be a whole number, got null."),
        ("data.margin=0.5", "`data.margin` to be at least 1 and at most 8, got 0.5."),
        ("validation.epochs=two", "`validation.epochs` to be a whole number, got two."),
        ("validation.epochs=null", "`validation.epochs` to be a whole number, got null."),
        ("validation.folds=1.5", "`validation.folds` to be a whole number, got 1.5."),
        (
            "validation.folds=1",
            "`validation.folds` to be at least 2 and at most 1,000, got 1. Use validation=holdout for a single split.",
        ),
        ("validation.run_folds=0", "`validation.run_folds` to be at least 1, got 0."),
        ("validation.prune_after=0", "`validation.prune_after` to be at least 1, got 0."),
        ("validation.max_batch_size=half", "`validation.max_batch_size` to be a whole number, got half."),
        (
            "model.checkpoint_path=none.pth",
            "`model.checkpoint_path` to be a file of weights, or null for none, got none.pth.",
        ),
        ("model.checkpoint_path=3", "`model.checkpoint_path` to be a file of weights, or null for none, got 3."),
        ("model.checkpoint_path=", "`model.checkpoint_path` to be a file of weights, or null for none, got nothing."),
        ("data.root=2024", "`data.root` to be a path, got the number 2024. Say data.root=./2024."),
        ("data.root=", "`data.root`, the folder of the pages, got no value. Say data.root=DIR."),
        ("data=folder", "`data.root`, the folder of the pages, got no value. Say data.root=DIR."),
    ],
)
@pytest.mark.parametrize("check", [check_config, *slowly(preflight)])
def test_a_value_that_cannot_be_is_refused_before_anything_is_loaded(
    check: Callable[[DictConfig], object], override: str, message: str, compose_config: Callable[..., DictConfig]
) -> None:
    root = () if override.startswith("data=") else ("data.root=/nowhere",)
    with pytest.raises(ConfigError) as refused:
        check(compose_config("data=csv", *root, override))
    way_out = "" if re.search(r"\b(say|use)\b", message, re.IGNORECASE) else " Leave it out for the default."
    assert str(refused.value) == f"Expected {message}{way_out}"


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("validation=holdout",),
        ("validation.run_folds=null", "validation.max_batch_size=null"),
        ("validation.max_batch_size=1", "data.batch_size=1", "data.image_size=8", "data.margin=1"),
        ("model.drop_rate=0", "model.label_smoothing=0", "optimizer.weight_decay=0", "optimizer.lr=0"),
        ("model.drop_rate=null", "model.label_smoothing=0.99", "optimizer.lr=1e-9"),
        ("optimizer=sgd", "~optimizer.lr", "~optimizer.weight_decay"),
    ],
)
def test_the_bounds_themselves_are_taken(overrides: tuple[str, ...], compose_config: Callable[..., DictConfig]) -> None:
    check_config(compose_config("data=csv", "data.root=/nowhere", *overrides))


@SLOW
def test_a_checkpoint_of_another_model_ends_a_search_at_its_first_trial(search: Any, tmp_path: Path) -> None:
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "a.pth")
    output = search.run(f"model.checkpoint_path='{tmp_path}/a.pth'", code=1)
    assert "got those of another model" in output and "size mismatch" in output and len(output) < 1800, output
    assert len(search.trials) == 1


@SLOW
@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optimizer.lr=1e30", ("NonFiniteLossError: ", "optimizer.lr")),
        ("refit=best", ("ConfigError: ", "`refit`", "got best")),
        ("model.name=test_resnett", ("ConfigError: ", "`model.name`", "Nearest: test_resnet, ")),
    ],
)
def test_a_single_run_that_fails_ends_with_the_message_alone(
    override: str, named: tuple[str, ...], search: Any
) -> None:
    output = search.train(*STEPS, search.pages, override, code=1)
    assert output.startswith(named[0])
    for text in named:
        assert text in output


@SLOW
def test_a_default_outside_its_range_is_refused_with_the_ways_out(search: Any) -> None:
    output = search.run("optimizer.lr=interval(1e-5, 1e-4)", "search.n_trials=1", code=1)
    assert "the default of `optimizer.lr` within its search range 1e-05..0.0001, but it is 0.0005" in output
    assert "hydra.sweeper.baseline=false" in output


def test_a_sweep_of_hydra_s_own_sweeper_ends_without_a_traceback(tmp_path: Path) -> None:
    overrides = ["-m", "model.tune=head,last", "data=folder", "data.root=nowhere"]
    status, output = python("docclf.train", *overrides, cwd=tmp_path, warn=False)
    assert status == 1 and "Traceback" not in output
    assert "DataError: Expected a folder at `data.root`, got nowhere" in output
