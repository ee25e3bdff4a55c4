"""Files of studies, perhaps somebody else's: everything opens those of SQLite by `Connection`."""

import os
import re
import shlex
import shutil
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from docclf.errors import DataError
from docclf.safety.untrusted import plain

# The end of a rollback journal that names a super-journal, see https://www.sqlite.org/fileformat.html
_MAGIC = bytes.fromhex("d9d505f920a163d7")
_FOOTER = 16  # length, checksum and magic
_CELLS = (f"CAST(ifnull({name}, '') AS BLOB)" for name in ("type", "name", "sql"))  # in whatever encoding
_SCHEMA = f"SELECT {', '.join(_CELLS)} FROM sqlite_master"
# In what makes a table or an index: that it is virtual, a column or a default that is computed, an index of some rows
# or of what is computed; and remarks, which could hide these.
_COMPUTES = re.compile(r"\bVIRTUAL\b|\bAS\b|\bDEFAULT\s*\(|/\*|--", re.IGNORECASE)
_COMPUTES_INDEX = re.compile(r"\bWHERE\b|\(.*\(", re.IGNORECASE | re.DOTALL)
# Of the files in which Optuna keeps studies besides.
JOURNALS = (".log", ".journal")


class Connection(sqlite3.Connection):
    """A connection to a file of tables beside which nothing leads elsewhere, for SQLite and Optuna as `factory`.

    Raises:
        DataError: See `require_own_journal`. Or it has views, triggers, virtual tables or columns that are computed,
            which docclf and Optuna make none of: what they do when a table is read or written may never end.
    """

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        text = os.fsdecode(database)
        require_own_journal(Path(unquote(urlsplit(text).path) if kwargs.get("uri") else text))
        super().__init__(database, *args, **kwargs)
        with suppress(sqlite3.DatabaseError):  # whoever reads it will say what is wrong
            self.execute("PRAGMA ignore_check_constraints=ON")  # which are computed, too
            schema = [[cell.decode(errors="replace") for cell in row] for row in self.execute(_SCHEMA)]
            found = next((name for kind, name, sql in schema if _computes(kind, sql)), None)
            if found is not None:
                self.close()
                raise DataError(
                    f"Expected a file of plain tables alone in {plain(text)}, got {plain(found)}, which computes. "
                    "Ask who made it for a copy as docclf or Optuna wrote it."
                )


def _computes(kind: str, sql: str) -> bool:
    """Whether what an entry of the schema stands for is no plain table or index."""
    is_plain = kind in ("table", "index") and not _COMPUTES.search(sql)
    return not is_plain or (kind == "index" and _COMPUTES_INDEX.search(sql) is not None)


def require_own_journal(file: Path) -> None:
    """See that what SQLite keeps beside a file is a file itself, and that its journal names no other one.

    SQLite plays back the journal that a process left behind, and then deletes the super-journal that it names. Only
    transactions over several attached databases have one, and docclf makes none.

    Raises:
        DataError: It does, or a link or another thing that is no file stands in its place.
    """
    real = os.path.realpath(file)  # beside which SQLite keeps them
    for end in ("-journal", "-wal", "-shm"):
        beside = Path(real + end)
        with suppress(FileNotFoundError):  # which another process may remove at any moment
            if not stat.S_ISREG(beside.lstat().st_mode) or _names_other(beside):
                raise DataError(
                    f"Expected what SQLite keeps of {file} beside it, got {plain(str(beside))}, by which another file "
                    f"would be written or deleted. Remove it: rm {shlex.quote(plain(str(beside)))}"
                )


def _names_other(journal: Path) -> bool:
    """Whether a file ends as a journal that names a super-journal."""
    with journal.open("rb") as file:
        if file.seek(0, os.SEEK_END) < _FOOTER:
            return False
        file.seek(-_FOOTER, os.SEEK_END)
        footer = file.read(_FOOTER)
    return footer.endswith(_MAGIC) and any(footer[:4])


def copy_study(path: Path, scratch: Path) -> Path:
    """Copy a study's file, with what SQLite has not written into it yet; the copy."""
    copy = scratch / path.name
    if path.suffix in JOURNALS:
        shutil.copyfile(path, copy)
        return copy
    require_own_journal(path)
    beside = [found for end in ("-wal", "-shm", "-journal") if (found := Path(f"{path}{end}")).is_file()]
    if beside:  # a process has it open, or died
        source = f"{path.absolute().as_uri()}?mode=ro"
        try:
            with (
                closing(sqlite3.connect(source, uri=True, factory=Connection)) as live,
                closing(sqlite3.connect(copy, factory=Connection)) as target,
            ):
                live.backup(target)
            return copy
        except sqlite3.OperationalError:  # cannot be locked, as on a read-only share
            copy.unlink(missing_ok=True)
    for found in [path, *beside]:
        if not found.name.endswith("-shm"):
            shutil.copyfile(found, scratch / found.name)
    return copy
