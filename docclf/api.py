"""The commands from Python: in a notebook, or in a program of one's own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docclf.errors import ConfigError, DataError, DocclfError, SearchError, TrainingError
from docclf.files import TOLD, why_no_winner
from docclf.safety.arguments import path_of, texts_of
from docclf.safety.untrusted import as_shown, read_config, read_yaml
from docclf.sweeper.space.grammar import encode, to_text
from docclf.sweeper.storage.passwords import take_argument
from docclf.sweeper.study.process import let_end

if TYPE_CHECKING:
    import optuna
    from omegaconf import DictConfig


@dataclass(frozen=True)
class SearchResult:
    """What a search has left.

    Attributes:
        folder: The search's folder, `multirun/NAME`.
        config_path: The exported config of the winner.
        verdict: Whether it beats the baseline, and its floors, content of `best/verdict.yaml`; empty where
            there are neither finalists nor floors.
    """

    folder: Path
    config_path: Path
    verdict: dict[str, Any]

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        return load_study(self.folder)

    @property
    def best_value(self) -> float:
        """Best score of the search, by which finalists are chosen; `verdict` has what they score on other folds."""
        from docclf.results.study.studies import best_value

        return best_value(self.study)


@dataclass(frozen=True)
class TrainedRun:
    """What a training of one configuration has left.

    Attributes:
        folder: The run's folder; trained with `refit=all` or `refit=folds` it has a model, which `predict` and
            `load_model` take.
        result: What came out, content of `result.yaml`.
    """

    folder: Path
    result: dict[str, Any]

    @property
    def score(self) -> float:
        """Mean macro-F1 over the folds."""
        return float(self.result["mean"])


def search(overrides: Sequence[str] = (), *, cwd: str | Path = ".", allow: Sequence[str] = ()) -> SearchResult:
    """Search as `python -m docclf.train -m` does, in a process of its own; what it prints is printed.

    Called again with the same overrides it goes on to the study's total, as the command does. An interruption ends the
    search, and saves it.

    Args:
        overrides: As on the command line: `["data=csv", "data.root=pages", "search.n_trials=50"]`. Without one of
            `hparams_search`, or a config or an experiment that chooses one, the default search is taken.
        cwd: Where the command would run; results are in `multirun/` there.
        allow: Names of your own code that the config may call, as after `--allow`: `["mine.*"]`.

    Raises:
        ConfigError: An argument is no list of texts or no path, or there is no folder `cwd`.
        SearchError: The search ended with an error, which is in the message.
    """
    place = _folder(cwd).absolute()
    typed = [take_argument(text, place) for text in (*_allowed(allow), *texts_of("overrides", overrides))]
    default = [] if _chooses_search(typed, place) else ["hparams_search=optuna"]
    return read_search(_run("train", ["-m", *default, *typed], cwd, SearchError))


def train(overrides: Sequence[str] = (), *, cwd: str | Path = ".", allow: Sequence[str] = ()) -> TrainedRun:
    """Train one configuration as `python -m docclf.train` does, in a process of its own; what it prints is printed.

    Args:
        overrides: As on the command line: `["data=csv", "data.root=pages", "optimizer.lr=1e-3"]`; to train the winner
            of a search `["--config-dir=multirun/NAME/best", "--config-name=config", "refit=all"]`.
        cwd: Where the command would run; results are in `outputs/` there.
        allow: Names of your own code that the config may call, as after `--allow`: `["mine.*"]`.

    Raises:
        ConfigError: An argument is no list of texts, there is no folder `cwd`, or it would be a search.
        TrainingError: It ended with an error, which is in the message.
    """
    texts = texts_of("overrides", overrides)
    if search := {"-m", "--multirun"} & {*texts}:
        raise ConfigError(f"Expected overrides of one training, got {search.pop()}. Say docclf.search([...]).")
    folder = _run("train", [*_allowed(allow), *texts], cwd, TrainingError)
    return TrainedRun(folder, read_yaml(folder / "result.yaml"))


def predict(
    run: str | Path,
    root: str | Path,
    overrides: Sequence[str] = (),
    *,
    cwd: str | Path = ".",
    allow: Sequence[str] = (),
) -> Path:
    """Predict pages as `python -m docclf.predict` does, in a process of its own; `load_model` predicts in this one.

    Args:
        run: Folder of a run, of a search (its winner), or of a model.
        root: Folder of pages, or a CSV file that lists them.
        overrides: More of them, as on the command line: `["output=june.csv", "abstain=0.95"]`.
        cwd: Where the command would run, and write the predictions.
        allow: Names of your own code that the model may call, as after `--allow`: `["mine.*"]`.

    Returns:
        Path of the predictions, a CSV file: ID, target and the probability of each class.

    Raises:
        ConfigError: An argument is no list of texts or no path, or there is no folder `cwd`.
        DataError: It ended with an error, which is in the message; or pages could not be read: the others are
            predicted.
    """
    paths = {"run": path_of("run", run), "data.root": path_of("root", root)}
    given = [f"{key}={to_text(encode(str(path)))}" for key, path in paths.items()]
    return _run("predict", [*_allowed(allow), *given, *texts_of("overrides", overrides)], cwd, DataError)


def _chooses_search(arguments: Sequence[str], cwd: Path) -> bool:
    """Whether they name a search, or a config that chooses one: composed as the command does it, with its checks."""
    if any(text.startswith("hparams_search=") for text in arguments):
        return True
    if not any(re.match(r"experiment=|--config-|-c[dn]|\+*hydra\.searchpath=", text) for text in arguments):
        return False
    asked = [sys.executable, "-m", "docclf.train", "-m", *arguments, "--cfg=hydra", "--package=hydra.runtime.choices"]
    shown = subprocess.run(asked, cwd=cwd, capture_output=True, encoding="utf-8", errors="replace").stdout
    return re.search(r"(?m)^hparams_search: (?!null$)", shown) is not None


def _allowed(names: Sequence[str]) -> list[str]:
    return [f"--allow={name}" for name in texts_of("allow", names)]


def _folder(cwd: Any) -> Path:
    """Where a command runs, if there is such a folder."""
    if not (place := path_of("cwd", cwd)).is_dir():
        raise ConfigError(f"Expected `cwd` to be a folder, got {cwd}, which is none. Say cwd='.'")
    return place


def _run(name: str, arguments: Sequence[str], cwd: str | Path, error: type[DocclfError]) -> Path:
    """Run a command, print what it prints, and return what it says that it wrote."""
    place = _folder(cwd).absolute()
    typed = [take_argument(text, place) for text in arguments]
    command = [sys.executable, "-m", f"docclf.{name}", *typed]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    streams |= {"encoding": "utf-8", "errors": "replace"}
    with (
        tempfile.NamedTemporaryFile("r", prefix="docclf-folder-", encoding="utf-8") as told,
        subprocess.Popen(
            command,
            cwd=place,
            env={**os.environ, TOLD: told.name, "PYTHONIOENCODING": "utf-8:backslashreplace"},
            **streams,
        ) as process,
    ):
        assert process.stdout is not None
        last: list[str] = []
        try:
            for line in process.stdout:
                sys.stdout.write(as_shown(line, sys.stdout))  # not inherited: a notebook would not show it
                last = [*last[-20:], line]
        except KeyboardInterrupt:
            let_end(process, lambda line: sys.stdout.write(as_shown(line, sys.stdout)))
            raise
        process.wait()
        written = told.read()
    if process.returncode:
        raise error(f"docclf.{name} ended with exit code {process.returncode}:\n{''.join(last)}")
    if not written:
        raise error(f"Expected docclf.{name} to write something, got {shlex.join(typed)}, which writes nothing.")
    return Path(written)


def read_search(folder: str | Path) -> SearchResult:
    """A search that has ended, from its folder `multirun/NAME`.

    Raises:
        DataError: There is none, or it has no winner.
    """
    folder = path_of("folder", folder)
    verdict = folder / "best" / "verdict.yaml"
    found = read_yaml(verdict) if verdict.is_file() else {}
    return SearchResult(folder, best_config_path(folder), found)


def load_study(folder: str | Path) -> optuna.Study:
    """The Optuna study of a search, from its folder `multirun/NAME`, wherever the study lives.

    Raises:
        DataError: There is no search in this folder.
    """
    from docclf.results.study.studies import open_study

    if not (path_of("folder", folder) / "multirun.yaml").is_file():
        raise DataError(f"Expected the folder of a search, multirun/NAME, got {folder}, which has no multirun.yaml.")
    return open_study(str(folder))[0]


def best_config_path(folder: str | Path) -> Path:
    """The exported config of a search's winner.

    Raises:
        DataError: The search has none.
    """
    path = path_of("folder", folder) / "best" / "config.yaml"
    if not path.is_file():
        got = f"Expected the folder of a search with a winner, got {folder}, which has no best/config.yaml."
        raise DataError(why_no_winner(Path(folder)) or got)
    return path


def best_config(folder: str | Path) -> DictConfig:
    """The whole config of a search's winner.

    Raises:
        DataError: The search has none.
    """
    config = read_config(best_config_path(folder))
    config.pop("defaults")
    return config
