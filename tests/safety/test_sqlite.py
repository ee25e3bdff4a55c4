"""SQLite's files out of somebody else's folder: what stands beside them has no other file written or deleted."""

import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from hydra._internal.utils import get_args
from merged_studies import new_study, tell
from omegaconf import OmegaConf
from optuna.storages import RDBStorage

from docclf.cli.foreign import check_foreign
from docclf.data.cache.contents import content_digests
from docclf.errors import DataError
from docclf.results.study.studies import open_study
from docclf.results.team.sources import read_source
from docclf.safety.sqlite import Connection, require_own_journal
from docclf.sweeper.storage.places import open_storage, study_storage
from docclf.sweeper.study.starting_points import read_study

MAGIC = bytes.fromhex("d9d505f920a163d7")


def add_journal(file: Path, named: str) -> None:
    """A journal as a transaction over several databases leaves it, which names a super-journal."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=delete")
        (pages,), (size,) = (database.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size"))
    name = named.encode()
    header = (MAGIC + struct.pack(">5I", 0, 0, pages, 512, size)).ljust(512, b"\0")
    footer = struct.pack(">II", len(name), sum(name)) + MAGIC
    Path(f"{file}-journal").write_bytes(header + struct.pack(">I", 0x40000000 // size + 1) + name + footer)


@pytest.fixture
def precious(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "precious.txt"
    path.write_text("precious")
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A search's folder."""
    tell(new_study(tmp_path / "theirs"), 0.5, folder=tmp_path / "theirs")
    return tmp_path / "theirs"


def read_only(file: Path) -> None:
    """As on a share that takes no locks: the journal would be copied along."""
    folder = file.parent
    folder.chmod(0o500)
    try:
        read_source(str(folder))
    finally:
        folder.chmod(0o700)


def of_an_object(file: Path) -> None:
    storage = {"_target_": "optuna.storages.RDBStorage", "url": f"sqlite:///{file}"}
    study_storage(OmegaConf.create({"runtime": {"cwd": "."}, "sweeper": {"storage": storage}}))


