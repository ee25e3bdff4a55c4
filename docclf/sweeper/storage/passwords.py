"""Secrets of databases: taken out of arguments and configs before anything is written, and kept in the environment.

A password is bound to the one place that it was typed for. What a folder or a config names is asked with none.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from docclf.errors import ConfigError
from docclf.safety.untrusted import change_each
from docclf.sweeper.storage.hiding import HIDDEN, hide_password, hide_secrets, passwords_of, secrets_of

# The password of the place that was typed, or that the next one names.
VARIABLE = "DOCCLF_STORAGE_PASSWORD"
# A storage URL without its secrets, or the path of a file: it may be used where a folder names it too.
STORAGE = "DOCCLF_STORAGE"
# For the jobs: URL or object without its secrets, to the same with them.
_WHOLE = "DOCCLF_STORAGE_SECRETS"

_USER_ALONE = re.compile(r"^([\w+]+://[^:/@?]+)@")
# Of its signs a password may have those too that end the rest.
_URL = re.compile(r"[A-Za-z][\w+.-]*://(?:[^\s'\"{}#/@:]*:[^\s/@]*@)?[^\s'\"{}#]*")
# Keys of the command line whose values are storages.
_STORAGES = ("search.storage", "hydra.sweeper.storage", "search.warm_start_from", "hydra.sweeper.warm_start_from")


def take_arguments() -> None:
    """Take the secrets of storages out of what was typed, before anyone else sees it.

    Whatever records `sys.argv`, as W&B does, finds none.
    """
    sys.argv[:] = [take_argument(text, Path.cwd()) for text in sys.argv]
    sys.orig_argv[:] = map(hide_secrets, sys.orig_argv)


def take_argument(text: str, cwd: Path) -> str:
    """Take note of a storage that is typed, be it within a mapping, and take its secrets.

    Args:
        text: An override.
        cwd: Where its paths begin.

    Returns:
        It without secrets; one of another key as it is.

    Raises:
        ConfigError: A secret of an object is typed alone, without which the object would not be known again.
    """
    key, _, value = text.partition("=")
    name = ".".join(filter(None, re.split(r"[.\[\]]+", key.lstrip("+~"))))
    below = [storage.removeprefix(f"{name}.") for storage in _STORAGES if storage.startswith(f"{name}.")]
    if name in _STORAGES:
        _note(value, cwd)
        _keep_object(_parsed(text) if "{" in value else None)
    elif any(name.startswith(f"{storage}.") for storage in _STORAGES):
        _require_no_secret(name, value)
        _note(value, cwd)
    elif not below:
        return text
    elif isinstance(parsed := _parsed(text), dict):
        mapping = OmegaConf.create(parsed)
        storages = [found for rest in below if (found := OmegaConf.select(mapping, rest)) is not None]
        for storage in storages:
            for place in _values(storage):
                _note(place, cwd)
            _keep_object(OmegaConf.to_container(storage) if OmegaConf.is_config(storage) else None)
        if not storages:
            return text
    return hide_secrets(text)


def _parsed(override: str) -> Any:
    """The value of an override; None where Hydra will say that it is none."""
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
        return parsed.value()
    except HydraException:
        return None


def _note(value: str, cwd: Path) -> None:
    urls = [url.rstrip(",]") for url in _URL.findall(value)]
    for url in urls:
        _keep(url)
    place = value.strip("'\"")
    _name(*map(hide_password, urls), *([] if urls or not place else [str(cwd / place)]))


def _keep_object(plain: Any) -> None:
    if isinstance(plain, dict) and (hidden := secrets_of(plain)):
        clean = change_each(plain, lambda value: HIDDEN if str(value) in hidden else value)
        _remember(_object_key(clean), json.dumps(plain))


def _require_no_secret(name: str, value: str) -> None:
    if secrets_of({name.rpartition(".")[2]: value}):
        storage = next(one for one in _STORAGES if name.startswith(f"{one}."))
        raise ConfigError(
            f"Expected `{name}` within the object that it belongs to, or its URL, got it alone. "
            f"Say {storage}={{...}} with all of its keys, or leave it out and say export {VARIABLE}=PASSWORD"
        )


def _name(*places: str) -> None:
    """Let the jobs know what was typed."""
    known = [place for place in os.environ.get(STORAGE, "").split("\n") if place]
    if more := [place for place in places if place not in known]:
        os.environ[STORAGE] = "\n".join([*known, *more])


def take_passwords(config: DictConfig, *copies: Any) -> None:
    """Move the secrets of databases out of a config, those of `hydra.sweeper.storage` into the environment.

    Jobs inherit them from there. They leave every place of the config, the overrides of the command line among them, so
    that no file, log or printed command can hold one.

    Args:
        config: The composed config of a sweep, changed in place.
        *copies: Of it, or of a part: changed as well. Hydra keeps one, which launchers send to their jobs.
    """
    nodes = [OmegaConf.select(config, key) for key in _STORAGES]
    found = [text for node in nodes for text in _values(node) if passwords_of(text)]
    for text in found:
        for url in (text, *_URL.findall(text)):
            _keep(url)
    secrets = {secret for text in found for secret in passwords_of(text)}
    objects = [OmegaConf.to_container(node, resolve=True) for node in nodes if OmegaConf.is_config(node)]
    hidden = set[str]().union(*map(secrets_of, objects))
    for plain in objects:
        _keep_object(plain)
    typed = storage_named_by_user()
    _name(*(url for node in nodes[:2] for url in map(hide_password, _values(node)) if url in typed))
    everywhere = [place for copy in (config, *copies) for place in _texts(copy)] if secrets or hidden else []
    for node, key, text in everywhere:
        clean = hide_password(text) if any(secret in text for secret in secrets) else text
        if hidden and any(secret in text for secret in hidden):
            clean = HIDDEN if text in hidden else hide_secrets(clean)
        if clean != text:
            with flag_override(node, "readonly", False):
                node[key] = clean
    if secrets or hidden:
        sys.argv[1:] = map(hide_secrets, sys.argv[1:])
    sys.orig_argv[:] = map(hide_secrets, sys.orig_argv)


def require_no_passwords(config: DictConfig) -> None:
    """Refuse the config of a command that searches nothing, and so takes no secrets out before files hold it.

    Raises:
        ConfigError: It has one of a storage.
    """
    for key in _STORAGES:
        with suppress(OmegaConfBaseException):  # one that cannot be resolved is written as it is
            node = OmegaConf.select(config, key)
            if secrets_of(node) or any(map(passwords_of, _values(node))):
                raise ConfigError(
                    f"Expected no password in `{key}` of a config that is written and shown as it is, got one. Say "
                    f"{key}=null, or take it out of the config and say export {VARIABLE}=PASSWORD"
                )


def _keep(url: str) -> None:
    if passwords_of(url):
        _remember(hide_password(url), url)


def _known() -> dict[str, str]:
    return dict(json.loads(os.environ.get(_WHOLE) or "{}"))


def _remember(clean: str, whole: str) -> None:
    os.environ[_WHOLE] = json.dumps(_known() | {clean: whole})


def storage_named_by_user() -> set[str]:
    """Storage URLs without their secrets, and paths of files, that were typed or stand in `DOCCLF_STORAGE`."""
    typed = {hide_password(url) for text in sys.argv[1:] for url in _URL.findall(text)}
    return {*typed, *(url.partition(",")[0] for url in typed), *os.environ.get(STORAGE, "").split("\n")}


def with_password(url: str) -> str:
    """A URL as the database is asked: with the secrets that it was typed with.

    One that was typed without a password, or that `DOCCLF_STORAGE` names, gets that of `DOCCLF_STORAGE_PASSWORD` if it
    names a user.

    >>> with_password("sqlite:///study.db")
    'sqlite:///study.db'
    """
    if (whole := _known().get(url)) is not None:
        return whole
    password = os.environ.get(VARIABLE)
    if not password or passwords_of(url) or url not in storage_named_by_user():
        return url
    quoted = quote(password, safe="")
    if re.search(r"[?&]user=", url):
        return f"{url}&password={quoted}"
    return _USER_ALONE.sub(lambda match: f"{match[1]}:{quoted}@", url)


def with_secrets(storage: dict[str, Any]) -> dict[str, Any]:
    """A storage that is an object, as it was typed: with its secrets."""
    found = json.loads(_known().get(_object_key(storage), json.dumps(storage)))
    url = found.get("url")
    return {**found, "url": with_password(url)} if isinstance(url, str) else found


def _object_key(plain: Any) -> str:
    return json.dumps({key: value for key, value in plain.items() if key != "url"}, sort_keys=True)


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
    written = OmegaConf.to_container(node) if OmegaConf.is_config(node) else None
    children = written.items() if isinstance(written, dict) else enumerate(written if isinstance(written, list) else ())
    for key, child in children:
        if isinstance(child, dict | list):
            yield from _texts(node[key])
        elif isinstance(child, str):
            yield node, key, child
