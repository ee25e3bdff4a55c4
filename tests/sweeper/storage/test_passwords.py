"""The password of a database leaves the config. In real searches on PostgreSQL: test_postgres.py."""

import json
import os
import re
import sys
from functools import partial
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from slowly import slowly
from sqlalchemy import make_url

from docclf.errors import ConfigError, DocclfError
from docclf.results.study.studies import open_study
from docclf.results.team.sources import read_source
from docclf.sweeper.storage.hiding import hide_password, hide_secrets, passwords_of, split_name
from docclf.sweeper.storage.passwords import (
    STORAGE,
    VARIABLE,
    require_no_passwords,
    take_arguments,
    take_passwords,
    with_password,
    with_secrets,
)
from docclf.sweeper.storage.places import open_storage
from docclf.sweeper.study.starting_points import read_study


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, STORAGE, "DOCCLF_STORAGE_SECRETS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "docclf.train"])


# URL, its password as written, the URL without it
URLS = [
    ("postgresql://me:secret@host/db", "secret", "postgresql://me@host/db"),
    ("postgresql+psycopg://me:se:cret@host:5432/db", "se:cret", "postgresql+psycopg://me@host:5432/db"),
    ("mysql://me:100%25@host/db?charset=utf8", "100%25", "mysql://me@host/db?charset=utf8"),
    ("postgresql://me:a%2Fb%40c@/db?host=/run/x@y", "a%2Fb%40c", "postgresql://me@/db?host=/run/x@y"),
    ("postgresql://me:what?ever@host/db", "what?ever", "postgresql://me@host/db"),
    ("postgresql://me:pa#s{s}@host/db", "pa#s{s}", "postgresql://me@host/db"),
    ('postgresql://me:pa"ss@host/db', 'pa"ss', "postgresql://me@host/db"),
    ("postgresql://me:at@sign@host/db", "at@sign", "postgresql://me@host/db"),
    ("postgresql://me@azure:secret@host/db", "secret", "postgresql://me@azure@host/db"),
    ("postgresql:///db?user=me&password=secret&host=/run", "secret", "postgresql:///db?user=me&host=/run"),
    ("postgresql:///db?password=secret&user=me", "secret", "postgresql:///db?user=me"),
    ("postgresql:///db?user=me&password=secret", "secret", "postgresql:///db?user=me"),
]
WITHOUT = [
    "sqlite:///study.db",
    "sqlite:////home/me@work/a:b/study.db",
    "postgresql://me@host:5432/db",
    "postgresql://host:5432/db",
    "postgresql://postgres:@/db?host=/run/x@y/z",
    "study.log",
    "data.root=/a:b@c",
]


@pytest.mark.parametrize(("url", "password", "clean"), URLS)
def test_a_password_is_found_and_hidden_wherever_it_stands(url: str, password: str, clean: str) -> None:
    assert passwords_of(url) == [password]
    assert hide_password(url) == clean
    assert hide_password(f"hydra.sweeper.storage='{url}'") == f"hydra.sweeper.storage='{clean}'"


@pytest.mark.parametrize(
    "url",
    ["me:s3@cret@host:1/db", "me:s3/cr@et@host", "me:s3?cr@et@host/db", "me:s3@cr@et@/db", "me@s3:cret@host:1/db"],
)
def test_a_password_with_an_at_is_refused_and_never_shown_as_the_host(url: str) -> None:
    with pytest.raises(ConfigError, match="Say %40 for one in a password") as caught:
        open_storage(f"oracle://{url}")
    assert not re.search("s3|cr|et@", str(caught.value))
    user, _, host = url.rpartition("@")
    with pytest.raises(ConfigError, match=r"driver is missing.* pip install PyMySQL and say mysql\+pymysql://"):
        open_storage(f"oracle://{user.replace('@', '%40').replace('/', '%2F')}@{host}")


