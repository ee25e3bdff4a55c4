"""Claims on a study on a database server, and calls that wait for a server that is away."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from database_servers import Server, opened, trials_of
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from docclf.sweeper.storage import claims, patience
from docclf.sweeper.storage.claims import ClaimLostError, claim_lock, is_remote
from docclf.sweeper.storage.places import open_storage
from docclf.sweeper.storage.shared import SharedStorage

# PyMySQL leaves a socket open where a server is away.
unclosed = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
pytestmark = [pytest.mark.slow, unclosed]


@pytest.fixture
def storage(url: str) -> Iterator[SharedStorage]:
    """As the sweeper opens it."""
    storage = open_storage(url)
    assert isinstance(storage, SharedStorage)
    yield storage
    storage.remove_session()
    storage._backend.engine.dispose()


@pytest.fixture
def other(url: str) -> Iterator[RDBStorage]:
    """As another process has it."""
    with opened(url) as storage:
        yield storage


def test_a_database_server_is_remote_and_its_storage_patient(storage: SharedStorage) -> None:
    assert is_remote(storage)


def test_a_claim_is_held_by_one_at_a_time_and_of_one_study(other: RDBStorage, storage: SharedStorage) -> None:
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


def test_a_claim_ends_with_the_process_that_had_it(url: str, storage: SharedStorage) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    with claim_lock(storage, "a"):
        pass  # which would wait for good, as this holder is never taken for frozen


HOLD = """
import sys, time
from docclf.sweeper.storage import claims
from docclf.sweeper.storage.claims import claim_lock
from docclf.sweeper.storage.places import open_storage
claims._LONGEST_CLAIM_S = 0
with claim_lock(open_storage(sys.argv[1]), "a"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_claim_of_a_machine_that_froze_is_taken_back_and_it_is_told_so(
    other: RDBStorage, storage: SharedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_LONGEST_CLAIM_S", 1)
    with pytest.raises(ClaimLostError), claim_lock(storage, "a"), claim_lock(other, "a"):
        taken = True
    assert taken


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_claim_is_lost_with_the_server_and_can_be_had_again(
    server: Server, storage: SharedStorage, mode: str
) -> None:
    with pytest.raises(ClaimLostError), claim_lock(storage, "a"):
        server.stop(mode)
        server.start()
    with claim_lock(storage, "a"):
        pass


def test_calls_are_made_again_until_the_server_is_back(server: Server, storage: SharedStorage) -> None:
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
from docclf.sweeper.storage.places import open_storage
optuna.logging.set_verbosity(optuna.logging.WARNING)
here, me, rounds, pattern = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
for i in range(rounds):
    (here / f"{i}-{me}").touch()
    while len(list(here.glob(f"{i}-*"))) < 8:
        time.sleep(0.0005)
    storage = open_storage(pattern.replace("ROUND", str(i)))
    study = optuna.create_study(study_name="fresh", storage=storage, load_if_exists=True)
    study.tell(study.ask(), 1.0)
    if pattern.startswith(("postgresql", "mysql")):
        storage.remove_session()
        storage._backend.engine.dispose()
"""


@pytest.mark.parametrize("kind", ["sqlite", "journal", "postgresql", "mariadb"])
def test_a_fresh_study_is_opened_by_8_processes_at_the_same_instant(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    rounds = 12 if kind in ("sqlite", "journal") else 5
    pattern = {"sqlite": f"sqlite:///{tmp_path}/ROUND.db", "journal": f"{tmp_path}/ROUND.log"}.get(kind)
    if pattern is None:
        server = request.getfixturevalue(kind)
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
