"""Names, links and places out of somebody else's folder: nothing is read, written or removed outside of it."""

import os
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from merged_studies import merge, new_study, tell
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from slowly import slowly
from small_models import save_model

from docclf.errors import ConfigError, DataError
from docclf.files import link, lock, replacing
from docclf.inference.folder import load_ensemble
from docclf.models.state import save_state
from docclf.report import main as report
from docclf.results.folders import link_folder
from docclf.results.reading import baseline_run, read_run
from docclf.results.study.studies import open_study
from docclf.results.study.winner import place_run
from docclf.results.team.sources import read_source
from docclf.safety.allow import build_listed
from docclf.safety.untrusted import inside, read_config, read_yaml, require_whole
from docclf.training.folds.checkpoints import FoldCheckpoints

OUTSIDE = ["..", "../x", "a/../../x", "/x", "..\\x", "", "\0", "a\0b", None, 3, ["a"], "leads/x", "out"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with links out of it, beside a secret."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_text("secret")
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "leads").symlink_to(tmp_path / "secret")
    (folder / "out").symlink_to(tmp_path / "secret" / "x")
    (folder / "own").write_text("own")
    (folder / "alias").symlink_to("own")
    return folder


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_leads_nowhere_else(name: Any, folder: Path) -> None:
    with pytest.raises(DataError, match="which leads elsewhere"):
        inside(folder, name)


@pytest.mark.parametrize("name", ["own", "alias", "new", "a/b", "..x", "x..", "서식"])
def test_a_name_in_the_folder_is_taken(name: str, folder: Path) -> None:
    assert inside(folder, name) == folder / name
    if "/" in name:
        with pytest.raises(DataError):
            inside(folder, name, is_plain=True)


def test_links_out_of_a_search_are_refused_and_models_may_be_elsewhere(folder: Path) -> None:
    with pytest.raises(DataError, match="Expected a folder without links that lead out of it"):
        require_whole(folder)
    (folder / "leads").rename(folder / "model")
    (folder / "out").unlink()
    (folder / "broken").symlink_to("nowhere")
    (folder / "wandb").mkdir()
    (folder / "wandb" / "debug.log").symlink_to(folder.parent / "secret" / "x")
    require_whole(folder)
    require_whole(folder / "nowhere")


@pytest.mark.parametrize(
    "place", ["train.log", "2", ".study.db.lock", "finalists/0", "0/wandb", "a/wandb/x", "best/wandb/x"]
)
@pytest.mark.parametrize("target", ["secret/x", "new", "secret"])
@pytest.mark.parametrize("name", ["theirs", "wandb"])
def test_a_link_out_of_a_search_is_seen_whatever_it_and_its_folder_are_called(
    name: str, target: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").touch()
    path = tmp_path / name / place
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / target)
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / name, Path(name)):
        with pytest.raises(DataError, match="links that lead out of it") as caught:
            require_whole(folder)
    subprocess.run(str(caught.value).partition("remove it: ")[2], shell=True, check=True)
    require_whole(Path(name))
    assert (tmp_path / "secret" / "x").is_file(), "what is printed removes the link alone"


@pytest.mark.parametrize("place", ["wandb", "3/wandb", "finalists/0/wandb"])
def test_links_that_weights_and_biases_makes_are_let_be(place: str, tmp_path: Path) -> None:
    path = tmp_path / "search" / place / "run" / "files" / "kept.txt"
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "kept.txt")
    require_whole(tmp_path / "search")


def test_a_link_in_a_circle_leads_nowhere_else(folder: Path) -> None:
    (folder / "circle").symlink_to("circle")
    assert inside(folder, "circle") == folder / "circle"


# What is written


def test_a_file_that_appears_whole_is_written_through_no_link(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / f".a.partial-{os.getpid()}.csv").symlink_to(mine)
    (tmp_path / "a.csv").symlink_to(mine)
    with replacing(tmp_path / "a.csv") as partial:
        partial.write_text("new")
    assert (mine.read_text(), (tmp_path / "a.csv").read_text()) == ("mine", "new")