@pytest.mark.parametrize("password", ["se#cret", "#", *slowly("s#e@cret", "se@c#ret")])
def test_a_password_with_the_sign_of_a_name_is_no_name_and_never_shown(
    password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docclf.sweeper.storage.places.time.sleep", lambda seconds: None)  # between its attempts
    given = f"postgresql://me:{password}@localhost:1/db"
    assert split_name(f"{given}#x") == (given, "x")
    for opened in (open_study, read_source, partial(read_study, cwd=tmp_path)):
        with pytest.raises(DocclfError, match=r"postgresql://me@localhost:1/db|Say %40") as caught:
            opened(f"{given}#x")
        assert "cret" not in str(caught.value)


@pytest.mark.parametrize("text", WITHOUT)
def test_a_text_without_a_password_stays_as_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passwords_of(text) == []
    assert hide_password(text) == text


@pytest.mark.parametrize("password", ["secret", "a/b", "a@b:c", "100%", "ü ñ", "#?&=+", "s3:cr/et@x%"])
def test_the_database_is_asked_with_the_password_of_the_environment(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, password)
    monkeypatch.setattr(sys, "argv", ["x", "search.storage='postgresql://me@host:5432/db?connect_timeout=3'"])
    monkeypatch.setenv(STORAGE, "postgresql:///db?user=me\nsqlite:////home/me@work/a.db\npostgresql://host/db")
    url = make_url(with_password("postgresql://me@host:5432/db?connect_timeout=3"))
    assert (url.username, url.password, url.host, url.port, url.database) == ("me", password, "host", 5432, "db")
    assert make_url(with_password("postgresql:///db?user=me")).query["password"] == password
    for plain in ("sqlite:////home/me@work/a.db", "postgresql://host/db", "postgresql://me:other@host/db"):
        assert with_password(plain) == plain


def config(storage: object, *overrides: str, warm_start_from: str | None = None) -> DictConfig:
    return OmegaConf.create(
        {
            "search": {"storage": storage, "note": "see https://me:other@wiki/page"},
            "hydra": {
                "sweeper": {"storage": "${search.storage}", "warm_start_from": warm_start_from},
                "overrides": {"task": list(overrides)},
                "job": {"override_dirname": ",".join(overrides), "num": "???"},
            },
        }
    )


@pytest.mark.parametrize(("url", "password", "clean"), [row for row in URLS if "sign" not in row[0]])
def test_a_password_leaves_every_place_of_the_config(url: str, password: str, clean: str) -> None:
    composed = config(url, f"search.storage='{url}'", "optimizer.lr=1")
    OmegaConf.set_readonly(composed.hydra, True)
    take_passwords(composed)
    text = OmegaConf.to_yaml(composed)
    assert password not in text.replace("password", "").replace("?", "") or password in ("what?ever",)
    assert passwords_of(composed.search.storage) == []
    assert composed.hydra.sweeper.storage == clean
    assert composed.hydra.overrides.task == [f"search.storage='{clean}'", "optimizer.lr=1"]
    assert composed.search.note == "see https://me:other@wiki/page", "what is no database's stays"
    assert OmegaConf.is_readonly(composed.hydra)
    assert with_password(clean) == url


def test_the_password_of_a_storage_that_is_an_object_is_taken_too() -> None:
    composed = config({"_target_": "optuna.storages.RDBStorage", "url": "postgresql://me:secret@host/db"})
    take_passwords(composed)
    assert composed.search.storage.url == "postgresql://me@host/db"
    plain = OmegaConf.to_container(composed.search.storage)
    assert with_secrets(plain)["url"] == "postgresql://me:secret@host/db"


def test_a_study_to_start_from_keeps_its_own_password() -> None:
    source = "postgresql://you:other@elsewhere/db#invoices"
    composed = config("postgresql://me:secret@host/db", warm_start_from=source)
    take_passwords(composed)
    assert composed.hydra.sweeper.warm_start_from == "postgresql://you@elsewhere/db#invoices"
    assert with_password("postgresql://you@elsewhere/db") == "postgresql://you:other@elsewhere/db"
    assert with_password("postgresql://me@host/db") == "postgresql://me:secret@host/db"


def test_a_copy_of_the_config_is_cleaned_too() -> None:
    url = "postgresql://me:secret@host/db"
    composed = config(url, f"search.storage='{url}'")
    copy = composed.copy()
    OmegaConf.set_readonly(copy, True)
    take_passwords(composed, copy, None)
    assert "secret" not in OmegaConf.to_yaml(copy)


def test_a_config_without_a_password_is_left_alone(tmp_path: Path) -> None:
    for storage in (None, "sqlite:///a.db", "postgresql://me@host/db"):
        composed = config(storage, f"search.storage={storage}")
        before = OmegaConf.to_yaml(composed)
        take_passwords(composed)
        assert OmegaConf.to_yaml(composed) == before
    assert os.environ[VARIABLE] == ""


def test_a_password_that_comes_from_the_environment_is_in_no_text_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATABASE", "postgresql://me:secret@host/db")
    composed = config("${oc.env:MY_DATABASE}")
    take_passwords(composed)
    assert "secret" not in OmegaConf.to_yaml(composed)
    assert with_password("postgresql://me@host/db") == "postgresql://me:secret@host/db"


OBJECT = {
    "_target_": "optuna.storages.RDBStorage",
    "url": "postgresql://me@host/db",
    "engine_kwargs": {"connect_args": {"password": "s3:cr, et", "sslmode": "require", "timeout": 3}},
}


def test_secrets_within_a_storage_that_is_an_object_leave_every_place_too() -> None:
    text = "{_target_:optuna.storages.RDBStorage,engine_kwargs:{connect_args:{password:'s3:cr, et',sslmode:require}}}"
    composed = config(OBJECT, f"hydra.sweeper.storage={text}")
    sys.argv += [f"hydra.sweeper.storage={text}"]
    sys.orig_argv += [f"hydra.sweeper.storage={text}"]
    take_passwords(composed, copy := composed.copy())
    written = OmegaConf.to_yaml(composed) + OmegaConf.to_yaml(copy) + str([sys.argv, sys.orig_argv])
    assert "s3:cr" not in written and "sslmode" in written
    assert with_secrets(OmegaConf.to_container(composed.search.storage)) == OBJECT, "as the database is asked"


def test_an_object_that_is_typed_loses_them_before_anyone_looks() -> None:
    text = "{_target_:x.Y,url:'postgresql://me@host/db',engine_kwargs:{connect_args:{password:'s3:cr, et',timeout:3}}}"
    sys.argv[1:] = sys.orig_argv[3:] = [f"search.storage={text}"]
    take_arguments()
    assert "s3:cr" not in str([sys.argv, sys.orig_argv])
    (override,) = OverridesParser.create().parse_overrides(sys.argv[1:])
    composed = config(override.value())
    take_passwords(composed)
    found = with_secrets(OmegaConf.to_container(composed.search.storage))
    assert found["engine_kwargs"]["connect_args"] == {"password": "s3:cr, et", "timeout": 3}
    assert found["url"] == "postgresql://me@host/db" and "s3:cr" not in OmegaConf.to_yaml(composed)


@pytest.mark.parametrize(
    "name", ["password", "sslpassword", "passwd", "pwd", "token", "secret_key", "api_key", "X-Token"]
)
def test_other_parameters_of_a_url_are_secrets_by_their_names(name: str) -> None:
    url = f"postgresql://me@host/db?application_name=x&{name}=s3cret&sslmode=require"
    clean = "postgresql://me@host/db?application_name=x&sslmode=require"
    composed = config(url, f"search.storage='{url}'")
    take_passwords(composed)
    assert "s3cret" not in OmegaConf.to_yaml(composed) and composed.search.storage == clean
    assert with_password(clean) == url
    assert hide_secrets(f"cannot ask {url}") == f"cannot ask {clean}"


@pytest.mark.parametrize(("url", "password", "clean"), [row for row in URLS if "sign" not in row[0]])
def test_what_was_typed_loses_its_secrets_before_anyone_looks(url: str, password: str, clean: str) -> None:
    for key in ("search.storage", "hydra.sweeper.storage", "+search.storage", "search.warm_start_from"):
        sys.argv[1:] = ["-m", f"{key}='{url}'", "optimizer.lr=1", "note=https://me:other@wiki/page"]
        sys.orig_argv[3:] = sys.argv[1:]
        take_arguments()
        assert sys.argv[1:] == ["-m", f"{key}='{clean}'", "optimizer.lr=1", "note=https://me:other@wiki/page"]
        assert password not in " ".join(sys.orig_argv).replace("?password", "") or password == "other"
        assert with_password(clean) == url


FORMS = [
    "search={{storage:'{url}',n_trials:3}}",
    "+search={{warm_start_from:'{url}'}}",
    "hydra.sweeper={{storage:'{url}'}}",
    "hydra={{sweeper:{{storage:'{url}'}}}}",
    "search.storage.url='{url}'",
    "search[storage]='{url}'",
    "++hydra.sweeper.storage.url='{url}'",
    "~search.storage='{url}'",
    "search={{storage:'{url}'",  # which is none, and shown by Hydra
]


@pytest.mark.parametrize("form", FORMS)
def test_what_was_typed_within_a_mapping_loses_its_secrets_too(form: str) -> None:
    sys.argv[1:] = sys.orig_argv[3:] = [form.format(url="postgresql://me:secret@host/db")]
    take_arguments()
    assert sys.argv[1:] == sys.orig_argv[3:] == [form.format(url="postgresql://me@host/db")]
    if form.endswith("}") or "{" not in form:
        assert with_password("postgresql://me@host/db") == "postgresql://me:secret@host/db"


@pytest.mark.parametrize(
    ("form", "key"),
    [("search={{storage:{}}}", "search.storage"), ("hydra={{sweeper:{{storage:{}}}}}", "hydra.sweeper.storage")],
)
def test_an_object_within_a_mapping_loses_its_secrets_too(form: str, key: str) -> None:
    text = "{_target_:x.Y,url:'postgresql://me@host/db',engine_kwargs:{connect_args:{password:'s3:cr, et',timeout:3}}}"
    sys.argv[1:] = sys.orig_argv[3:] = [form.format(text)]
    take_arguments()
    assert "s3:cr" not in str([sys.argv, sys.orig_argv])
    (override,) = OverridesParser.create().parse_overrides(sys.argv[1:])
    composed = OmegaConf.create({override.key_or_group: override.value()})
    found = with_secrets(OmegaConf.to_container(OmegaConf.select(composed, key)))
    assert found["engine_kwargs"]["connect_args"] == {"password": "s3:cr, et", "timeout": 3}


def test_a_secret_of_an_object_is_not_typed_alone() -> None:
    sys.argv[1:] = ["search.storage.engine_kwargs.connect_args.password=s3cret"]
    with pytest.raises(ConfigError, match="within the object that it belongs to") as caught:
        take_arguments()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["hydra={job:{env_set:{MY_TOKEN:x}}}", "search={n_trials:3}", "note={storage:'a://b:c@d'}"]
)
def test_what_is_no_storage_is_left_as_it_was_typed(text: str) -> None:
    sys.argv[1:] = [text]
    take_arguments()
    assert sys.argv[1:] == [text] and os.environ[STORAGE] == ""


