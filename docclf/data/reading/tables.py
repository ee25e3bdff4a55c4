"""CSV files that name pages, and the files that their IDs mean."""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path, PureWindowsPath
from unicodedata import normalize

from docclf.data.formats import IMAGE_SUFFIXES, is_page_file
from docclf.data.reading.names import near, normal, some
from docclf.errors import DataError
from docclf.files import composed

_DELIMITERS = (",", ";", "\t")  # Excel writes semicolons where the comma is the decimal sign
_MOST_BYTES = 1_000_000_000


class Row(dict[str, str]):
    """A row of a CSV file, by column."""

    number = 0  # as a spreadsheet counts rows: the header is 1, and blank ones count


def read_table(path: Path, columns: Sequence[str], or_else: Sequence[str] = ()) -> list[Row]:
    """Rows of a CSV file that has at least these columns, without blanks around names and values.

    The delimiter is a comma, a semicolon or a tab, whichever gives the columns; values that a short row lacks are
    empty.

    Args:
        or_else: What it may have instead.

    Raises:
        DataError: A column is missing or stands there twice, a row has more cells than the header or swallows others,
            the file is not UTF-8, or damaged.
    """
    text = _text(path)
    sign = _delimiter(text, columns, or_else)
    records = _records(path, text, sign)
    _, _, header = next(records, (0, 0, []))
    found = [normal(name) for name in header]
    if not (set(columns) <= set(found) or (or_else and set(or_else) <= set(found))):
        got = ",".join(found) or "an empty file"
        wanted = " or ".join(",".join(names) for names in (columns, or_else) if names)
        way_out = renamed(columns, found) or " Name them in its first line, with commas, semicolons or tabs between."
        raise DataError(f"Expected the columns {wanted} in {path}, got {got}.{way_out}")
    if twice := [name for name, n in Counter(found).items() if n > 1 and name]:
        raise DataError(
            f"Expected every column once in {path}, got {some(twice)} several times. Rename or remove all but one."
        )
    rows = []
    for number, line, cells in records:
        if any(cells[len(found) :]):
            raise DataError(
                f"Expected {len(found)} cells in each row of {path}, got {len(cells)} in line {line}: "
                f"{sign.join(cells)[:80]}. Put quotation marks around a cell that holds {sign!r}."
            )
        rows.append(Row(zip(found, cells + [""] * len(found), strict=False)))
        rows[-1].number = number
        keys = [*columns, *or_else, "target"]
        if swallowed := [key for key in keys if _has_rows(rows[-1].get(key, ""), sign)]:
            raise DataError(
                f"Expected one {swallowed[0]} in a cell of {path}, got whole rows in that of line {line}. "
                "Look there for a quotation mark that is not closed."
            )
    return rows


def _has_rows(cell: str, sign: str) -> bool:
    """Whether a sign that parts cells comes after a line break in one."""
    first = re.search(r"[\r\n]", cell)
    return first is not None and sign in cell[first.end() :]


def renamed(wanted: Sequence[str], found: Sequence[str]) -> str:
    """What to call columns that are nearly called as they should be.

    >>> renamed(["ID", "target"], ["id", "target"]), renamed(["group"], ["ID"])
    (' Rename the column id to ID.', '')
    >>> renamed(["group"], ["ID", "groups"])
    ' Rename the column groups to group.'
    """
    missing = [one for one in wanted if one not in found]
    pairs = [(name, one) for one in missing for name in found if near(name) in (near(one), near(f"{one}s"))]
    return "".join(f" Rename the column {name} to {one}." for name, one in pairs)


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"Expected at most {_MOST_BYTES:,} bytes in {path}, got more. Is it the right file?")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"Expected {path} in UTF-8, got other bytes: {error}. Save it as `CSV UTF-8`.") from error


def _records(path: Path, text: str, sign: str) -> Iterator[tuple[int, int, list[str]]]:
    """The number, the first line and the cells of each row that has any text."""
    line = 1
    sound = re.sub(rf'" +(?=[{sign}\r\n]|$)', '"', text)  # blanks after a quoted cell are none of its text
    reader = csv.reader(io.StringIO(sound, newline=""), delimiter=sign, skipinitialspace=True, strict=True)
    try:
        for number, cells in enumerate(reader, 1):
            if any(cell.strip() for cell in cells):
                yield number, line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"Expected {path} as CSV, got {error} in the row that begins in line {line}. "
            "Look there for a quotation mark that is not closed, or not doubled in a quoted cell."
        ) from error


def delimiter_of(path: Path, columns: Sequence[str]) -> str:
    """The sign between the columns of a CSV file, see `read_table`."""
    return _delimiter(_text(path), columns)


