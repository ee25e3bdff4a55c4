"""What names a study: its storage and, where that holds several, `#NAME` behind it."""

import re

# A password may have the sign that begins the name, up to the @ before the host.
_PLACE = re.compile(r"((?:[A-Za-z][\w+.-]*://[^/@:#]*:[^/]*@)?[^#]*)(?:#(.*))?", re.DOTALL)


def split_name(given: str) -> tuple[str, str]:
    """The storage, and the name of the study; empty where none is given.

    >>> split_name("sqlite:///study.db#a@b"), split_name("postgresql://me@host/db")
    (('sqlite:///study.db', 'a@b'), ('postgresql://me@host/db', ''))
    >>> split_name("postgresql://me:1#2@host/db#a"), split_name("a.log#b#c")
    (('postgresql://me:1#2@host/db', 'a'), ('a.log', 'b#c'))
    """
    found = _PLACE.fullmatch(given)
    assert found is not None, "every text matches"
    return found[1], found[2] or ""
