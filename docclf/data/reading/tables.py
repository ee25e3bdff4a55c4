"""CSV files that name pages, and the files that their IDs mean."""

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import Any
from unicodedata import normalize

from docclf.data.formats import IMAGE_SUFFIXES, is_page_file
from docclf.data.reading.names import normal, some
from docclf.errors import DataError

_DELIMITERS = (",", ";", "\t")  # Excel writes semicolons where the comma is the decimal sign


def read_table(path: Path, columns: Sequence[str], or_else: Sequence[str] = ()) -> list[dict[str, str]]:
    """Rows of a CSV file that has at least these columns, without blanks around names and values.

    The delimiter is a comma, a semicolon or a tab, whichever gives the columns; values that a short row lacks are
    empty.

    Args:
        or_else: What it may have instead.

    Raises:
        DataError: A column is missing or stands there twice, the file is not UTF-8, or damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, restval="", delimiter=_delimiter(header, columns))
            found = [normal(name) for name in reader.fieldnames or ()]
            reader.fieldnames = found
            rows = [{name: _stripped(value) for name, value in row.items()} for row in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"Expected {path} in UTF-8, got other bytes: {error}. Save it as `CSV UTF-8`.") from error
    except csv.Error as error:
        raise DataError(
            f"Expected {path} as CSV, got {error}. Look for a quotation mark that is not closed."
        ) from error
    if not (set(columns) <= set(found) or (or_else and set(or_else) <= set(found))):
        raise DataError(f"Expected the columns {','.join(columns)} in {path}, got {','.join(found)}.")
    if twice := [name for name, n in Counter(found).items() if n > 1 and name]:
        raise DataError(
            f"Expected every column once in {path}, got {some(twice)} several times. Rename or remove all but one."
        )
    return rows


def delimiter_of(path: Path, columns: Sequence[str]) -> str:
    """The sign between the columns of a CSV file, see `read_table`."""
    with path.open(encoding="utf-8-sig") as file:
        return _delimiter(file.readline(), columns)


def _delimiter(header: str, columns: Sequence[str]) -> str:
    r"""The sign between the columns of a header line; a comma where none gives the columns.

    >>> _delimiter("ID;target\n", ["ID", "target"]), _delimiter('"a;b", ID', ["ID"]), _delimiter("name", ["ID"])
    (';', ',', ',')
    """
    for delimiter in _DELIMITERS:
        names = next(csv.reader([header], delimiter=delimiter), [])
        if set(columns) <= {normal(name) for name in names}:
            return delimiter
    return ","


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value  # a list holds what a row has too many


class PageFinder:
    """Finds the files that IDs mean.

    Args:
        root: Folder of the data set.
        splits: Folders below it that are looked in first, in this order.
    """

    def __init__(self, root: Path, splits: Sequence[str]) -> None:
        self.root, self.splits = root, splits
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> Path | None:
        """The file of an ID; None where there is none."""
        # Not `Path.is_file`, which raises an error for names that are too long.
        return next((path for path in self._places(name) if os.path.isfile(path)), None)  # noqa: PTH113

    def missing(self, name: str) -> str:
        """Why an ID has no file, with the one that it may mean: it lacks a suffix, or is nearly called so."""
        reason = f"no such file in {', '.join(str(self.root / split) for split in self.splits)} or {self.root}"
        bases = [self.root / split for split in self.splits] + [self.root] if self._places(name) else []
        meant = list(dict.fromkeys(file for base in bases for file in self._nearly(base, name)))
        if len(meant) != 1:
            return reason
        is_short = meant[0].stem == PureWindowsPath(name).name
        way_out = "give IDs their suffix" if is_short else "write IDs as the files are called"
        return f"{reason}, but one such as {meant[0].name}: {way_out}"

    def _places(self, name: str) -> list[Path]:
        return [path for split in self.splits for path in candidates(self.root, split, name)]

    def _nearly(self, base: Path, name: str) -> list[Path]:
        """Page files below a folder that differ from an ID in their suffix, leading zeros, blanks or case alone."""
        *folders, last = PureWindowsPath(name).parts or ("",)
        found = [base]
        for part in folders:
            found = [path for folder in found for path in self._entries(folder).get(_loose(part), ())]
        files = [path for folder in found for path in self._entries(folder).get(_loose(last), ())]
        return [path for path in files if _suffix(last) in ("", _suffix(path.name)) and is_page_file(path)]

    def _entries(self, folder: Path) -> dict[str, list[Path]]:
        """What a folder holds, by names without what may differ; read once, there may be many such IDs."""
        if folder not in self._listed:
            self._listed[folder] = {}
            with suppress(OSError, ValueError):  # there is no such folder, or its name is none
                for path in sorted(folder.iterdir()):
                    self._listed[folder].setdefault(_loose(path.name), []).append(path)
        return self._listed[folder]


def _suffix(name: str) -> str:
    """The kind of image that a name says, if any."""
    suffix = Path(name).suffix.lower()
    return {".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix) if suffix in IMAGE_SUFFIXES else ""


def _loose(name: str) -> str:
    """What names have in common that differ in an image's suffix, leading zeros, blanks or case alone.

    >>> _loose("Page 007.PNG") == _loose("page_7"), _loose("1.0") == _loose("1.jpg"), _loose("70") == _loose("7")
    (True, True, False)
    """
    stem = name[: -len(Path(name).suffix)] if _suffix(name) else re.sub(r"\.0+$", "", name)
    stem = re.sub(r"(?<![0-9])0+(?=[0-9])", "", normal(stem).casefold())
    return re.sub(r"[\s_-]+", "", stem)


def find_page(root: Path, page: str) -> tuple[Path, int]:
    """File of a training page, and which of its pages it is, from 0.

    Args:
        root: `data.root`.
        page: ID of the page: its path below the root or below `root/train`, with `#N` for page N of a file.

    Raises:
        FileNotFoundError: It is not there, or the ID leads out of the root.
    """
    file, _, last = page.rpartition("#")
    named = [(page, 0), *([(file, int(last) - 1)] if last.isdecimal() else [])]
    for name, number in named:
        parts = PureWindowsPath(name)  # which knows both signs
        if not parts.anchor and ".." not in parts.parts:
            for path in candidates(root, "train", name):
                if os.path.isfile(path):  # noqa: PTH113  # see `PageFinder.find`
                    return path, number
    raise FileNotFoundError(f"Expected the page {page} below {root}, got no such file.")


def candidates(root: Path, split: str, name: str) -> list[Path]:
    r"""Where a page may be.

    Nowhere for a name that leads out of the folder. macOS writes a syllable of Hangul as several characters (NFD),
    others as one (NFC), and Windows writes \ for /.
    """
    if Path(name).is_absolute() or ".." in re.split(r"[/\\]", name):  # the list may be somebody else's
        return []
    spelled = [
        form
        for text in (name, name.replace("\\", "/"))
        for form in (text, normalize("NFC", text), normalize("NFD", text))
    ]
    return [folder / form for form in dict.fromkeys(spelled) for folder in (root / split, root)]
