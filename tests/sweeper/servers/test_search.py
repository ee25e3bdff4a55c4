"""Many processes on real database servers, which like their clients go away at random moments."""

import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from typing import Any, TextIO

import optuna
import pytest
from database_servers import Server, require_exactly, trials_of
from processes import runs, wait_until, workers
from toy_finalists import AGAIN

pytestmark = pytest.mark.slow


def test_processes_and_workers_that_begin_at_once_share_one_study(url: str, toy: Any) -> None:
    command = (
        "n_trials=12", "hydra.sweeper.baseline=true", "hydra.sweeper.enqueue=[{x:0.25,n:2,colour:blue}]",
        "hydra.sweeper.preflight=hooks.gather", "limit=4", f"hydra.sweeper.storage='{url}'", "hydra.sweeper.n_jobs=2",
    )  # fmt: skip
    started = [toy.start(*command) for _ in range(4)]
    outputs = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == 4 * [0], "\n".join(outputs)
    trials = trials_of(url)
    require_exactly(12, trials, toy.folder)
    assert [t.number for t in trials if t.user_attrs.get("role") == "baseline"] == [0]
    assert len([t for t in trials if "enqueued" in t.user_attrs]) == 1
    assert len({t.user_attrs["owner"] for t in trials}) > 1


def test_150_trials_by_8_workers_that_are_killed_on_a_server_that_goes_away(server: Server, url: str, toy: Any) -> None:
    """Of eight processes three are killed, and a worker of one; the server restarts six times, twice as in a crash."""
    rng = random.Random(3)
    command = ("n_trials=150", "hydra.sweeper.baseline=true", "seconds=0.3", f"hydra.sweeper.storage='{url}'")
    logs = [(toy.cwd / f"{i}.txt").open("w") for i in range(8)]
    started: list[subprocess.Popen[str]] = []
    for i, log in enumerate(logs):
        process = toy.start(*command, *(["hydra.sweeper.n_jobs=2"] if i == 0 else []))
        threading.Thread(target=copy, args=(process, log)).start()
        started.append(process)
    wait_until(lambda: len(_trials_so_far(url)) > 10, 120)
    for step in range(6):
        time.sleep(rng.uniform(0.5, 3.0))
        server.stop("immediate" if step % 3 == 1 else "fast")
        if step < 3:
            started[5 + step].kill()
        elif step == 4 and (found := workers(started[0].pid)):
            os.kill(found[0], signal.SIGKILL)
        time.sleep(rng.uniform(0.1, 3.0))
        server.start()
    codes = [process.wait(timeout=900) for process in started]
    wait_until(lambda: all(log.closed for log in logs), 10)
    texts = [(toy.cwd / f"{i}.txt").read_text() for i in range(8)]
    assert codes == 5 * [0] + 3 * [-signal.SIGKILL], "\n".join(text[-2000:] for text in texts)
    require_exactly(150, trials_of(url), toy.folder)
    assert any("The database is away" in text for text in texts), "the server was stopped too late"
    assert [text for text in texts if not is_clean(text)] == []


def copy(process: subprocess.Popen[str], log: TextIO) -> None:
    """Into a file, so that no pipe is ever full."""
    assert process.stdout is not None
    with process.stdout, log:
        shutil.copyfileobj(process.stdout, log)


def is_clean(text: str) -> bool:
    """Whether there is no traceback in it but of sockets that PyMySQL leaves open where the server is away."""
    return "Traceback" not in re.sub(r"Traceback .*\n(?:  .*\n)+ResourceWarning: unclosed <socket", "", text)


def _trials_so_far(url: str) -> list[optuna.trial.FrozenTrial]:
    try:
        return trials_of(url)
    except Exception:  # no table yet
        return []


def test_a_search_waits_for_a_server_that_is_away_and_says_so_once_a_time(server: Server, url: str, toy: Any) -> None:
    process = toy.start("n_trials=6", "seconds=1", f"hydra.sweeper.storage='{url}'")
    wait_until(lambda: (toy.folder / "1" / "app.log").exists())
    server.stop()
    time.sleep(4)
    server.start()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    require_exactly(6, trials_of(url), toy.folder)
    assert 1 <= output.count("The database is away") <= 4
    assert re.search(r"The database is back after \d+ s", output)
    assert is_clean(output)


def interrupt_while_away(server: Server, process: Any) -> str:
    """What a search prints that is ended while its server is stopped, which runs again afterwards."""
    server.stop()
    try:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        server.start()
    assert process.returncode == 130, output
    return str(output)


def test_ctrl_c_ends_a_search_whose_server_is_away(server: Server, url: str, toy: Any) -> None:
    process = toy.start("n_trials=50", "seconds=0.5", f"hydra.sweeper.storage='{url}'", "hydra.sweeper.n_jobs=2")
    wait_until(lambda: (toy.folder / "1" / "app.log").exists())
    everyone = [process.pid, *workers(process.pid)]
    output = interrupt_while_away(server, process)
    assert is_clean(output)
    wait_until(lambda: not any(map(runs, everyone)), 5)
    done = len([trial for trial in trials_of(url) if trial.state.name == "COMPLETE"])
    toy.run(f"n_trials={done + 3}", f"hydra.sweeper.storage='{url}'")
    require_exactly(done + 3, trials_of(url), toy.folder)


def test_ctrl_c_ends_finalists_whose_server_is_away_and_the_same_command_scores_them(
    server: Server, url: str, toy: Any
) -> None:
    command = (*AGAIN[:-1], "n_trials=4", f"hydra.sweeper.storage='{url}'", "hydra.sweeper.n_jobs=2")
    slow = "hydra.sweeper.finalists.overrides={seconds: 20}"
    process = toy.start(*command, slow)
    wait_until(lambda: (toy.folder / "finalists" / "1" / "app.log").exists())
    output = interrupt_while_away(server, process)
    assert "Continue with:" in output and is_clean(output)
    toy.run(*command, slow.replace("20", "0"))
    finalists = trials_of(url, "toy-finalists")
    assert [t.state.name for t in finalists if t.user_attrs["finalist"].endswith("=0")] == 3 * ["COMPLETE"]
