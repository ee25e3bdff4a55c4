"""What a place of a study is made of, and texts and objects without the secrets of databases in them."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import OmegaConf

_WORDS = "password|passwd|passphrase|pwd|secret|token|credential|api_?key|access_?key"
_SECRET = rf"(?:[\w.-]*(?:{_WORDS})[\w.-]*|pass)"
# As SQLAlchemy reads it, a password ends at the first @. With more of them a URL is refused, and hidden up to the last.
_IN_FRONT = re.compile(r"(://(?:[^:/@?\s]*|[^:/?\s]*(?=:[^@/?\s]+@))):([^@]+(?:@[^@/?\s]*(?=@))*)@")
_IN_QUERY = re.compile(rf"([?&]){_SECRET}=([^&#'\"\s]+)(&|)", re.IGNORECASE)
# A key of an object, as an override has it.
_IN_OBJECT = re.compile(
    rf"({_SECRET}['\"]?\s*[:=]\s*)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,}}\s&'\"]+)", re.IGNORECASE
)
_KEY = re.compile(_SECRET, re.IGNORECASE)
HIDDEN = "***"
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


def hide_secrets(text: str) -> str:
    """A text without the secrets of URLs and of objects in it.

    >>> hide_secrets("hydra.sweeper.storage={url:'mysql://me@h/x',engine_kwargs:{connect_args:{password:'s, 3'}}}")
    "hydra.sweeper.storage={url:'mysql://me@h/x',engine_kwargs:{connect_args:{password:***}}}"
    """
    text = hide_password(text)
    return _IN_OBJECT.sub(rf"\1{HIDDEN}", text) if "{" in text else text


def hide_password(text: str) -> str:
    """A URL, or a text with one, without its password.

    >>> hide_password("postgresql://me:secret@host/db"), hide_password("sqlite:///a.db")
    ('postgresql://me@host/db', 'sqlite:///a.db')
    >>> hide_password("postgresql:///db?user=me&password=secret&host=/run")
    'postgresql:///db?user=me&host=/run'
    """
    text = _IN_FRONT.sub(r"\1@", text)
    return _IN_QUERY.sub(lambda match: match[1] if match[3] else "", text)


def passwords_of(url: str) -> list[str]:
    """
    >>> passwords_of("postgresql://me:se:cret@host:5432/db"), passwords_of("mysql://me@host:3306/db")
    (['se:cret'], [])
    """
    return [match[2] for pattern in (_IN_FRONT, _IN_QUERY) for match in pattern.finditer(url)]


def secrets_of(node: Any) -> set[str]:
    """Values in an object whose keys say that they are secret."""
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    items = list(plain.items()) if isinstance(plain, dict) else []
    found = {str(v) for key, v in items if _KEY.fullmatch(str(key)) and isinstance(v, str | int) and str(v)}
    found.discard(HIDDEN)
    children = [value for _, value in items] + (plain if isinstance(plain, list) else [])
    return found.union(*(secrets_of(child) for child in children if isinstance(child, dict | list)))
