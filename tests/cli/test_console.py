"""What the commands share."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import docclf
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
    assert done.returncode == 2 and done.stderr.startswith("MachineError: Expected to read and write files")
    assert "[Errno 28] No space left on device. Once it is fixed, give the same command again.\n" in done.stderr


def test_other_ends_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="3"), ended_by_ctrl_c():
        raise SystemExit(3)
    with pytest.raises(SystemExit, match="143"), ended_by_ctrl_c():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(143) from None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["train", "predict", "report"])
@pytest.mark.parametrize("when", ["while it is imported", "after its end"])
def test_ctrl_c_before_and_after_a_command_ends_it_without_a_traceback(command: str, when: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    wait = f"open({str(fifo)!r}).read()"
    if when == "while it is imported":
        (tmp_path / "yaml.py").write_text(wait, encoding="utf-8")
    else:
        text = f"import atexit\natexit.register(lambda: {wait})\n"
        (tmp_path / "sitecustomize.py").write_text(text, encoding="utf-8")
    places = os.pathsep.join([str(tmp_path), str(Path(docclf.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": places}
    arguments = [sys.executable, "-m", f"docclf.{command}", "--version"]
    # Opening the pipe waits until it is read from.
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as process, fifo.open("w"):
        process.send_signal(signal.SIGINT)
        assert process.communicate() == (None, "")
    assert process.returncode == -signal.SIGINT, "which a shell calls 130"
