"""A search from Python: in a notebook, or in a program of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docclf.errors import DataError, SearchError
from docclf.safety.untrusted import read_config, read_yaml
from docclf.sweeper.config import FOLDER_FILE
from docclf.sweeper.storage.passwords import take_argument

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
        return self.study.best_value


def search(overrides: Sequence[str] = (), *, cwd: str | Path = ".", allow: Sequence[str] = ()) -> SearchResult:
    """Search as `python -m docclf.train -m` does, in a process of its own; what it prints is printed.

    Called again with the same overrides it goes on to the study's total, as the command does. An interruption ends the
    search, and saves it.

    Args:
        overrides: As on the command line: `["data=csv", "data.root=pages", "search.n_trials=50"]`. Without one of
            `hparams_search` the default search is taken.
        cwd: Where the command would run; results are in `multirun/` there.
        allow: Names of your own code that the config may call, as after `--allow`: `["mine.*"]`.

    Raises:
        SearchError: The search ended with an error, which is in the message.
    """
    given = [*overrides] if any(text.startswith("hparams_search=") for text in overrides) else ["hparams_search=optuna"]
    given += [text for text in overrides if text not in given]
    command = [
        sys.executable,
        "-m",
        "docclf.train",
        "-m",
        *(f"--allow={name}" for name in allow),
        *(take_argument(text, Path(cwd).absolute()) for text in given),
    ]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with (
        tempfile.NamedTemporaryFile("r", prefix="docclf-folder-", encoding="utf-8") as told,
        subprocess.Popen(
            command, cwd=cwd, env={**os.environ, FOLDER_FILE: told.name}, text=True, encoding="utf-8", **streams
        ) as process,
    ):
        assert process.stdout is not None
        last: list[str] = []
        try:
            for line in process.stdout:
                sys.stdout.write(line)  # not inherited: a notebook would not show it
                last = [*last[-20:], line]
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        process.wait()
        place = Path(told.read())
    if process.returncode:
        raise SearchError(f"The search ended with exit code {process.returncode}:\n{''.join(last)}")
    return read_search(place)


def read_search(folder: str | Path) -> SearchResult:
    """A search that has ended, from its folder `multirun/NAME`.

    Raises:
        DataError: There is none, or it has no winner.
    """
    folder = Path(folder)
    verdict = folder / "best" / "verdict.yaml"
    found = read_yaml(verdict) if verdict.is_file() else {}
    return SearchResult(folder, best_config_path(folder), found)


def load_study(folder: str | Path) -> optuna.Study:
    """The Optuna study of a search, from its folder `multirun/NAME`, wherever the study lives.

    Raises:
        DataError: There is no search in this folder.
    """
    from docclf.results.study.studies import open_study

    if not (Path(folder) / "multirun.yaml").is_file():
        raise DataError(f"Expected the folder of a search, multirun/NAME, got {folder}, which has no multirun.yaml.")
    return open_study(str(folder))[0]


def best_config_path(folder: str | Path) -> Path:
    """The exported config of a search's winner.

    Raises:
        DataError: The search has none.
    """
    path = Path(folder) / "best" / "config.yaml"
    if not path.is_file():
        raise DataError(f"Expected the folder of a search with a winner, got {folder}, which has no best/config.yaml.")
    return path


def best_config(folder: str | Path) -> DictConfig:
    """The whole config of a search's winner.

    Raises:
        DataError: The search has none.
    """
    config = read_config(best_config_path(folder))
    config.pop("defaults")
    return config
