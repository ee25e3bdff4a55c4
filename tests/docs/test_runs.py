"""The commands of each document run as they are printed, one after the other, in a folder with an awkward name."""

import json
import os
import re
import shlex
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import FOLDER, PAGES, ROOT, Block, blocks
from forked import python

pytestmark = pytest.mark.slow

PROGRAMS = ("python", "cd", "ls", "head", "cat", "sed")  # others install, or need a server, a cluster or a screen
# What needs a server, a cluster or a GPU, and what tests/docs/test_commands.py composes alone.
NOT_HERE = re.compile(r"postgresql|hydra/launcher|GrpcStorage|CUDA_VISIBLE_DEVICES|hparams_search=conditional|pip ")
BEGIN = ["hparams_search=optuna", "data=csv", "data.root=pages", "study_name=mine"]
TYPED = [page for page in PAGES if any(block.language == "bash" for block in blocks(page))]
TYPED.remove(ROOT / "README.ko.md")  # has the blocks of README.md


class Command(socketserver.StreamRequestHandler):
    """A command of docclf that is run in a fork; the answer is its exit status and what it prints."""

    def handle(self) -> None:
        words, cwd, environment = json.loads(self.rfile.readline())
        answer = python(*words, cwd=Path(cwd), env=environment, warn=False)
        self.wfile.write(json.dumps(answer).encode())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `python` is tests/docs/tiny_python.py."""
    folder = tmp_path_factory.mktemp("bin")
    with socketserver.ThreadingUnixStreamServer(str(folder / "server"), Command) as server:
        threading.Thread(target=server.serve_forever).start()
        command = shlex.join([sys.executable, str(Path(__file__).with_name("tiny_python.py")), str(folder / "server")])
        (folder / "python").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / "python").chmod(0o755)
        yield f"{folder}{os.pathsep}{os.environ['PATH']}"
        server.shutdown()


def bash(script: str, cwd: Path, path: str) -> None:
    env = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["bash", "-e", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.fixture(scope="module")
def begun(pages_root: Path, path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pages as documents presuppose them, and a search called `mine`."""
    folder = tmp_path_factory.mktemp("begun") / FOLDER
    shutil.copytree(pages_root, folder / "pages")
    rows = (folder / "pages" / "test.csv").read_text(encoding="utf-8").splitlines()
    sample = [rows[0], *(f"{row.rpartition(',')[0]},0" for row in rows[1:])]
    (folder / "pages" / "sample_submission.csv").write_text("\n".join(sample), encoding="utf-8")
    for root in ("scans", "스캔 2024 (a)"):
        for page in (folder / "pages" / "train").iterdir():
            (folder / root / "train" / f"class {page.name.partition(' ')[0]}").mkdir(parents=True, exist_ok=True)
            shutil.copy(page, folder / root / "train" / f"class {page.name.partition(' ')[0]}")
    shutil.copytree(folder / "pages" / "test", folder / "inbox")
    bash(shlex.join(["python", "-m", "docclf.train", "-m", *BEGIN]), folder, path)
    return folder


def script_of(block: Block) -> str:
    """What a shell runs of a block; empty where nothing of it can be run here."""
    if block.file:
        return f"mkdir -p {shlex.quote(str(Path(block.file).parent))} && cat > {block.file} <<'END'\n{block.text}END"
    if block.language == "python":
        run = "import shutil, sys; sys.executable = shutil.which('python'); exec(open('typed.py').read())"
        return f"cat > typed.py <<'END'\n{block.text}END\npython -c {shlex.quote(run)}"
    if block.language != "bash":
        return ""
    kept = [line for line in block.lines if not NOT_HERE.search(line)]
    return "\n".join(line for line in kept if re.sub(r"^([A-Z_]+=\S+ )*", "", line).split()[0] in PROGRAMS)


@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_document_runs(page: Path, begun: Path, path: str, tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    shutil.copytree(begun, folder, ignore=shutil.ignore_patterns("multirun"), symlinks=True)
    text = page.read_text(encoding="utf-8")
    made = {*re.findall(r"(?:study_name=|--out )(\w+)", text)}
    if "data=synthetic data.root=pages" in text:  # which draws them itself
        shutil.rmtree(folder / "pages")
    for name in {*re.findall(r"multirun/(\w+)", text)} - made - {"NAME", "search"}:
        shutil.copytree(begun / "multirun" / "mine", folder / "multirun" / name, symlinks=True)
    for script in filter(None, map(script_of, blocks(page))):
        bash(script, folder, path)


def test_the_tutorial_ends_with_a_submission(begun: Path, path: str, tmp_path: Path) -> None:
    """Rows and order of the sample submission, with targets of the data set."""
    folder = tmp_path / FOLDER
    shutil.copytree(begun, folder)
    bash("python -m docclf.predict run=multirun/mine data.root=pages", folder, path)
    rows, sample = (
        [line.rpartition(",") for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        for name in ("submission.csv", "pages/sample_submission.csv")
    )
    assert [row[0] for row in rows] == [row[0] for row in sample]
    assert {row[2] for row in rows[1:]} <= {"0", "7", "10"}
