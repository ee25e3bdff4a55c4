"""Searches on a real Slurm cluster of one node, of Debian's packages `slurmctld slurmd slurm-client munge`."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "squeue", "sbatch", "scancel")
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
MISSING = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {' '.join(MISSING)}: apt-get install slurmctld slurmd munge"),
    pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may run slurmd"),
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        port: int = found.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A controller and a node of 4 cores, which `SLURM_CONF` names."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # not in pytest's folder, whose long path no socket may have
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    text = (Path(__file__).parent / "slurm.conf").read_text().replace("FOLDER", str(folder))
    text = text.replace("PORT1", str(free_port())).replace("PORT2", str(free_port()))
    (folder / "slurm.conf").write_text(text)
    places = [f"--{name}-file={folder / name}" for name in ("pid", "log", "seed")]
    munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder / 'munge.socket'}", *places]
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
    started = []
    with (folder / "log.txt").open("w") as log:
        try:
            for command in (munged, ["slurmctld", "-D"], ["slurmd", "-D", "-N", "localhost"]):
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
                wait_until((folder / "munge.socket").exists, 10)  # which the others need
            wait_until(lambda: "idle" in ask("sinfo", "--noheader", "--format=%t"), 60)
            yield
            subprocess.run(["scancel", "--user=root"], check=False)
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()
            del os.environ["SLURM_CONF"]
            shutil.rmtree(folder, ignore_errors=True)


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def queue() -> list[str]:
    return ask("squeue", "--noheader", "--format=%t").split()


SEARCH = ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=all", "hydra.launcher.timeout_min=10")
SEARCH += ("hydra.sweeper.n_jobs=3", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1")


def test_every_trial_is_a_job_of_slurm(slurm: None, toy: Any) -> None:
    toy.run(*SEARCH, "n_trials=6")
    assert [trial.state.name for trial in toy.trials] == 6 * ["COMPLETE"]
    assert queue() == []


def test_ctrl_c_leaves_no_job_in_the_queue(slurm: None, toy: Any) -> None:
    process = toy.start(*SEARCH, "n_trials=20", "seconds=30")
    wait_until(lambda: queue().count("R") >= 2, 60)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    wait_until(lambda: not [state for state in queue() if state != "CG"], 60)
