"""Text of others in CSV files: no cell that a spreadsheet program would take for a formula."""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def escaped(text: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would run it; numbers stay as they are.

    >>> escaped("=1+1.png"), escaped("'=1.png"), escaped("-1"), escaped("bill")
    ("'=1+1.png", "''=1.png", '-1', 'bill')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unescaped(text: str) -> str:
    """What `escaped` was given.

    >>> unescaped("'=1+1.png"), unescaped("''=1.png"), unescaped("-1"), unescaped("'bill'")
    ('=1+1.png', "'=1.png", '-1', "'bill'")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