@pytest.mark.parametrize("target", ["mine", "nowhere", "a.lock"])
def test_a_lock_is_no_link(target: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "a.lock").symlink_to(target)
    with pytest.raises(DataError, match="Expected a file to lock, got the link") as caught:
        lock(tmp_path / "a.lock")
    subprocess.run(str(caught.value).partition("Remove it: ")[2], shell=True, check=True)
    with lock(tmp_path / "a.lock"):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.lock", "mine"]
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_model_is_written_beside_what_a_link_in_its_place_leads_to(tmp_path: Path) -> None:
    mine = save_model(tmp_path / "mine")
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "model").symlink_to(mine)
    save_model(tmp_path / "0" / "model", members=1)
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert (tmp_path / "0" / "model" / "model.yaml").is_file() and not (tmp_path / "0" / "model").is_symlink()


# Models


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "linked.safetensors"])
@pytest.mark.parametrize("key", ["members", "weights", "backbone"])
def test_files_of_a_model_are_in_its_folder(name: str, key: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    shutil.copyfile(model / "fold_0.safetensors", tmp_path / "secret.safetensors")
    (model / "linked.safetensors").symlink_to(tmp_path / "secret.safetensors")
    described = yaml.safe_load((model / "model.yaml").read_text(encoding="utf-8"))
    if key == "members":
        described["members"] = [name]
    else:
        head = {"fraction": 0.5, "sides": [32], "stages": False, "aspect": False}
        described["head"] = {**head, "weights": "fold_0.safetensors", "backbone": "fold_0.safetensors", key: name}
    (model / "model.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    with pytest.raises(DataError, match="leads elsewhere"):
        load_ensemble(model)


# The folder of a search


@pytest.mark.parametrize("name", ["..", "../..", ".", "../study.db", "/etc", "a/../../study.db"])
def test_a_verdict_removes_nothing_outside_of_best(name: str, tmp_path: Path) -> None:
    best = tmp_path / "search" / "best"
    best.mkdir(parents=True)
    (best.parent / "0").mkdir()
    (tmp_path / "search" / "study.db").touch()
    (best / "verdict.yaml").write_text(yaml.safe_dump({"files": [name]}))
    with pytest.raises(DataError, match="leads elsewhere"):
        place_run(best.parent, best.parent / "0", {"winner": {"folder": "0"}})
    assert (tmp_path / "search" / "study.db").is_file() and (best / "verdict.yaml").is_file()


@pytest.mark.parametrize("name", ["../../secret", "/etc", "leads"])
def test_a_verdict_names_runs_of_its_search_alone(name: str, folder: Path) -> None:
    (folder / "best").mkdir()
    (folder / "best" / "verdict.yaml").write_text(yaml.safe_dump({"baseline": {"folder": name}}))
    with pytest.raises(DataError, match="leads elsewhere"):
        baseline_run(folder)


def test_files_of_a_run_are_no_links_out_of_it(folder: Path) -> None:
    (folder / "oof.csv").symlink_to(folder.parent / "secret" / "x")
    with pytest.raises(DataError, match="leads elsewhere"):
        read_run(folder)


def test_links_are_neither_copied_nor_followed(folder: Path) -> None:
    link_folder(folder, folder.parent / "copy")
    assert [path.name for path in (folder.parent / "copy").iterdir()] == ["own"]
    with pytest.raises(DataError, match="got the link"):
        link(folder / "out", folder.parent / "new")


def test_what_an_earlier_run_kept_is_taken_over_without_its_links(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "0" / "resume").mkdir(parents=True)
    save_state(tmp_path / "0" / "resume" / "folds.safetensors", {"key": "key", "folds": {}})
    (tmp_path / "0" / "resume" / "fold_0_net.safetensors").symlink_to(tmp_path / "secret")
    assert FoldCheckpoints(tmp_path / "1", "key", [tmp_path / "0"]).resume()
    assert [path.name for path in (tmp_path / "1" / "resume").iterdir()] == ["folds.safetensors"]


@pytest.mark.parametrize(
    "place", ["0/secret", "0/index.html", "finalists/0", "artifacts/x", "0/.hydra", "0", "best", "wandb"]
)
def test_a_search_with_a_link_out_of_it_is_neither_reported_nor_merged(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "id_rsa").write_text("secret")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "index.html").write_text("mine")
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    for i, search in enumerate((theirs, mine)):
        tell(new_study(search), 0.5 + i / 10, folder=search, host=f"host{i}")
    path = theirs / place
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    is_folder = place in ("finalists/0", "0", "0/.hydra", "best", "wandb")
    path.symlink_to(tmp_path / "home" if is_folder else tmp_path / "id_rsa")
    assert report([str(theirs)]) == 2
    assert "links that lead out" in capsys.readouterr().err
    with pytest.raises(DataError, match="links that lead out"):
        merge(mine, theirs, out=tmp_path / "team")
    assert (tmp_path / "home" / "index.html").read_text() == "mine" and not (tmp_path / "team").exists()


# Places of studies


def named(folder: Path, storage: Any, **more: Any) -> Path:
    """A search's folder that says where its study is."""
    folder.mkdir(parents=True, exist_ok=True)
    sweeper = {"storage": storage, "study_name": "private"}
    hydra = {"sweep": {"dir": "multirun/x"}, "runtime": {"cwd": str(folder.parent)}, "sweeper": sweeper, **more}
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    return folder


@pytest.mark.parametrize(
    "storage",
    [
        "private.db",
        "{tmp}/private.db",
        "sqlite:///{tmp}/private.db",
        "sqlite:///{tmp}/new.db",
        *slowly(
            "sqlite:///new.db",
            "{tmp}/new.log",
            "sqlite:///file:{tmp}/private.db?uri=true",
            "postgresql://me@localhost:1/x",
            "mysql+pymysql://me@localhost:1/x",
            {"_target_": "optuna.storages.RDBStorage", "url": "sqlite:///{tmp}/private.db"},
            {"_target_": "optuna.storages.RDBStorage", "url": "postgresql://me@localhost:1/x"},
            {
                "_target_": "optuna.storages.JournalStorage",
                "log_storage": {"_target_": "x", "file_path": "{tmp}/new.log"},
            },
            {"_target_": "optuna.storages.JournalStorage", "log_storage": {"_target_": "x", "file_path": "new.log"}},
            {"_target_": "optuna.storages.GrpcStorageProxy", "host": "elsewhere", "port": 1},
        ),
    ],
)
def test_a_folder_does_not_say_where_studies_are_read_or_made(storage: Any, tmp_path: Path) -> None:
    optuna.create_study(study_name="private", storage=f"sqlite:///{tmp_path / 'private.db'}").set_user_attr("a", "b")
    text = yaml.safe_dump(storage).replace("{tmp}", str(tmp_path))
    theirs = named(tmp_path / "theirs", yaml.safe_load(text))
    before = sorted(tmp_path.rglob("*"))
    for read in (lambda: open_study(str(theirs)), lambda: read_source(str(theirs))):
        with pytest.raises(ConfigError, match=r"which its multirun\.yaml names.*DOCCLF_STORAGE="):
            read()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["InMemoryStorage", "JournalStorage", "RDBStorage"])
