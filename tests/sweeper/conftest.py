"""Runs of the toy application, each in a process and a folder of its own, and what its study holds afterwards."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from forked import python
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

APP = Path(__file__).parent / "toy" / "app.py"
# What the tests vary from one run of a study to the next
MAY_CHANGE = (
    "hydra.sweeper.may_change=[raise_at,fault_at,refuse_at,nan_at,text_at,pair_at,prune_at,repeat_at,break_at,signal_at,signal,"
    "in_finaliser,seconds,n_trials]"
)


@dataclass(frozen=True)
class Run:
    """A process that has ended."""

    code: int
    output: str
    cwd: Path


class Toy:
    """The toy application in one working folder.

    Args:
        cwd: Where its commands run.
    """

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.folder = cwd / "multirun" / "toy"

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        """Start a search in a Python of its own, with warnings as errors."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", *arguments(*overrides)],
            cwd=self.cwd,
            env=environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *overrides: str, code: int | None = 0) -> Run:
        """Run a search to its end, which must have this exit code; None for any."""
        status, output = python(*arguments(*overrides), cwd=self.cwd, env=environment())
        assert code is None or status == code, output
        return Run(status, output, self.cwd)

    def paste(self, command: str, code: int | None = 0) -> Run:
        """Run a command that was printed, in a shell in another folder."""
        process = subprocess.Popen(
            command,
            shell=True,
            cwd=Path.home(),
            env=environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return finish(process, self.cwd, code)

    @property
    def storage(self) -> str:
        return f"sqlite:///{self.folder / 'study.db'}"

    @property
    def study(self) -> optuna.Study:
        return optuna.load_study(study_name="toy", storage=self.storage)

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def states(self) -> list[str]:
        return [trial.state.name for trial in self.trials]

    def outcomes(self) -> list[tuple[dict[str, Any], str, float | None, dict[int, float]]]:
        """Parameters, state, value and reports of every trial."""
        return [(t.params, t.state.name, t.value, t.intermediate_values) for t in self.trials]

    def counted(self) -> list[FrozenTrial]:
        """Trials that count towards the total."""
        return [trial for trial in self.trials if not trial.user_attrs.get("interrupted")]

    def folders(self) -> list[int]:
        """Numbers of the jobs that were launched."""
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def config(self, number: int) -> DictConfig:
        """What a job's task got."""
        config = OmegaConf.load(self.folder / str(number) / ".hydra" / "config.yaml")
        assert isinstance(config, DictConfig)
        return config

    def files(self, *numbers: int) -> dict[Path, tuple[int, bytes]]:
        """Time and content of every file in the folders of some trials."""
        found = [path for number in numbers for path in (self.folder / str(number)).rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def arguments(*overrides: str) -> list[str]:
    """What Python is given for a search."""
    ours = [] if any(override.startswith("hydra/sweeper=") for override in overrides) else [MAY_CHANGE]
    return [str(APP), "-m", *ours, *overrides]


def environment() -> dict[str, str]:
    """That of the tests, where `python` is the one that runs them and the toy's modules may be preloaded."""
    allowed = {"DOCCLF_ALLOW": "absent,heavy,json,no_module.*"}
    return {**os.environ, **allowed, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def finish(process: subprocess.Popen[str], cwd: Path, code: int | None) -> Run:
    output, _ = process.communicate(timeout=120)
    assert code is None or process.returncode == code, output
    return Run(process.returncode, output, cwd)


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


@pytest.fixture(scope="module")
def new_toy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Toy]:
    """Makes toys for fixtures that several tests share."""
    return lambda: Toy(tmp_path_factory.mktemp("toy"))
