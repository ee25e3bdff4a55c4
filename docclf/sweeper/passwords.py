"""The password of a database: taken out of the config before anything is written, handed on in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

VARIABLE = "DOCCLF_STORAGE_PASSWORD"


def take_password(config: DictConfig) -> None:
    """Move the password of `hydra.sweeper.storage` into the environment, which jobs inherit.

    It leaves every place of the config, the overrides of the command line among them, so that no file, log or printed
    command can hold it.

    Args:
        config: The composed config of a sweep, changed in place.
    """
    storage = OmegaConf.select(config, "hydra.sweeper.storage")
    password = _password(storage) if isinstance(storage, str) else ""
    if not password:
        return
    os.environ[VARIABLE] = password
    for node, key, text in _texts(config):
        if f":{password}@" in text:
            OmegaConf.set_readonly(node, False)
            node._set_item_impl(key, text.replace(f":{password}@", "@"))


def with_password(url: str) -> str:
    """A URL as the database is asked, with the password of the environment if it names a user alone.

    >>> with_password("sqlite:///study.db")
    'sqlite:///study.db'
    """
    scheme, separator, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    password = os.environ.get(VARIABLE)
    if not password or not user or ":" in user:
        return url
    return f"{scheme}{separator}{user}:{password}{at}{place}"


def hide_password(text: str) -> str:
    """A URL, or a text with one, without its password.

    >>> hide_password("postgresql://me:secret@host/db"), hide_password("sqlite:///a.db")
    ('postgresql://me@host/db', 'sqlite:///a.db')
    """
    password = _password(text)
    return text.replace(f":{password}@", "@") if password else text


def _password(url: str) -> str:
    """
    >>> _password("postgresql://me:se:cret@host:5432/db"), _password("mysql://me@host:3306/db")
    ('se:cret', '')
    """
    _, separator, rest = url.partition("://")
    user, at, _ = rest.rpartition("@")
    return user.partition(":")[2] if separator and at else ""


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