DOORS: dict[str, Callable[[Path], object]] = {
    "report of a folder": lambda file: open_study(str(file.parent)),
    "report of a file": lambda file: open_study(f"sqlite:///{file}"),
    "merge": lambda file: read_source(str(file.parent)),
    "merge of what cannot be written": read_only,
    "search": lambda file: open_storage(f"sqlite:///{file}"),
    "search by a driver's name": lambda file: open_storage(f"sqlite+pysqlite:///{file}"),
    "search in an object": of_an_object,
    "warm start": lambda file: read_study(str(file.parent), Path()),
    "page cache": lambda file: content_digests([], Path(shutil.copytree(file.parent, "cache"))),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("named", ["precious.txt", "{tmp}/precious.txt"])
def test_no_journal_has_a_file_of_the_reader_deleted(door: str, named: str, theirs: Path, precious: Path) -> None:
    add_journal(theirs / "study.db", named.format(tmp=precious.parent))
    if door == "page cache":
        for path in list(theirs.glob("study.db*")):
            path.rename(path.with_name(path.name.replace("study", "contents")))
    with pytest.raises(
        DataError, match=r"by which another file would be written or deleted\. Remove it: rm "
    ) as caught:
        DOORS[door](theirs / "study.db")
    assert precious.read_text() == "precious"
    if door == "search":
        subprocess.run(str(caught.value).partition("Remove it: ")[2], shell=True, check=True)
        assert optuna.get_all_study_names(open_storage(f"sqlite:///{theirs}/study.db")) == ["search"], "as printed"


def test_sqlite_by_itself_deletes_it(theirs: Path, precious: Path) -> None:
    add_journal(theirs / "study.db", "precious.txt")
    with closing(sqlite3.connect(theirs / "study.db")) as database:
        database.execute("SELECT * FROM studies")
    assert not precious.exists(), "or the journals of these tests are harmless"


KILLED = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size=1")
database.execute("BEGIN")
database.execute("UPDATE t SET x = 'half'")
database.execute("PRAGMA cache_spill=1")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_journal_of_a_process_that_was_killed_is_played_back(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE t (x TEXT)")
        database.executemany("INSERT INTO t VALUES (?)", 2000 * [("whole" * 20,)])
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert b"half" in file.read_bytes() and Path(f"{file}-journal").stat().st_size, "it died in the middle"
    with closing(sqlite3.connect(file, factory=Connection)) as database:
        assert database.execute("SELECT DISTINCT x FROM t").fetchall() == [("whole" * 20,)]


@pytest.mark.parametrize("end", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_what_is_no_file_is_refused_beside_one(end: str, kind: str, theirs: Path, precious: Path) -> None:
    beside = theirs / f"study.db{end}"
    if kind == "pipe":
        os.mkfifo(beside)
    elif kind == "folder":
        beside.mkdir()
    else:
        beside.symlink_to(precious if kind == "link" else precious.parent / "new")
    alias = theirs.parent / "alias.db"
    alias.symlink_to(theirs / "study.db")  # SQLite looks beside what a link leads to
    for file in (theirs / "study.db", alias):
        with pytest.raises(DataError, match=f"got {beside}, by which"):
            sqlite3.connect(file, factory=Connection)
        with pytest.raises(DataError, match=f"got {beside}, by which"):
            sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, factory=Connection)
    assert precious.read_text() == "precious" and not (precious.parent / "new").exists()


@pytest.mark.parametrize(
    ("content", "is_own"),
    [
        (b"", True),
        (MAGIC, True),
        (bytes(8) + MAGIC, True),  # a name of no length
        (b"\0\0\0\1" + bytes(4) + MAGIC, False),
        (b"\x80\0\0\0" + bytes(4) + MAGIC, False),
        (b"\0\0\0\1" + bytes(4) + MAGIC + b"\0", True),
    ],
)
def test_a_name_is_told_by_the_end_of_a_journal_alone_however_large_it_is(
    content: bytes, is_own: bool, tmp_path: Path
) -> None:
    with (tmp_path / "a.db-journal").open("wb") as file:
        if len(content) >= 16:
            file.seek(1 << 40)
        file.write(content)
    if is_own:
        require_own_journal(tmp_path / "a.db")
    else:
        with pytest.raises(DataError):
            require_own_journal(tmp_path / "a.db")


@pytest.mark.parametrize("name", ["contents.db", "pages.npy.partial"])
def test_the_cache_of_a_sent_config_has_no_links_out_of_it(name: str, tmp_path: Path) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "mine.db"
    RDBStorage(f"sqlite:///{mine}").engine.dispose()
    (theirs / "cache").mkdir(parents=True)
    (theirs / "cache" / "contents.db").touch()
    (theirs / "config.yaml").write_text(f"defaults: [train, _self_]\ndata: {{cache_dir: {theirs}/cache}}\n")
    arguments = get_args(["--config-dir", str(theirs), "--config-name", "config"])
    assert check_foreign(arguments, "train") is not None
    (theirs / "cache" / name).unlink(missing_ok=True)
    (theirs / "cache" / name).symlink_to(mine)
    with pytest.raises(DataError, match="without links that lead out of it"):
        check_foreign(arguments, "train")


@pytest.mark.parametrize(
    "evil",
    [
        "CREATE VIEW v AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
        "CREATE TRIGGER t AFTER INSERT ON trials BEGIN DELETE FROM trials; END",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "ALTER TABLE trials ADD COLUMN x GENERATED ALWAYS AS (hex(zeroblob(100000000)))",
        "CREATE TABLE t (a, b AS/**/(hex(a)) VIRTUAL)",
        "CREATE TABLE t (a DEFAULT (hex(zeroblob(100000000))))",
        "CREATE INDEX i ON trials (hex(number))",
        "CREATE INDEX i ON trials (number) WHERE hex(number) = 1",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = CAST(sql || x'202f2aff2a2f' AS TEXT)"
        " WHERE name = 'trials'",  # not UTF-8
    ],
)
def test_a_file_that_computes_is_not_read(evil: str, tmp_path: Path) -> None:
    tell(new_study(tmp_path), 0.5, folder=tmp_path)
    with closing(sqlite3.connect(tmp_path / "study.db")) as database, database:
        database.executescript(evil)
    for read in (open_study, read_source):
        with pytest.raises(DataError, match="which computes"):
            read(str(tmp_path))
