"""The password of a database leaves the config. In real searches on PostgreSQL: test_postgres.py."""

import os
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf
from sqlalchemy import make_url

from docclf.sweeper import passwords
from docclf.sweeper.passwords import VARIABLE, hide_password, passwords_of, take_passwords, with_password


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(passwords, "_taken", {})


# URL, its password as written, the URL without it
URLS = [
    ("postgresql://me:secret@host/db", "secret", "postgresql://me@host/db"),
    ("postgresql+psycopg://me:se:cret@host:5432/db", "se:cret", "postgresql+psycopg://me@host:5432/db"),
    ("mysql://me:100%25@host/db?charset=utf8", "100%25", "mysql://me@host/db?charset=utf8"),
    ("postgresql://me:a%2Fb%40c@/db?host=/run/x@y", "a%2Fb%40c", "postgresql://me@/db?host=/run/x@y"),
    ("postgresql://me:what?ever@host/db", "what?ever", "postgresql://me@host/db"),
    ("postgresql://me:at@sign@host/db", "at@sign", "postgresql://me@host/db"),
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


@pytest.mark.parametrize("text", WITHOUT)
def test_a_text_without_a_password_stays_as_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert passwords_of(text) == []
    assert hide_password(text) == text


@pytest.mark.parametrize("password", ["secret", "a/b", "a@b:c", "100%", "ü ñ", "#?&=+", "s3:cr/et@x%"])
def test_the_database_is_asked_with_the_password_of_the_environment(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, password)
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
    assert make_url(with_password(clean)).render_as_string(hide_password=False) in (
        make_url(url).render_as_string(hide_password=False),
        f"{clean}&password={password}",
    )


def test_the_password_of_a_storage_that_is_an_object_is_taken_too() -> None:
    composed = config({"_target_": "optuna.storages.RDBStorage", "url": "postgresql://me:secret@host/db"})
    take_passwords(composed)
    assert composed.search.storage.url == "postgresql://me@host/db"
    assert os.environ[VARIABLE] == "secret"


def test_a_study_to_start_from_keeps_its_own_password_in_this_process_alone() -> None:
    source = "postgresql://you:other@elsewhere/db#invoices"
    composed = config("postgresql://me:secret@host/db", warm_start_from=source)
    take_passwords(composed)
    assert composed.hydra.sweeper.warm_start_from == "postgresql://you@elsewhere/db#invoices"
    assert with_password("postgresql://you@elsewhere/db") == "postgresql://you:other@elsewhere/db"
    assert with_password("postgresql://me@host/db") == "postgresql://me:secret@host/db"
    assert os.environ[VARIABLE] == "secret"


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
    assert os.environ[VARIABLE] == "secret"
