"""The password of a database: taken out of the config before anything is written, handed on in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override

VARIABLE = "DOCCLF_STORAGE_PASSWORD"

# As SQLAlchemy reads it, a password ends at the first @. One that holds an @ is wrong, and hidden up to the last.
_IN_FRONT = re.compile(r"(://[^:/@?\s]*):([^@]+(?:@[^@/?\s]*(?=@))*)@")
_IN_QUERY = re.compile(r"([?&])password=([^&#'\"\s]+)(&|)")
_USER_ALONE = re.compile(r"^([\w+]+://[^:/@?]+)@")

# Of this process: URL without its password, and the password.
_taken: dict[str, str] = {}


def take_passwords(config: DictConfig, *copies: Any) -> None:
    """Move the passwords of databases out of a config, that of `hydra.sweeper.storage` into the environment.

    Jobs inherit it from there. It leaves every place of the config, the overrides of the command line among them, so
    that no file, log or printed command can hold it.

    Args:
        config: The composed config of a sweep, changed in place.
        *copies: Of it, or of a part: changed as well. Hydra keeps one, which launchers send to their jobs.
    """
    found = [url for url in _values(OmegaConf.select(config, "hydra.sweeper.storage")) if passwords_of(url)]
    for url in found:
        os.environ[VARIABLE] = unquote(passwords_of(url)[0])
    source = OmegaConf.select(config, "hydra.sweeper.warm_start_from")
    if isinstance(source, str) and passwords_of(source):
        place = source.partition("#")[0]
        _taken[hide_password(place)] = unquote(passwords_of(source)[0])
        found.append(source)
    secrets = {secret for url in found for secret in passwords_of(url)}
    everywhere = [place for copy in (config, *copies) for place in _texts(copy)] if secrets else []
    for node, key, text in everywhere:
        if any(secret in text for secret in secrets) and (clean := hide_password(text)) != text:
            with flag_override(node, "readonly", False):
                node[key] = clean


def with_password(url: str) -> str:
    """A URL as the database is asked, with the password of the environment if it names a user alone.

    >>> with_password("sqlite:///study.db")
    'sqlite:///study.db'
    """
    password = _taken.get(url) or os.environ.get(VARIABLE)
    if not password or passwords_of(url):
        return url
    quoted = quote(password, safe="")
    if re.search(r"[?&]user=", url):
        return f"{url}&password={quoted}"
    return _USER_ALONE.sub(lambda match: f"{match[1]}:{quoted}@", url)


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


def _values(node: Any) -> Iterator[str]:
    """Every text in a value of a config, resolved."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _values(child)


def _texts(node: Any) -> Iterator[tuple[Any, Any, str]]:
    """Every text in a config as it is written, with where it stands."""
    keys = list(node) if isinstance(node, DictConfig) else range(len(node)) if isinstance(node, ListConfig) else ()
    if OmegaConf.is_config(node) and (node._is_none() or node._is_missing() or node._is_interpolation()):
        return
    for key in keys:
        child = node._get_node(key)
        if OmegaConf.is_config(child):
            yield from _texts(child)
        elif isinstance(child._value(), str):
            yield node, key, child._value()
