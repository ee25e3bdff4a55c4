"""`python -m docclf.compare` on runs that were really trained."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import execution_whitelist
from omegaconf import DictConfig, OmegaConf
from processes import cpu_seconds

from docclf.compare import main
from docclf.safety.targets import whitelist
from docclf.train import train


def compare(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "docclf.compare", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", env={**environment} or None, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def runs(tiny_config: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `low` and `high` of two learning rates, and `four` on four folds."""
    folder = tmp_path_factory.mktemp("some runs")
    changes = {"low": {"optimizer.lr": 1e-6}, "high": {"optimizer.lr": 3e-3}, "four": {"validation.folds": 4}}
    for name, change in changes.items():
        cfg = tiny_config.copy()
        for key, value in change.items():
            OmegaConf.update(cfg, key, value)
        with execution_whitelist(whitelist()):  # the fixture that does this is one of a test; this one lives longer
            train(cfg, folder / name)
        (folder / name / ".hydra").mkdir()
        OmegaConf.save(cfg, folder / name / ".hydra" / "config.yaml")
    return folder


@pytest.mark.slow
def test_two_trained_runs_are_compared(runs: Path) -> None:
    done = compare(runs / "low", runs / "high")
    assert done.returncode == 0 and done.stderr == ""
    assert re.search(
        r"^B - A: [+-]0\.\d{3} \(95 % interval \S+ to \S+, better in \S+ % of resamples\)$", done.stdout, re.M
    )
    rows = [line for line in done.stdout.splitlines() if re.match(r"(invoice|계약서|letter of intent) .* 8$", line)]
    assert len(rows) == 3
    assert "24 out-of-fold pages: " in done.stdout
    assert re.search(r"^optimizer.lr +1e-06 +0.003$", done.stdout, re.M)


def test_a_run_is_no_better_than_itself(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(runs / "high"), str(runs / "high")]) == 0
    text = capsys.readouterr().out
    assert "B - A: +0.000 (95 % interval +0.000 to +0.000, better in 50 % of resamples)" in text
    assert "The configs are the same." in text


def test_other_folds_need_anyway(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(runs / "low"), str(runs / "four")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("DataError: Expected runs on the same folds, got others in ")
    assert main([str(runs / "low"), str(runs / "four"), "--anyway"]) == 0
    assert re.search(r"^validation.folds +3 +4$", capsys.readouterr().out, re.M)


def test_the_override_that_the_refusal_names_makes_runs_comparable(
    runs: Path, tmp_path: Path, tiny_config: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(runs / "four"), str(runs / "low")]) == 2
    command = re.search(r"the folds of the first: (.*?)\. Or add --anyway", capsys.readouterr().err)
    assert command is not None
    cfg = tiny_config.copy()
    shell = f'for each in {command[1]}; do echo "$each"; done'
    overrides = subprocess.run(shell, shell=True, capture_output=True, encoding="utf-8", check=True).stdout.splitlines()
    typed = {each.key_or_group: each.value() for each in OverridesParser.create().parse_overrides(overrides)}
    assert typed == {"validation.split_file": str(runs / "four" / "folds.csv"), "validation.folds": 4}
    for key, value in typed.items():
        OmegaConf.update(cfg, key, value)
    train(cfg, tmp_path / "run")
    assert main([str(runs / "four"), str(tmp_path / "run")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["low", "nowhere"], "DataError: Expected the folder of a run or of a search, got "),
        (["low", "."], "Name one inside: four, high, low."),
        (["low", "x" * 300], "OSError: "),
        (["low"], "without one in best/verdict.yaml"),
        (["nowhere"], "/nowhere: no such folder. Name one that is there."),
        (["lwo"], "/lwo: no such folder. Did you mean "),
    ],
)
def test_what_cannot_be_compared_ends_with_2_and_a_sentence(runs: Path, arguments: list[str], message: str) -> None:
    done = compare(*(runs / name for name in arguments))
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_terminal_that_knows_no_hangul_is_no_obstacle(runs: Path) -> None:
    done = compare(runs / "low", runs / "high", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and re.search(r"^(\\u[0-9a-f]{4}){3} .* 8$", done.stdout, re.M)


def test_help_comes_at_once_and_has_examples(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):  # the machine may be busy
        before = cpu_seconds()
        done = compare("--help")
        seconds.append(cpu_seconds() - before)
    assert done.returncode == 0 and "\n  python -m docclf.compare multirun/" in done.stdout
    assert min(seconds) < 0.5


def test_a_comparison_loads_nothing_that_trains_or_draws(runs: Path) -> None:
    heavy = ("torch", "timm", "pytorch_lightning", "optuna", "hydra", "sklearn", "matplotlib", "wandb")
    code = (
        "import sys\nfrom docclf.compare import main\n"
        f"assert main(sys.argv[1:]) == 0\nassert not [name for name in {heavy} if name in sys.modules]"
    )
    command = [sys.executable, "-c", code, str(runs / "low"), str(runs / "high")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
