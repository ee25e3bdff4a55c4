"""YAML of others that is small as a text and vast, or slow, when it is read."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from docclf.errors import DataError

_MOST_DEPTH = 50
_BYTES_A_VALUE = 256  # in memory, whatever it is
# To read one to the base of 60, such as 1:1:1, takes time by the square of its digits; others could not be shown.
_LONG_NUMBER = re.compile(r"[-+]?\d[\da-fA-FxXob_:.]{400,}")


def require_small(path: Path, events: Iterable[yaml.Event], most: int) -> None:
    """Refuse YAML by whose aliases a few lines stand for millions, that has millions of values, or vast numbers.

    Args:
        path: Where it stands.
        most: Bytes that its values may take, those that an alias repeats each time.

    Raises:
        DataError: It is such.
    """
    sizes: dict[str, int] = {}  # of what an alias may repeat
    inside: list[tuple[str | None, int]] = []  # the anchor of each list and mapping that is open, what came before it
    total = 0
    for event in events:
        anchor = getattr(event, "anchor", None)
        before, is_long = total, False
        if isinstance(event, yaml.AliasEvent):
            total += sizes.get(anchor or "", most)  # of a circle, or of none
        elif isinstance(event, yaml.CollectionStartEvent):
            inside.append((anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = inside.pop()
        elif isinstance(event, yaml.ScalarEvent):
            total += len(event.value)
            is_long = event.implicit[0] and _LONG_NUMBER.fullmatch(event.value) is not None
        total += _BYTES_A_VALUE * isinstance(event, yaml.NodeEvent)
        if anchor and not isinstance(event, yaml.AliasEvent | yaml.CollectionStartEvent):
            sizes[anchor] = total - before
        if total > most or is_long or len(inside) > _MOST_DEPTH:
            raise DataError(
                f"Expected plain YAML in {path}, got one that repeats or nests itself too often, or has too many "
                "values or digits."
            )
