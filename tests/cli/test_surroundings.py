"""Commands where a home or streams are missing, and with Hydra's old habit to change the folder."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forked import forked
from omegaconf import OmegaConf
from slowly import slowly

from docclf.cli.console import settle_in
from docclf.safety.places import require_folder

STRANGER = 54321  # a user without a name, as containers have


@pytest.fixture
def without_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of temporary files that anybody may write."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def as_stranger() -> None:
    os.setuid(STRANGER)
    settle_in()
    sys.stdout.write(str(Path.home()))


def test_who_has_no_home_gets_one_of_their_own_and_the_same_again(without_home: Path) -> None:
    homes = {forked(as_stranger, without_home)[1] for _ in range(2)}
    (home,) = map(Path, homes)
    assert home.parent == without_home
    assert home.stat().st_uid == STRANGER and stat.S_IMODE(home.stat().st_mode) == 0o700


@pytest.mark.parametrize("trap", ["somebody else's", "a link", "open to all"])
def test_a_home_that_others_could_write_is_not_taken(trap: str, without_home: Path) -> None:
    place, other = without_home / f"docclf-{STRANGER}", without_home / "other"
    other.mkdir()
    if trap == "a link":
        place.symlink_to(other)
    else:
        place.mkdir()
    if trap == "open to all":
        os.chown(place, STRANGER, STRANGER)
        place.chmod(0o777)
    code, home = forked(as_stranger, without_home)
    assert code == 0 and Path(home) != place and Path(home).stat().st_uid == STRANGER


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "command", ["train seed=-1", *slowly("predict run=nowhere data.root=nowhere", "compare nowhere nowhere")]
)
def test_a_closed_stream_is_no_trouble(command: str, closed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m docclf.{command} {closed}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (2 if command.startswith("compare") else 1)
    assert "Traceback" not in done.stdout + done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_stream_that_cannot_show_a_name_gets_the_message_all_the_same() -> None:
    lines = [
        "import logging, sys",
        "from docclf.safety.untrusted import escape_logs",
        "escape_logs()",
        "logging.basicConfig(stream=sys.stdout, format='%(message)s')",
        "logging.error('Expected a folder, got \\uc5c6\\uc74c')",
    ]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "Expected a folder, got \\uc5c6\\uc74c\n", done.stderr


def test_help_of_which_a_part_is_read_ends_without_a_traceback() -> None:
    code = "import sys\nfrom docclf.cli.console import ended_by_ctrl_c\nwith ended_by_ctrl_c():\n"
    shell = f'{sys.executable} -c "$CODE" | true'
    environment = {**os.environ, "CODE": f"{code}    while True: print('x' * 10_000)"}
    done = subprocess.run(["sh", "-c", shell], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["train", "data"])
def test_a_place_that_cannot_be_written_to_is_told_of(name: str, tmp_path: Path) -> None:
    given = ["data=folder", f"data.root={tmp_path}", "hydra.run.dir=/proc/run"]
    command = [sys.executable, "-m", f"docclf.{name}", *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Say hydra.run.dir=DIR" in done.stderr
    assert "a place for the results that can be written to, got /proc: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_place_that_hydra_fills_in_later_is_not_looked_at() -> None:
    require_folder(OmegaConf.create({"run": {"dir": "outputs/${hydra:job.name}"}}), "run.dir")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("hydra.job.env_copy=[NO_SUCH]", "got NO_SUCH, which is not set. Say export NO_SUCH=VALUE"),
        *slowly(
            ("hydra.job.name=x/y", "Expected the name of a file in `hydra.job.name`, got x/y"),
            ("hydra.verbose=5", "Expected true, false or loggers in `hydra.verbose`, got 5"),
            ("~hydra/job_logging", "Expected `hydra.job_logging` to have a `root`"),
            ("~hydra/hydra_logging", "Expected `hydra.hydra_logging` to have a `root`"),
            ("hydra.job_logging.root=DEBUG", "got DEBUG. Say hydra/job_logging=default"),
            ("hydra.job_logging.root.level=LOUD", "got {'level': 'LOUD', "),
        ),
    ],
)
def test_settings_that_hydra_cannot_use_are_told_of(given: str, expected: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "docclf.data", "data=folder", f"data.root={tmp_path}", given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and expected in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["data data=folder data.root=.", "compare a b"])
def test_a_folder_that_is_gone_is_told_of(command: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = f"rmdir ../gone; exec {sys.executable} -m docclf.{command}"
    done = subprocess.run(["sh", "-c", shell], cwd=gone, capture_output=True, text=True, check=False)
    assert done.returncode and "The folder that this shell is in is gone" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("given", [("hydra.job.chdir=true",), ("--config-dir=mine", "experiment=stays")])
def test_a_run_that_shall_change_its_folder_stays(
    given: tuple[str, ...], cfg: Any, pages_root: Path, tmp_path: Path
) -> None:
    from conftest import TINY

    option = tmp_path / "mine" / "experiment" / "stays.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("# @package _global_\nseed: 43\n")
    (tmp_path / "pages").symlink_to(pages_root)
    command = [sys.executable, "-m", "docclf.train", *given, *TINY, "data.root=pages", "hydra.run.dir=run"]
    command += [] if "hydra.job.chdir=true" in given else ["hydra.job.chdir=true"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hydra.job.chdir=true is left out" in done.stderr
    assert (tmp_path / "run" / "oof.csv").is_file()
