"""What worker processes write comes out where the search's own output goes by then."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docclf.sweeper.screen.relay import Relay

WRITE = (
    "import sys; sys.stdin.readline(); print('first\\nsecond'); print('wrong', file=sys.stderr); print('rest', end='')"
)


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """As a live display does that takes the place of standard output."""
    saved = os.dup(1)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def start() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITE], stdin=subprocess.PIPE, text=True)


def test_lines_go_where_output_goes_when_they_are_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    relay = Relay()
    with relay.inherited():
        process = start()
    os.write(1, b"own\n")
    with output_to(tmp_path / "out"):
        process.communicate("go\n")
        relay.drain()
        assert (tmp_path / "out").read_text() == "first\nsecond\n", "of a line without an end nothing yet"
    relay.close()
    assert capfd.readouterr() == ("own\nrest", "wrong\n")


def test_a_process_started_outside_writes_for_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    relay = Relay()
    with relay.inherited():
        pass
    process = start()
    with output_to(tmp_path / "out"):
        process.communicate("go\n")
        relay.drain()
    relay.close()
    assert (tmp_path / "out").read_text() == "" and capfd.readouterr().out == "first\nsecond\nrest"


def test_without_processes_there_is_nothing_to_wait_for() -> None:
    relay = Relay()
    relay.drain()
    relay.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_closed_output_stays_closed() -> None:
    code = (
        "import os; os.close(1); from docclf.sweeper.screen.relay import Relay; relay = Relay()\n"
        "with relay.inherited(): os.write(2, b'to the relay\\n')\n"
        "relay.drain(); relay.close()\n"
        "try: os.fstat(1)\nexcept OSError: os.write(2, b'closed\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=True)
    assert done.stderr == "to the relay\nclosed\n"
