"""What the commands share."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from docclf.cli.console import ended_by_ctrl_c


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    act = "lambda _: signal.raise_signal(signal.SIGINT)"
    code = f"import signal\nfrom docclf.cli.console import make_parser, run\nrun(make_parser('x', '', ''), {act}, [])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "Interrupted\n")


def test_ctrl_c_before_a_search_has_begun_shows_no_traceback() -> None:
    """Hydra's commands compose first, which takes a while."""
    compose = "hydra._internal.hydra.Hydra.compose_config = lambda *_, **__: signal.raise_signal(signal.SIGINT)"
    code = f"import signal, hydra._internal.hydra\n{compose}\nfrom docclf.train import main\nmain()"
    command = [sys.executable, "-c", code, "-m", "hparams_search=optuna"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "Interrupted\n")


def test_ctrl_c_that_lightning_took_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="130"), ended_by_ctrl_c():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904  as Lightning does it
    assert capsys.readouterr().err == "Interrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_a_full_disk_is_told_without_a_traceback() -> None:
    code = "from docclf.cli.console import make_parser, run\nraise SystemExit(run(make_parser('x', '', ''), repr, []))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "OSError: [Errno 28] No space left on device\n")


def test_other_ends_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="3"), ended_by_ctrl_c():
        raise SystemExit(3)
    with pytest.raises(SystemExit, match="143"), ended_by_ctrl_c():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(143) from None
    assert capsys.readouterr().err == ""
