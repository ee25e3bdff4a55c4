"""The password of a storage is in no file and in no line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
import pytest
from database_servers import PostgreSQL, opened, trials_of

pytestmark = pytest.mark.slow

# Of a database user; its characters are those that a URL must encode
SECRET = "s3:cr/et@x%"


@pytest.fixture(scope="module")
def guarded(postgresql: PostgreSQL) -> Iterator[str]:
    """URL, without the password, of a database whose user must give one."""
    postgresql.inner.psql(f"CREATE ROLE guard LOGIN PASSWORD '{SECRET}'")
    postgresql.inner.psql("CREATE DATABASE guarded OWNER guard")
    rules = postgresql.host / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all guard scram-sha-256\n{before}")
    postgresql.inner.psql("SELECT pg_reload_conf()")
    yield f"postgresql://guard@/guarded?host={postgresql.inner.get_postmaster_info().socket_dir}"
    rules.write_text(before)
    postgresql.inner.psql("SELECT pg_reload_conf()")


def leaks(folder: Path) -> list[Path]:
    """Files that hold the password, as it is or as a URL has it."""
    secrets = [SECRET.encode(), quote(SECRET, safe="").encode()]
    found = [path for path in folder.rglob("*") if path.is_file() and any(s in path.read_bytes() for s in secrets)]
    return [path for path in found if "__pycache__" not in path.parts]


FORMS = {
    "url": ("'{front}'", {}),
    "object": ("{{_target_:optuna.storages.RDBStorage,url:'{front}'}}", {}),
    "query": ("'{query}'", {}),
    "engine": (
        "{{_target_:optuna.storages.RDBStorage,url:'{bare}',engine_kwargs:{{connect_args:{{password:'{secret}'}}}}}}",
        {},
    ),
    "another parameter": ("'{front}&sslpassword={encoded}'", {}),
    "interpolation": ("${{oc.env:MY_DATABASE}}", {"MY_DATABASE": "{front}"}),
    "DOCCLF_STORAGE_PASSWORD": ("'{bare}'", {"DOCCLF_STORAGE_PASSWORD": SECRET}),
    "PGPASSWORD": ("'{bare}'", {"PGPASSWORD": SECRET}),
}


@pytest.mark.parametrize(
    ("form", "launcher"),
    [*((form, "basic") for form in FORMS), ("url", "submitit_local"), ("engine", "submitit_local")],
)
def test_the_password_of_a_storage_is_in_no_file_and_in_no_line(
    form: str, launcher: str, guarded: str, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = quote(SECRET, safe="")
    places = {
        "front": guarded.replace("guard@", f"guard:{encoded}@"),
        "bare": guarded,
        "secret": SECRET,
        "encoded": encoded,
        "query": guarded.replace("guard@", "") + f"&user=guard&password={encoded}",
    }
    storage, environment = FORMS[form]
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(**places) if "{" in value else value)
    name = f"{form}-{launcher}"
    output = toy.run(
        f"hydra.sweeper.storage={storage.format(**places)}", f"hydra.sweeper.study_name={name}", "n_trials=3",
        "hydra.sweeper.n_jobs=2", f"hydra/launcher={launcher}", "raise_at=[1]", "hydra.sweeper.max_failure_rate=1",
    ).output  # fmt: skip
    trials = trials_of(places["front"], name)
    assert [t.state.name for t in trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert SECRET not in output and encoded not in output
    assert leaks(toy.cwd) == []
    dump = str([(t.user_attrs, t.system_attrs) for t in trials])
    with opened(places["front"]) as database:
        dump += str(optuna.load_study(study_name=name, storage=database).user_attrs)
    assert SECRET not in dump and encoded not in dump


def test_a_printed_command_has_no_password_and_goes_on_with_the_one_in_the_environment(
    guarded: str, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = quote(SECRET, safe="")
    front = guarded.replace("guard@", f"guard:{encoded}@")
    output = toy.run(
        f"hydra.sweeper.storage='{front}'", "hydra.sweeper.study_name=printed", "signal_at=[1, 1]", "signal=SIGINT",
        code=130,
    ).output  # fmt: skip
    assert encoded not in output
    command = output.partition("Continue with:\n")[2].splitlines()[0].strip()
    assert "guard@" in command
    monkeypatch.setenv("DOCCLF_STORAGE_PASSWORD", SECRET)
    toy.paste(command)
    assert [t.state.name for t in trials_of(front, "printed")].count("COMPLETE") == 4


def test_a_wrong_password_is_told_without_showing_it(guarded: str, toy: Any) -> None:
    wrong = guarded.replace("guard@", "guard:not-this-one@")
    output = toy.run(f"hydra.sweeper.storage='{wrong}'", code=1).output
    assert "password authentication failed" in output
    assert "not-this-one" not in output
    assert "Traceback" not in output


def test_a_study_to_start_from_has_a_password_of_its_own(guarded: str, toy: Any) -> None:
    front = guarded.replace("guard@", f"guard:{quote(SECRET, safe='')}@")
    toy.run(
        f"hydra.sweeper.storage='{front}'", "hydra.sweeper.study_name=source", "hydra.sweep.dir=source", "n_trials=2"
    )
    toy.run(f"hydra.sweeper.warm_start_from='{front}#source'", "n_trials=1")
    assert toy.trials[0].params == min(trials_of(front, "source"), key=lambda t: t.value or 0.0).params
    assert leaks(toy.cwd) == []
