"""What a person decides of labels, in a file that `data.corrections` reads."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime
from pathlib import Path

from docclf.data.reading.corrections import COLUMNS, Correction, read_corrections
from docclf.data.reading.tables import read_table
from docclf.errors import DataError
from docclf.files import lock
from docclf.results.quality.labels import Suspect
from docclf.safety.cells import write_csv

_HEADER = ("ID", *(field.name for field in fields(Correction)[1:]))


class Decisions:
    """A file of corrections that grows by one decision at a time, whoever else writes to it.

    Args:
        path: The CSV file; it need not be there.
    """

    def __init__(self, path: Path, who: str) -> None:
        self.path, self.who = path, who

    def read(self) -> dict[str, Correction]:
        """Each decision by the ID of its page.

        Raises:
            DataError: See `docclf.data.reading.corrections.read_corrections`; or the file has columns of its own,
                which would be lost.
        """
        if not self.path.exists():
            return {}
        found = read_corrections(self.path)
        if found and (own := [str(key) for key in read_table(self.path, COLUMNS)[0] if key not in _HEADER]):
            raise DataError(
                f"Expected the columns {','.join(_HEADER)} alone in {self.path}, since each decision writes it anew, "
                f"got {', '.join(own)} too. Say --file {shlex.quote(f'{self.path.stem}_reviewed.csv')}"
            )
        return found

    def decide(self, page: str, given: str, new: str | None) -> Correction | None:
        """Write a decision; it is on disk when this returns.

        Args:
            page: ID of the page.
            given: Its target. Where there is a decision, what that calls the old one stays.
            new: Its new target, or the one that it has; empty to leave the page out; None to take a decision back.

        Returns:
            The decision; None without one.

        Raises:
            DataError: See `read`.
            OSError: The file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with lock(self.path.with_name(f".{self.path.name}.lock")):
            found = self.read()
            before = found.pop(page.strip(), None)  # as a cell is read
            one = None
            if new is not None:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                one = found[page.strip()] = Correction(page, before.old if before else given, new, self.who, now)
            write_csv(self.path, _HEADER, map(astuple, found.values()))
        return one


def beside(suspects: Sequence[Suspect]) -> list[list[Suspect]]:
    """Suspected labels in groups, the worst first; pages that are the same with two labels are one group.

    >>> a, b, c = (Suspect(page, "0", "1", 0.1, same) for page, same in ("ac", "b ", "ca"))
    >>> [[one.page for one in group] for group in beside([a, b, c])]
    [['a', 'c'], ['b']]
    """
    by_page = {one.page: one for one in suspects}
    groups: dict[str, list[Suspect]] = {}
    for one in suspects:
        other = by_page.get(one.same_as)
        group = groups.get(one.page) or groups.get(one.same_as) or []
        group += [found for found in (one, other) if found is not None and found not in group]
        groups |= {found.page: group for found in group}
    return list({id(group): group for group in groups.values()}.values())
