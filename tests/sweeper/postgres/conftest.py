"""A server for all tests of a process, and a database for each."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import Server


@pytest.fixture(scope="session")
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
