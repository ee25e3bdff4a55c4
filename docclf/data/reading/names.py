"""One form for a name that is written in several ways, and names that are nearly equal."""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

_SEPARATOR = r"[\s_\u2010-\u2015\u2212-]+"
# Signs that never show: a soft hyphen, marks of direction, blanks without width, a byte order mark. Not those that join
# letters and emoji, which do.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
_JOINERS = re.compile("[\u200c\u200d\ufe00-\ufe0f]")
_MOST = 5  # names in a message


def normal(name: str) -> str:
    """The form of a name that is compared: letters composed (NFC), blanks single and between words only.

    macOS writes a syllable of Hangul as several characters, others as one; spreadsheets leave blanks and marks that
    cannot be seen.

    >>> normal("\\ufeff id\\u00a0card\\u200b "), normal("e\\u0301") == "\\u00e9"
    ('id card', True)
    """
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", name)).split())


def near(name: str) -> str:
    """What names have in common that a person may take for one: case, width, separators and the way of a number.

    >>> near("ID_Card") == near("id\u2013card") == near("idcard"), near("1-2") == near("12")
    (True, False)
    >>> near("00") == near("0.0"), near("-1") == near("\u22121"), near("-1") == near("1")
    (True, True, False)
    """
    text = unicodedata.normalize("NFKC", _JOINERS.sub("", normal(name))).casefold().replace("\u2212", "-")
    if re.fullmatch(r"[+-]?[0-9]+([.,][0-9]*)?", text):
        number = Decimal(text.replace(",", "."))
        return str(number.normalize() if number else 0)
    return re.sub(_SEPARATOR, "", re.sub(rf"(?<=[0-9]){_SEPARATOR}(?=[0-9])", ".", text))


def near_equal(names: Iterable[str]) -> list[str]:
    """The names that are nearly equal to another one, side by side.

    >>> near_equal(["0", "00", "1", "1.0", "a"]), near_equal(["letter", "memo", "Letter"]), near_equal(["1e1", "10"])
    (['0', '00', '1', '1.0'], ['letter', 'Letter'], [])
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(near(name), []).append(name)
    return [name for group in groups.values() if len(group) > 1 for name in group]


def nearest(name: str, names: Iterable[str]) -> str:
    """What may be meant by a name that is not among others: ", but NAME", or nothing.

    >>> nearest("0.0", ["0", "1"]), nearest("b", ["a", "c"])
    (', but 0', '')
    """
    found = [other for other in names if near(other) == near(name)]
    return f", but {some(found)}" if found else ""


def some(names: Iterable[str]) -> str:
    """The first names of many, with what cannot be seen in them written out."""
    shown = [name if name.isprintable() else repr(name)[1:-1] for name in names]
    return ", ".join(shown[:_MOST]) + (f" and {len(shown) - _MOST} more" if len(shown) > _MOST else "")


def count_of(n: int, what: str) -> str:
    """A number and a noun.

    >>> count_of(1, "page"), count_of(2, "page")
    ('1 page', '2 pages')
    """
    return f"{n} {what}{'' if n == 1 else 's'}"
