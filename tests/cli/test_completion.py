"""Tab completion in real shells, set up as docs/how-to/command-line.md says."""

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import cpu_seconds

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "command-line.md"
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
# Typed, and what stands there after the tabulator key.
COMPLETED = {
    "docclf-train mod": "docclf-train model",  # then = for the group or . for its keys
    "docclf-train hpar": "docclf-train hparams_search=",
    "docclf-train model=mob": "docclf-train model=mobilenet",
    "docclf-train -m hparams_search=optuna optimizer.l": "docclf-train -m hparams_search=optuna optimizer.lr=",
    "docclf-train hydra/sweeper/pruner=me": "docclf-train hydra/sweeper/pruner=median",
    "docclf-predict run=x calib": "docclf-predict run=x calibrated=",
    "docclf-data data.near_d": "docclf-data data.near_duplicates=",
    "docclf-export-model outp": "docclf-export-model output=",
}

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def set_up(shell: str) -> list[str]:
    """The lines that the guide says to put into the start file of a shell."""
    found = re.search(rf"^{shell}, in .*\n\n((?:    .+\n)+)", DOCS.read_text(encoding="utf-8"), re.M | re.I)
    assert found, f"{DOCS.name} has no section on {shell}"
    return [line.strip() for line in found[1].splitlines()]


class Terminal:
    """A shell that believes in a person at a terminal."""

    def __init__(self, command: list[str], home: Path) -> None:
        spawn = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", *command]
        environment = {"HOME": str(home), "PATH": PATH, "TERM": "dumb"}
        self._process = subprocess.Popen(
            spawn, cwd=home, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.type("stty cols 300; PS1='$ '\n")

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def read_until(self, pattern: str) -> str:
        """What the last group of a pattern holds as soon as it is on the screen."""
        assert self._process.stdout is not None
        screen, deadline = "", time.monotonic() + 60
        while not (found := re.search(pattern, screen, re.M)):
            assert time.monotonic() < deadline, screen
            if select.select([self._process.stdout], [], [], 1)[0]:
                screen += os.read(self._process.stdout.fileno(), 4096).decode(errors="replace").replace("\r", "\n")
        return str(found[found.re.groups])

    def close(self) -> None:
        self._process.terminate()  # which closes the terminal, and so the shell
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module", params=SHELLS)
def terminal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    terminal = Terminal(SHELLS[request.param], tmp_path_factory.mktemp("home"))
    for line in set_up(request.param):
        terminal.type(f"{line}\n")
    terminal.type("echo READ''Y\n")
    terminal.read_until(r"^(READY)$")
    yield terminal
    terminal.close()


@pytest.mark.parametrize("typed", COMPLETED)
def test_the_tabulator_key_completes(terminal: Terminal, typed: str) -> None:
    terminal.type(f"{typed}\t\x01echo 'LINE:\x05:END'\n")  # to the front of the line and to its end
    assert terminal.read_until(r"^LINE:(.*):END$").rstrip(" ") == COMPLETED[typed]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(tmp_path: Path) -> None:
    typed = list(COMPLETED)
    asked = "; ".join(f"echo BEGIN; complete -C '{text}'; echo END" for text in typed)
    script = "; ".join([*set_up("fish"), asked])
    environment = {"HOME": str(tmp_path), "PATH": PATH}
    command = ["fish", "--no-config", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    answers = [block.split() for block in re.findall(r"^BEGIN\n(.*?)^END", done.stdout, re.M | re.S)]
    for text, words in zip(typed, answers, strict=True):
        expected = COMPLETED[text].split()[-1]
        assert words and all(word.startswith(expected) for word in words), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["docclf-train mod", "docclf-train -m hparams_search=optuna optimizer.l"])
def test_a_completion_takes_less_than_a_second(typed: str, tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        before = cpu_seconds()  # the machine may be busy
        query = [Path(sys.executable).parent / "docclf-train", "-sc", "query=bash"]
        environment = {"COMP_LINE": typed, "PATH": PATH}
        done = subprocess.run(query, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        seconds.append(cpu_seconds() - before)
        assert COMPLETED[typed].split()[-1] in done.stdout
    assert min(seconds) < 1.5, "slow processors included"