def _delimiter(text: str, *columns: Sequence[str]) -> str:
    r"""The sign between the columns that a text begins with; a comma where none gives the columns, or others.

    >>> _delimiter("ID;target\n", ["ID", "target"]), _delimiter('"a;b", ID', ["ID"]), _delimiter("name", ["ID"])
    (';', ',', ',')
    """
    header = re.split("[\r\n]", text.lstrip("\r\n"), maxsplit=1)[:1]
    for wanted, delimiter in product(filter(None, columns), _DELIMITERS):
        with suppress(csv.Error):  # too long for a cell: no header
            names = next(csv.reader(header, delimiter=delimiter, skipinitialspace=True), [])
            if set(wanted) <= {normal(name) for name in names}:
                return delimiter
    return ","


class PageFinder:
    """Finds the files that IDs mean.

    Args:
        root: Folder of the data set.
        splits: Folders below it that are looked in first, in this order.
    """

    def __init__(self, root: Path, splits: Sequence[str]) -> None:
        self.root = root
        self._bases = [*(root / split for split in splits), root]
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> Path | None:
        """The file of an ID, or the only page file that is called so but for its suffix; None where there is none."""
        if (path := self.find_as_is(name)) is not None:
            return path
        found = self._by_stem(name)
        return found[0] if len(found) == 1 and found[0].is_file() else None

    def find_as_is(self, name: str) -> Path | None:
        """The file of an ID that has its suffix; None where there is none."""
        # Not `Path.is_file`, which raises an error for names that are too long.
        return next((path for path in self._places(name) if os.path.isfile(path)), None)  # noqa: PTH113

    def missing(self, name: str) -> str:
        """Why an ID has no file, with those that it may mean: of several suffixes, or nearly called so."""
        *first, last = map(str, self._bases)
        reason = f"no such file in {', '.join(first)} or {last}"
        if Path(name).is_absolute():
            return f"{reason}, where absolute paths are not followed: write it as a path below {self.root}"
        if len(several := self._by_stem(name)) > 1:
            files = some(path.name for path in several)
            return f"{reason}, but several that differ in their suffix, {files}: keep one, or give the ID its suffix"
        bases = self._bases if self._places(name) else []
        meant = list(dict.fromkeys(file for base in bases for file in self._nearly(base, name)))
        if len(meant) != 1:
            return reason
        return f"{reason}, but one such as {meant[0].name}: write IDs as the files are called"

    def _by_stem(self, name: str) -> list[Path]:
        """Page files that are called as an ID but for their suffix, of the first folder that has any."""
        wanted = composed(PureWindowsPath(name).as_posix())
        for base in self._bases if self._places(name) else ():
            named = {path: path.relative_to(base).with_suffix("").as_posix() for path in self._nearly(base, name)}
            if found := [path for path, stem in named.items() if composed(stem) == wanted]:
                return found
        return []

    def _places(self, name: str) -> list[Path]:
        r"""Where a page may be: in each folder of `splits`, and in the root itself after them.

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
        return [folder / form for folder in self._bases for form in dict.fromkeys(spelled)]

    def _nearly(self, base: Path, name: str) -> list[Path]:
        """Page files below a folder that differ from an ID in their suffix, leading zeros, blanks or case alone."""
        *folders, last = PureWindowsPath(name).parts or ("",)
        found = [base]
        for part in folders:
            found = [path for folder in found for path in self._entries(folder).get(_loose(part), ())]
        files = [path for folder in found for path in self._entries(folder).get(_loose(last), ())]
        return [path for path in files if is_page_file(path)]

    def _entries(self, folder: Path) -> dict[str, list[Path]]:
        """What a folder holds, by names without what may differ; read once, there may be many such IDs."""
        if folder not in self._listed:
            self._listed[folder] = {}
            with suppress(OSError, ValueError):  # there is no such folder, or its name is none
                for path in sorted(folder.iterdir()):
                    self._listed[folder].setdefault(_loose(path.name), []).append(path)
        return self._listed[folder]


def _loose(name: str) -> str:
    """What names of pages have in common that differ in an image's suffix, leading zeros, or what `near` leaves out.

    >>> _loose("Page 007.PNG") == _loose("page_7"), _loose("1.0") == _loose("1.jpg"), _loose("70") == _loose("7")
    (True, True, False)
    """
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 as it is written: a name may end with a blank
    return near(re.sub(r"(?<![0-9])0+(?=[0-9])", "", stem if suffix.lower() in IMAGE_SUFFIXES else name))