def test_a_storage_that_names_no_place_is_not_made(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCCLF_STORAGE", "None:None")
    theirs = named(tmp_path / "theirs", {"_target_": f"optuna.storages.{name}"})
    with pytest.raises(ConfigError, match=rf"a place that is kept, got optuna.storages.{name}, which names none"):
        open_study(str(theirs))


@pytest.mark.parametrize(
    "more",
    [
        {"engine_kwargs": {"connect_args": {"hostaddr": "127.0.0.1", "port": "{port}"}}},
        {"engine_kwargs": "${evil}"},
        {"url": "", "_args_": ["postgresql+psycopg://${oc.env:MY_TOKEN}@127.0.0.1:{port}/x"]},
    ],
)
def test_no_other_server_is_asked_than_the_one_that_was_named(
    more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql+psycopg://me@localhost:1/x"
    monkeypatch.setenv("DOCCLF_STORAGE", url)
    monkeypatch.setenv("DOCCLF_STORAGE_PASSWORD", "s3cret")
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        theirs = named(tmp_path / "theirs", {"_target_": "optuna.storages.RDBStorage", "url": url, **more})
        path = theirs / "multirun.yaml"
        evil = yaml.safe_dump({"evil": {"connect_args": {"host": "127.0.0.1", "port": port}}})
        path.write_text(path.read_text().replace("{port}", port) + evil)
        with pytest.raises(ConfigError):  # at localhost:1 nobody answers
            open_study(str(theirs))
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_text_of_others_is_no_interpolation_where_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    assert build_listed({"_target_": "builtins.str", "object": "${oc.env:MY_TOKEN}"}, "x", ["builtins.str"]) == (
        "${oc.env:MY_TOKEN}"
    )


GROWING = {
    "a text": ["a0: " + "x" * 100, *(f"a{i}: " + f"${{a{i - 1}}}" * 10 for i in range(1, 9)), "name: ${a8}"],
    "a mapping": ["k0: {x: 1}", *(f"k{i}: {{x: '${{k{i - 1}}}', y: '${{k{i - 1}}}'}}" for i in range(1, 30))],
    "by a resolver": ["a0: " + "x" * 100, *(f"a{i}: " + f"${{oc.select:a{i - 1}}}" * 10 for i in range(1, 9))],
    "by its siblings": ["a:", " b0: " + "x" * 100, *(f" b{i}: " + f"${{.b{i - 1}}}" * 10 for i in range(1, 9))],
    "a circle": ["a: ${b}", "b: ${a}"],
}  # fmt: skip


@pytest.mark.parametrize("lines", GROWING.values(), ids=GROWING)
def test_a_config_that_grows_when_it_is_resolved_is_refused(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(DataError, match="too large when its interpolations are resolved"):
        read_config(tmp_path / "config.yaml")


def test_a_config_whose_interpolations_end_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: ${")
    with pytest.raises(DataError, match="Expected a config in"):
        read_config(tmp_path / "config.yaml")


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(new_study(tmp_path), 0.5, folder=tmp_path)
    os.mkfifo(tmp_path / "0" / ".hydra" / "pipe.yaml")
    assert report([str(tmp_path)]) == 2
    assert "Expected a file in" in capsys.readouterr().err
    with pytest.raises(DataError, match="Expected a file in"):
        read_yaml(tmp_path / "0" / ".hydra" / "pipe.yaml")


def test_a_journal_given_as_an_object_is_read_where_its_file_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = JournalFileBackend(str(tmp_path / "j.log"))
    optuna.create_study(study_name="private", storage=JournalStorage(backend))
    log_storage = {"_target_": "optuna.storages.journal.JournalFileBackend", "file_path": "j.log"}
    theirs = named(tmp_path / "theirs", {"_target_": "optuna.storages.JournalStorage", "log_storage": log_storage})
    with pytest.raises(ConfigError) as caught:
        open_study(str(theirs))
    said = str(caught.value).rpartition("DOCCLF_STORAGE=")[2]
    assert said == str(tmp_path / "j.log")
    monkeypatch.setenv("DOCCLF_STORAGE", said)
    monkeypatch.chdir(tmp_path)
    assert open_study(str(theirs))[0].study_name == "private"


def test_a_place_that_was_typed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "mine.db"
    optuna.create_study(study_name="private", storage=f"sqlite:///{place}")
    theirs = named(tmp_path / "theirs", f"sqlite:///{place}")
    with pytest.raises(ConfigError) as caught:
        open_study(str(theirs))
    monkeypatch.setenv("DOCCLF_STORAGE", str(caught.value).rpartition("DOCCLF_STORAGE=")[2])
    assert open_study(str(theirs))[0].study_name == "private", "what the message says works"
    assert read_source(str(theirs)).name == "private"


def test_a_config_in_a_folder_does_not_read_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cret")
    path = tmp_path / "config.yaml"
    path.write_text(
        "a: ${oc.env:MY_SECRET}\nb: ${a}\nc: '${oc.${d}:MY_SECRET}'\nd: env\ne: 1e-3\n"
        "f: 'x\\${oc.env:MY_SECRET}'\ng: '\\\\${oc.env:MY_SECRET}'\nh: '\\${a:${oc.env:MY_SECRET}}'\n"
    )
    config = read_config(path)
    assert [config.a, config.b, config.e] == ["${oc.env:MY_SECRET}", "${oc.env:MY_SECRET}", 1e-3]
    assert not any("s3cret" in str(config[key]) for key in config)


def test_a_trial_that_is_called_as_a_path_has_no_page_written_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(new_study(tmp_path / "theirs"), 0.5, folder=tmp_path / "theirs")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with sqlite3.connect(tmp_path / "theirs" / "study.db") as database:
        database.execute("UPDATE trials SET number = '../mine'")
    assert report([str(tmp_path / "theirs")]) == 2
    assert "a number from 0 up" in capsys.readouterr().err
    assert (tmp_path / "mine" / "index.html").read_text() == "mine"
