"""What users do wrong is named by its key, with the way out, before the first trial."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

SLOW = pytest.mark.slow


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
    "one fold": (("{pages}", "validation.folds=1"), ("`validation.folds`", "at least 2, got 1", "validation=holdout")),
    "a class with fewer pages than folds": (
        ("data.root={root}/scarce",),
        ("at least 2 pages", "validation.folds=2", "letter of intent (1)", "use fewer folds"),
    ),
}
SPACE_MISTAKES = {
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
    "no trial": (("{pages}", "search.n_trials=0"), ("n_trials=0",)),
}


# Those that no test of a smaller part knows
QUICK_MISTAKES = (
    "a truncated image",
    "an ID without a file",
    "a class with fewer pages than folds",
    "one fold",
    "a key that there is not",
    "an empty range",
)


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
    assert len(output) < 800, output  # Hydra repeats the whole command where it cannot parse it
    assert not (search.folder / "0").exists()


@pytest.mark.parametrize("mistake", slow_but("a truncated image", names=DATA_MISTAKES))
def test_a_mistake_is_named_by_a_single_run_too(mistake: str, broken: Path, search: Any) -> None:
    arguments, named = DATA_MISTAKES[mistake]
    output = search.train(*fill(arguments, broken, search.pages), code=1)
    assert output.startswith(("DataError: ", "ConfigError: "))
    for text in named:
        assert text.format(root=broken) in output
    assert len(output) < 600, output


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
    output = search.train(search.pages, override, code=1)
    assert output.startswith(named[0])
    for text in named:
        assert text in output


@SLOW
def test_a_default_outside_its_range_is_refused_with_the_ways_out(search: Any) -> None:
    output = search.run("optimizer.lr=interval(1e-5, 1e-4)", "search.n_trials=1", code=1)
    assert "the default of `optimizer.lr` within its search range 1e-05..0.0001, but it is 0.001" in output
    assert "hydra.sweeper.baseline=false" in output
