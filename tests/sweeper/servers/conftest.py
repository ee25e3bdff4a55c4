"""Servers for all tests of a process, and a database for each."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from database_servers import MariaDB, PostgreSQL, Server

_NUMBERS = itertools.count()


@contextmanager
def running(make: Callable[[Path], Any]) -> Iterator[Any]:
    # Not in pytest's folder: run as root, the server is another user's, whom every start of pytest shuts out again.
    folder = Path(tempfile.mkdtemp(prefix="server-"))
    folder.chmod(0o755)
    server = make(folder / "data")
    yield server
    server.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with running(PostgreSQL) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    if not MariaDB.is_here():
        pytest.skip("needs mariadbd: apt-get install mariadb-server, pip install pymysql")
    with running(MariaDB) as server:
        yield server


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def url(server: Server) -> str:
    return server.new_database(f"database_{next(_NUMBERS)}")
