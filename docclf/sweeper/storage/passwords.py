"""Secrets of databases: taken out of arguments and configs before anything is written, and kept in the environment.

A password is bound to the one place that it was typed for. What a folder or a config names is asked with none.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override

from docclf.safety.untrusted import change_each

# The password of the place that was typed, or that the next one names.
VARIABLE = "DOCCLF_STORAGE_PASSWORD"
# A storage URL without its secrets, or the path of a file: it may be used where a folder names it too.
STORAGE = "DOCCLF_STORAGE"
# For the jobs: URL or object without its secrets, to the same with them.
_WHOLE = "DOCCLF_STORAGE_SECRETS"

_WORDS = "password|passwd|passphrase|pwd|secret|token|credential|api_?key|access_?key"
_SECRET = rf"(?:[\w.-]*(?:{_WORDS})[\w.-]*|pass)"
# As SQLAlchemy reads it, a password ends at the first @. With more of them a URL is refused, and hidden up to the last.
_IN_FRONT = re.compile(r"(://(?:[^:/@?\s]*|[^:/?\s]*(?=:[^@/?\s]+@))):([^@]+(?:@[^@/?\s]*(?=@))*)@")
_IN_QUERY = re.compile(rf"([?&]){_SECRET}=([^&#'\"\s]+)(&|)", re.IGNORECASE)
_USER_ALONE = re.compile(r"^([\w+]+://[^:/@?]+)@")
# Of its signs a password may have those too that end the rest.
_URL = re.compile(r"[A-Za-z][\w+.-]*://(?:[^\s'\"{}#/@:]*:[^\s/@]*@)?[^\s'\"{}#]*")
# A key of an object, as an override has it.
_IN_OBJECT = re.compile(
    rf"({_SECRET}['\"]?\s*[:=]\s*)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,}}\s&'\"]+)", re.IGNORECASE
)
_KEY = re.compile(_SECRET, re.IGNORECASE)
_HIDDEN = "***"
# Keys of the command line whose values are storages.
_STORAGES = ("search.storage", "hydra.sweeper.storage", "search.warm_start_from", "hydra.sweeper.warm_start_from")


def take_arguments() -> None:
    """Take the secrets of storages out of what was typed, before anyone else sees it.

    Whatever records `sys.argv`, as W&B does, finds none.
    """
    sys.argv[:] = [take_argument(text, Path.cwd()) for text in sys.argv]
    sys.orig_argv[:] = map(hide_secrets, sys.orig_argv)


def take_argument(text: str, cwd: Path) -> str:
    """Take note of a storage that is typed, and take its secrets.

    Args:
        text: An override.
        cwd: Where its paths begin.

    Returns:
        It without secrets; one of another key as it is.
    """
    key, _, value = text.partition("=")
    if key.lstrip("+") not in _STORAGES:
        return text
    urls = [url.rstrip(",]") for url in _URL.findall(value)]
    for url in urls:
        _keep(url)
    place = value.strip("'\"")
    _name(*map(hide_password, urls), *([] if urls or not place else [str(cwd / place)]))
    if "{" in value:
        _keep_object(text)
    return hide_secrets(text)


def _keep_object(override: str) -> None:
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
        plain = parsed.value()
    except HydraException:  # which will say so
        return
    if isinstance(plain, dict) and (hidden := _secrets_of(plain)):
        _remember(_object_key(_without(plain, hidden)), json.dumps(plain))


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
    storage = OmegaConf.select(config, "hydra.sweeper.storage")
    found = [url for url in _values(storage) if passwords_of(url)]
    for url in found:
        _keep(url)
    secrets = {secret for url in found for secret in passwords_of(url)}
    hidden = _secrets_of(storage) if OmegaConf.is_config(storage) else set()
    if hidden:
        plain = OmegaConf.to_container(storage, resolve=True)
        _remember(_object_key(_without(plain, hidden)), json.dumps(plain))
    source = OmegaConf.select(config, "hydra.sweeper.warm_start_from")
    if isinstance(source, str) and passwords_of(source):
        for url in _URL.findall(source):
            _keep(url)
        secrets |= set(passwords_of(source))
    typed = storage_named_by_user()
    _name(*(url for url in map(hide_password, _values(storage)) if url in typed))
    everywhere = [place for copy in (config, *copies) for place in _texts(copy)] if secrets or hidden else []
    for node, key, text in everywhere:
        clean = hide_password(text) if any(secret in text for secret in secrets) else text
        if hidden and any(secret in text for secret in hidden):
            clean = _HIDDEN if text in hidden else hide_secrets(clean)
        if clean != text:
            with flag_override(node, "readonly", False):
                node[key] = clean
    if secrets or hidden:
        sys.argv[1:] = map(hide_secrets, sys.argv[1:])
    sys.orig_argv[:] = map(hide_secrets, sys.orig_argv)


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


def _secrets_of(node: Any) -> set[str]:
    """Values in an object whose keys say that they are secret."""
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    items = list(plain.items()) if isinstance(plain, dict) else []
    found = {str(v) for key, v in items if _KEY.fullmatch(str(key)) and isinstance(v, str | int) and str(v)}
    found.discard(_HIDDEN)
    children = [value for _, value in items] + (plain if isinstance(plain, list) else [])
    return found.union(*(_secrets_of(child) for child in children if isinstance(child, dict | list)))


def _without(plain: Any, hidden: set[str]) -> Any:
    return change_each(plain, lambda value: _HIDDEN if str(value) in hidden else value)


def hide_secrets(text: str) -> str:
    """A text without the secrets of URLs and of objects in it.

    >>> hide_secrets("hydra.sweeper.storage={url:'mysql://me@h/x',engine_kwargs:{connect_args:{password:'s, 3'}}}")
    "hydra.sweeper.storage={url:'mysql://me@h/x',engine_kwargs:{connect_args:{password:***}}}"
    """
    text = hide_password(text)
    return _IN_OBJECT.sub(rf"\1{_HIDDEN}", text) if "{" in text else text


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
    written = OmegaConf.to_container(node) if OmegaConf.is_config(node) else None
    children = written.items() if isinstance(written, dict) else enumerate(written if isinstance(written, list) else ())
    for key, child in children:
        if isinstance(child, dict | list):
            yield from _texts(node[key])
        elif isinstance(child, str):
            yield node, key, child
