"""The search on real pages, as users start it: `python -m docclf.train -m hparams_search=optuna`."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from PIL import Image

TRAIN = ("-m", "docclf.train")
SEARCH = (*TRAIN, "-m", "hparams_search=optuna", "search.n_trials=4")
SLOW = pytest.mark.slow
TINY = (
    "data=csv",
    "augment=none",
    "model.name=test_resnet",
    "data.image_size=32",
    "data.batch_size=16",
    "validation.epochs=1",
    "validation.folds=2",
    "logger=none",
)


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start Python with warnings as errors."""
    cwd.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


def run(cwd: Path, *arguments: str, code: int = 0) -> str:
    """What a command prints that must end with this exit code, and without a traceback."""
    return finish(start(cwd, *arguments), code)


def paste(command: str, cwd: Path) -> str:
    """What a command prints that is pasted into a shell as it was printed."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def open_study(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / 'study.db'}")


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def written(folder: Path, numbers: Sequence[int]) -> dict[Path, tuple[int, bytes]]:
    """Time and content of every file of some trials."""
    paths = [path for number in numbers for path in (folder / str(number)).rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.fixture(scope="module")
def pages(pages_root: Path) -> str:
    return f"data.root='{pages_root}'"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, pages: str) -> tuple[Path, str]:
    """The folder of a search of four trials, and what it printed."""
    cwd = tmp_path_factory.mktemp("a search")
    output = run(cwd, *SEARCH, *TINY, pages)
    return cwd / "multirun" / "search", output


def test_a_search_leaves_the_files_that_are_promised(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    for name in ("study.db", "trials.csv", "train.log", "best/config.yaml", "best/params.yaml"):
        assert (folder / name).stat().st_size > 0, name
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["0", "1", "2", "3", "best"]
    for trial in open_study(folder).trials:
        own = folder / str(trial.number)
        result = read_yaml(own / "result.yaml")
        assert (own / ".hydra" / "config.yaml").is_file()
        assert (own / "train.log").is_file()
        assert result["params"] == trial.params
        assert result["state"] == trial.state.name
        assert result["folds"] == trial.user_attrs["folds"]
        assert result["seconds"] > 0
        if trial.state.name == "COMPLETE":
            assert result["mean"] == trial.value == pytest.approx(sum(result["folds"]) / 2)
            with (own / "oof.csv").open(encoding="utf-8") as file:
                assert len(list(csv.DictReader(file))) == 24


def test_the_baseline_comes_first_and_the_parameters_lie_in_the_space(searched: tuple[Path, str]) -> None:
    trials = open_study(searched[0]).trials
    # data.batch_size is given on the command line, and so is not searched
    assert trials[0].params == {"optimizer.lr": 1e-3, "optimizer.weight_decay": 0.01, "model.drop_rate": 0.0}
    for trial in trials:
        assert 1e-5 <= trial.params["optimizer.lr"] <= 1e-2
        assert 0 <= trial.params["optimizer.weight_decay"] <= 0.1
        assert 0 <= trial.params["model.drop_rate"] <= 0.3


def test_the_table_of_trials_agrees_with_the_study(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, trial in zip(rows, open_study(folder).trials, strict=True):
        assert (int(row["number"]), row["state"], row["folder"]) == (trial.number, trial.state.name, str(trial.number))
        assert float(row["value"]) == trial.value
        assert {key: float(row[key]) for key in trial.params} == trial.params


def test_the_lines_of_trials_and_folds_and_the_summary_are_on_the_screen_and_in_the_log(
    searched: tuple[Path, str],
) -> None:
    folder, output = searched
    study = open_study(folder)
    log = (folder / "train.log").read_text(encoding="utf-8")
    for text in (output, log):
        for trial in study.trials:
            assert len(re.findall(rf"\btrial {trial.number}/4  lr=", text)) == 1
            ends = rf"\btrial {trial.number}/4  (macro-F1|pruned at macro-F1) \d\.\d{{3}} \(best .*\)  \S+ s"
            assert len(re.findall(ends, text)) == 1
        complete = sum(trial.state.name == "COMPLETE" for trial in study.trials)
        assert len(re.findall(r"  fold 1/2  macro-F1 \d\.\d{3}", text)) >= complete
        assert len(re.findall(r"  fold 2/2  macro-F1 \d\.\d{3}", text)) == complete
        assert f"best macro-F1 {study.best_value:.3f}" in text
        assert f", trial {study.best_trial.number}" in text
        assert "What next:" in text


def test_the_winner_is_exported_whole_and_with_its_parameters(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    best = open_study(folder).best_trial
    assert read_yaml(folder / "best" / "params.yaml") == best.params
    exported = read_yaml(folder / "best" / "config.yaml")
    trained = read_yaml(folder / str(best.number) / ".hydra" / "config.yaml")
    del exported["defaults"]
    assert exported == trained
    header = (folder / "best" / "config.yaml").read_text(encoding="utf-8").splitlines()
    assert header[0].startswith(f"# study: search, trial {best.number} of 4")


def test_the_printed_command_trains_the_winner_to_the_same_scores_in_another_folder(
    searched: tuple[Path, str], tmp_path: Path
) -> None:
    folder, output = searched
    best = open_study(folder).best_trial
    line = next(line for line in output.splitlines() if "--config-name config refit=all" in line)
    paste(line, tmp_path)
    (result,) = tmp_path.glob("outputs/*/*/result.yaml")
    again, before = read_yaml(result), read_yaml(folder / str(best.number) / "result.yaml")
    assert again["folds"] == before["folds"]
    assert again["mean"] == before["mean"] == best.value
    assert (result.parent / "model.safetensors").is_file()
    assert (result.parent / "oof.csv").read_bytes() == (folder / str(best.number) / "oof.csv").read_bytes()


def test_the_same_command_again_runs_nothing_new(searched: tuple[Path, str], pages: str) -> None:
    folder, _ = searched
    before = written(folder, range(4))
    output = run(folder.parent.parent, *SEARCH, *TINY, pages)
    assert "4 of 4 trials done" in output
    assert "What next:" in output
    assert "fold 1/2" not in output
    assert written(folder, range(4)) == before
    assert len(open_study(folder).trials) == 4


def test_a_study_is_not_continued_on_other_pages_or_folds(searched: tuple[Path, str], pages: str) -> None:
    folder, _ = searched
    before = written(folder, range(4))
    arguments = (*SEARCH, *TINY, pages, "search.n_trials=5", "validation.folds=3")
    output = run(folder.parent.parent, *arguments, code=1)
    assert "Expected the data and the validation of study `search` as it was begun" in output
    assert "study_name=NEW_NAME" in output
    assert written(folder, range(4)) == before


# Interruptions


def test_a_study_is_not_continued_with_another_config_but_with_another_logger(
    searched: tuple[Path, str], pages: str
) -> None:
    folder, _ = searched
    cwd = folder.parents[1]
    output = run(cwd, *SEARCH, *TINY, pages, "model.label_smoothing=0.1", code=1)
    assert "model.label_smoothing: 0.0, now 0.1" in output
    assert "study_name=NEW_NAME" in output
    assert "4 of 4 trials done" in run(cwd, *SEARCH, *TINY, pages, "logger=csv")


def wait_for(path: Path, text: str, process: subprocess.Popen[str]) -> None:
    """Until a log has a text."""
    deadline = time.monotonic() + 120
    while not (path.is_file() and text in path.read_text(encoding="utf-8")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (signal.SIGKILL, -9),
        pytest.param(signal.SIGINT, 130, marks=SLOW),
        pytest.param(signal.SIGTERM, 143, marks=SLOW),
    ],
)
def test_a_search_that_is_ended_in_a_fold_goes_on_to_its_total(
    sent: signal.Signals, code: int, tmp_path: Path, pages: str
) -> None:
    folder = tmp_path / "multirun" / "search"
    # Epochs so many that the signal comes while a fold trains
    command = (*SEARCH, *TINY, pages, "validation.epochs=12", "search.n_trials=3", "hydra/sweeper/pruner=none")
    process = start(tmp_path, *command)
    wait_for(folder / "1" / "train.log", "fold 1/2", process)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output
    first = open_study(folder).trials
    ended = [trial.number for trial in first if trial.state.name in ("COMPLETE", "PRUNED")]
    assert ended in ([0], [0, 1])  # a signal may come where Python has to drop it; then its trial is the last one
    before = written(folder, ended)
    if sent == signal.SIGKILL:
        run(tmp_path, *command)
    else:
        assert (folder / "best" / "config.yaml").is_file()
        assert "RUNNING" not in {trial.state.name for trial in first}
        paste(output.partition("Go on with:\n")[2].splitlines()[0].strip(), Path.home())
    trials = open_study(folder).trials
    interrupted = [trial for trial in trials if trial.user_attrs.get("interrupted")]
    assert [trial.number for trial in interrupted] == ([1] if ended == [0] else [])
    assert len(trials) - len(interrupted) == 3
    assert all(trial.state.name in ("COMPLETE", "PRUNED") for trial in trials if trial not in interrupted)
    if interrupted:
        assert trials[2].params == trials[1].params
    assert written(folder, ended) == before


# What users do wrong


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
    "a truncated image": (("data.root={root}/truncated",), ("truncated/train/0 쪽 1.jpg",)),
    "no image": (("data.root={root}/text",), ("text/train/7 쪽 2.png",)),
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
    "a default outside": (
        ("{pages}", "optimizer.lr=interval(1e-5, 1e-4)"),
        ("the default of `optimizer.lr`", "got 0.001", "Widen the range"),
    ),
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
def test_a_mistake_is_named_before_the_first_trial(mistake: str, broken: Path, pages: str, tmp_path: Path) -> None:
    arguments, named = {**DATA_MISTAKES, **SPACE_MISTAKES}[mistake]
    output = run(tmp_path, *SEARCH, *TINY, *fill(arguments, broken, pages), code=1)
    for text in named:
        assert text.format(root=broken) in output
    assert len(output) < 600, output
    assert not (tmp_path / "multirun" / "search" / "0").exists()


@pytest.mark.parametrize("mistake", slow_but("a truncated image", names=DATA_MISTAKES))
def test_a_mistake_is_named_by_a_single_run_too(mistake: str, broken: Path, pages: str, tmp_path: Path) -> None:
    arguments, named = DATA_MISTAKES[mistake]
    output = run(tmp_path, *TRAIN, *TINY, *fill(arguments, broken, pages), code=1)
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
    override: str, named: tuple[str, ...], pages: str, tmp_path: Path
) -> None:
    output = run(tmp_path, *TRAIN, *TINY, pages, override, code=1)
    assert output.startswith(named[0])
    for text in named:
        assert text in output


def test_an_unknown_model_ends_the_search_at_its_first_trial_with_the_nearest_names(tmp_path: Path, pages: str) -> None:
    output = run(tmp_path, *SEARCH, *TINY, pages, "model.name=test_resnett", code=1)
    last = output.strip().splitlines()[-1]
    assert "`model.name`" in last
    assert "got `test_resnett`. Nearest: test_resnet, " in last
    (trial,) = open_study(tmp_path / "multirun" / "search").trials
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["cause"] == f"ConfigError: {last}"


def test_a_loss_that_is_not_finite_fails_its_trial_and_not_the_search(searched: tuple[Path, str], pages: str) -> None:
    before = written(searched[0], range(4))
    lr = ("optimizer.lr=choice(1e-3, 1e30)", "search.seed=0", "search.n_trials=6", "study_name=diverging")
    output = run(searched[0].parent.parent, *SEARCH, *TINY, pages, *lr)
    folder = searched[0].parent / "diverging"
    trials = open_study(folder).trials
    for trial in trials:
        diverges = trial.params["optimizer.lr"] == 1e30
        assert (trial.state.name == "FAIL") is diverges
        assert trial.user_attrs.get("cause", "").startswith("NonFiniteLossError: ") is diverges
        assert read_yaml(folder / str(trial.number) / "result.yaml")["state"] == trial.state.name
        if diverges:
            assert f"trial {trial.number}/6  failed: NonFiniteLossError: " in output
            assert not trial.intermediate_values, "a score of a broken model was reported"
    assert {trial.state.name == "FAIL" for trial in trials} == {True, False}
    assert read_yaml(folder / "best" / "params.yaml")["optimizer.lr"] == 1e-3
    assert written(searched[0], range(4)) == before, "a study of another name has files of its own"


@SLOW
def test_a_search_of_which_every_trial_fails_says_why(tmp_path: Path, pages: str) -> None:
    output = run(tmp_path, *SEARCH, *TINY, pages, "optimizer.lr=1e30", "search.n_trials=2")
    assert "No trial came to its end:\n  2 x NonFiniteLossError: " in output
    assert not (tmp_path / "multirun" / "search" / "best").exists()
