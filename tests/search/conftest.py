"""Searches on tiny pages, as users start them, each in a process and a folder of its own."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from forked import python
from processes import wait_until
from tiny import SEARCH


class Search:
    """A search of one name in one working folder.

    Args:
        cwd: Where its commands run.
        pages: Folder of the pages.
        name: Of the study.
    """

    def __init__(self, cwd: Path, pages: Path, name: str = "search") -> None:
        self.cwd, self.pages, self.name = cwd, f"data.root='{pages}'", name
        self.folder = cwd / "multirun" / name

    def start(self, *overrides: str, tiny: Sequence[str] = SEARCH) -> subprocess.Popen[str]:
        """Start a search of 4 tiny trials by `hparams_search=optuna`, but for what the overrides say."""
        return self.start_python("-m", *self._arguments(*overrides, tiny=tiny))

    def _arguments(self, *overrides: str, tiny: Sequence[str] = SEARCH) -> list[str]:
        option = [] if any(text.startswith("hparams_search=") for text in overrides) else ["hparams_search=optuna"]
        given = [self.pages, "search.n_trials=4", f"study_name='{self.name}'"]
        given.append("hydra.sweeper.finalists.references=null")  # grey pixels tell these pages apart
        return ["docclf.train", "-m", *option, *tiny, *given, *overrides]

    def start_python(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python with warnings as errors."""
        self.cwd.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.cwd,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *overrides: str, code: int = 0, tiny: Sequence[str] = SEARCH) -> str:
        """What a search prints that must end with this exit code, and without a traceback."""
        return self._run(*self._arguments(*overrides, tiny=tiny), code=code)

    def train(self, *overrides: str, code: int = 0) -> str:
        """What a single run prints."""
        return self._run("docclf.train", *SEARCH, *overrides, code=code)

    def _run(self, *arguments: str, code: int) -> str:
        self.cwd.mkdir(parents=True, exist_ok=True)
        status, output = python(*arguments, cwd=self.cwd)
        assert status == code, output
        assert "Traceback" not in output
        return output

    def start_until(self, ready: Callable[[], bool], *overrides: str) -> subprocess.Popen[str]:
        """Start a search, which must still run when something holds that is waited for."""
        process = self.start(*overrides)
        wait_until(lambda: process.poll() is not None or ready(), 300)
        assert process.poll() is None, process.communicate()[0]
        return process

    def kill_when(self, ready: Callable[[], bool], *overrides: str, sent: signal.Signals = signal.SIGKILL) -> str:
        """Start a search and end it by a signal as soon as something holds; what it printed."""
        process = self.start_until(ready, *overrides)
        process.send_signal(sent)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[sent], output
        return output

    def log(self, number: int) -> str:
        """A trial's log so far."""
        path = self.folder / str(number) / "train.log"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def paste(self, command: str, cwd: Path) -> str:
        """What a command prints that is pasted into a shell as it was printed."""
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(command, shell=True, cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def study(self) -> optuna.Study:
        return optuna.load_study(study_name=self.name, storage=f"sqlite:///{self.folder / 'study.db'}")

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return self.study.trials

    @property
    def states(self) -> list[str]:
        return [trial.state.name for trial in self.trials]

    @property
    def table(self) -> list[dict[str, str]]:
        """Rows of trials.csv."""
        with (self.folder / "trials.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def read(self, name: str) -> Any:
        """Content of a YAML file of the search."""
        return yaml.safe_load((self.folder / name).read_text(encoding="utf-8"))

    def written(self, *numbers: int) -> dict[Path, tuple[int, bytes]]:
        """Time and content of every file of some trials."""
        paths = [path for number in numbers for path in (self.folder / str(number)).rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def finish(process: subprocess.Popen[str], code: int) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


@pytest.fixture(scope="session")
def make_search(pages_root: Path) -> Callable[..., Search]:
    """Makes a search: `make_search(cwd, name="search")`."""
    return lambda cwd, name="search": Search(cwd, pages_root, name)


@pytest.fixture
def search(make_search: Callable[..., Search], tmp_path: Path) -> Search:
    return make_search(tmp_path)


@pytest.fixture(scope="session")
def searched(make_search: Callable[..., Search], tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, str]:
    """A search of four trials, to be read, and what it printed."""
    search = make_search(tmp_path_factory.mktemp("a search"))
    return search, search.run()
