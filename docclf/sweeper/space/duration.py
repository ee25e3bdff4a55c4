"""Times as they are written in a config."""

from __future__ import annotations

import re
from typing import Any

from docclf.errors import ConfigError


def read_timeout(given: Any) -> float | None:
    """Seconds of a time budget, given so or as a text of hours, minutes and seconds; None for none.

    Raises:
        ConfigError: It is neither, or not above 0.

    >>> read_timeout(90), read_timeout("30m"), read_timeout("1h30m"), read_timeout("0.5s"), read_timeout(None)
    (90.0, 1800.0, 5400.0, 0.5, None)
    """
    if given is None:
        return None
    number = r"(\d+(?:\.\d*)?|\.\d+)"
    found = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s?)?", str(given).replace(" ", ""))
    seconds = (
        sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if isinstance(given, bool) or not seconds:
        raise ConfigError(
            f"Expected the timeout to be seconds, or a text such as 90s, 30m or 1h30m, above 0, or null for none, "
            f"got timeout={given}."
        )
    return seconds