@pytest.mark.parametrize("key", ["search.storage", "search.warm_start_from"])
def test_a_password_at_a_key_that_the_search_does_not_ask_leaves_the_config_too(key: str) -> None:
    composed = config("sqlite:///other.db")
    OmegaConf.update(composed, "hydra.sweeper.storage", "sqlite:///other.db")
    OmegaConf.update(composed, key, "postgresql://me:secret@host/db", force_add=True)
    take_passwords(composed)
    assert "secret" not in OmegaConf.to_yaml(composed)


def test_the_config_of_what_searches_nothing_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATABASE", "postgresql://me:secret@host/db")
    for storage in ("postgresql://me:secret@host/db", "${oc.env:MY_DATABASE}", OBJECT):
        with pytest.raises(ConfigError, match=r"Say search\.storage=null, or") as caught:
            require_no_passwords(config(storage))
        assert "secret" not in str(caught.value)
    for storage in (None, "study.log", "postgresql://me@host/db", "${oc.env:NO_DATABASE}"):
        require_no_passwords(config(storage))


@pytest.mark.parametrize(
    "named",
    [
        "postgresql://me@evil/db",
        "postgresql://me@host.evil/db",
        "postgresql://me@host:5433/db",
        "postgresql://me@host/db?host=evil",
        "postgresql://me@host/db?hostaddr=6.6.6.6",
        "postgresql://host@evil/db",
        "mysql://me@host/db",
    ],
)
def test_a_password_is_sent_nowhere_but_where_it_was_typed_for(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take_passwords(config("postgresql://me:secret@host/db"))
    monkeypatch.setenv(VARIABLE, "other")
    monkeypatch.setattr(sys, "argv", ["report.py", "theirs", "search.storage=postgresql://you@host2/db"])
    assert with_password(named) == named
    assert with_secrets({"_target_": "optuna.storages.RDBStorage", "url": named})["url"] == named
    assert with_password("postgresql://you@host2/db") == "postgresql://you:other@host2/db"


def test_jobs_find_the_place_that_was_typed_in_their_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "secret")
    monkeypatch.setattr(sys, "argv", ["x", "search.storage=postgresql://me@host/db"])
    take_passwords(config("postgresql://me@host/db"))
    monkeypatch.setattr(sys, "argv", ["job"])
    assert with_password("postgresql://me@host/db") == "postgresql://me:secret@host/db"
    assert json.dumps("secret") not in os.environ[STORAGE]
