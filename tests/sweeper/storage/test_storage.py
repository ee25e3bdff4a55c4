"""Where a study lives: SQLite, a journal, an object, and many processes at once."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from docclf.errors import ConfigError
from docclf.sweeper.storage.places import study_storage, sweep_dir
from docclf.sweeper.study.starting_points import read_study

COMPLETE = optuna.trial.TrialState.COMPLETE


def trials_of(storage: Any) -> Sequence[FrozenTrial]:
    return optuna.load_study(study_name="toy", storage=storage).get_trials(deepcopy=False)


def journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def rdb(url: str) -> str:
    return f"{{_target_:optuna.storages.RDBStorage,url:'{url}',engine_kwargs:{{connect_args:{{timeout:10}}}}}}"


def journal_object(path: str) -> str:
    backend = f"{{_target_:optuna.storages.journal.JournalFileBackend,file_path:'{path}'}}"
    return f"{{_target_:optuna.storages.JournalStorage,log_storage:{backend}}}"


@pytest.mark.parametrize(
    ("storage", "opened"),
    [
        ("sqlite:///deep/er/a.db", lambda cwd: RDBStorage(f"sqlite:///{cwd}/deep/er/a.db")),
        pytest.param("deep/er/a.log", lambda cwd: journal(cwd / "deep/er/a.log"), marks=pytest.mark.slow),
        pytest.param("a.journal", lambda cwd: journal(cwd / "a.journal"), marks=pytest.mark.slow),
        pytest.param(
            rdb("sqlite:///{cwd}/a.db"), lambda cwd: RDBStorage(f"sqlite:///{cwd}/a.db"), marks=pytest.mark.slow
        ),
        pytest.param(journal_object("{cwd}/a.log"), lambda cwd: journal(cwd / "a.log"), marks=pytest.mark.slow),
    ],
    ids=["sqlite", "log", "journal", "RDBStorage", "JournalStorage"],
)
def test_a_storage_is_one_for_the_search_and_its_jobs_that_change_their_folder(
    storage: str, opened: Any, toy: Any
) -> None:
    storage = storage.replace("{cwd}", str(toy.cwd))
    quoted = storage if storage.startswith("{") else f"'{storage}'"
    command = ("hydra.job.chdir=true", f"hydra.sweeper.storage={quoted}", "hydra.sweeper.baseline=true")
    toy.run("n_trials=2", *command)
    toy.run("n_trials=3", *command)
    trials = trials_of(opened(toy.cwd))
    assert [t.state for t in trials] == 3 * [COMPLETE]
    assert [t.user_attrs["colour"] for t in trials] == [t.params["colour"] for t in trials], "a job found its trial"
    assert [len(t.intermediate_values) for t in trials] == [3, 3, 3]
    assert toy.folders() == [0, 1, 2]
    assert not list(toy.folder.rglob("*.db")) + list(toy.folder.rglob("a.*")), "a job opened another storage"


def hydra_in(cwd: Path, name: str) -> DictConfig:
    folders = {"runtime": {"cwd": str(cwd)}, "sweep": {"dir": f"multirun/{name}"}}
    return OmegaConf.create({**folders, "sweeper": {"storage": None, "study_name": None}})


@pytest.mark.parametrize("name", ["wh?t", "a%20b", "{x}", ":memory:", "a#b"])
def test_a_folder_may_be_called_what_means_something_in_a_url(name: str, tmp_path: Path) -> None:
    cwd = tmp_path / name
    optuna.create_study(study_name="s", storage=study_storage(hydra_in(cwd, name)))
    assert (cwd / "multirun" / name / "study.db").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert read_study(f"multirun/{name}", cwd).study_name == "s"


def test_a_folder_whose_path_hydra_would_change_is_refused(tmp_path: Path) -> None:
    cwd = tmp_path / "${oc.env:HOME}" / "x"
    message = f"got {cwd}. Search in another folder: cd {tmp_path}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        sweep_dir(hydra_in(cwd, "s"))


def test_a_url_that_was_stored_opens_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    optuna.create_study(study_name="s", storage="sqlite:///a%20b.db?timeout=9")
    assert read_study("sqlite:///a%20b.db?timeout=9", tmp_path).study_name == "s"
    assert not [path.name for path in tmp_path.iterdir() if "%" in path.name or "?" in path.name]


@pytest.mark.slow
def test_a_search_in_a_journal_that_was_killed_goes_on(toy: Any) -> None:
    command = ("n_trials=3", "hydra.sweeper.storage=a.log")
    toy.run(*command, "signal_at=[1, 1]", code=-9)
    toy.run(*command)
    trials = trials_of(journal(toy.cwd / "a.log"))
    assert [t.state.name for t in trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert trials[2].params == trials[1].params
    assert trials[2].user_attrs["retry_of"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("study", "Expected a storage URL such as sqlite:///study.db"),
        ("'nosuchdb://me:secret@host/name'", "Could not open nosuchdb://me@host/name"),
        ("'postgresql://me:secret@localhost:1/name'", "Could not open postgresql://me@localhost:1/name"),
        ("{_target_:optuna.storages.RDBStorage,url:'nosuchdb://h/x'}", "Could not open the storage"),
        ("{_target_:optuna.storages.get_storage}", "Expected `hydra.sweeper.storage._target_` to be one of"),
        ("{_target_:optuna.storages.journal.JournalRedisBackend,url:r}", "to be one of"),
        (
            "{_target_:optuna.storages.journal.JournalFileBackend,file_path:a.log}",
            "to be an Optuna storage, got JournalFileBackend",
        ),
        ("{url:'sqlite:///a.db'}", "to be an Optuna storage"),
        ("{_target_:os.system,command:'touch seen'}", "Expected `hydra.sweeper.storage._target_` to be one of"),
    ],
)
def test_what_is_no_storage_is_refused(storage: str, message: str, toy: Any) -> None:
    output = toy.run(f"hydra.sweeper.storage={storage}", code=1).output
    assert message in output
    assert "secret" not in output.replace(storage.strip("'"), "")
    assert "Traceback" not in output
    assert not (toy.folder / "0").exists()
    assert not (toy.cwd / "seen").exists()


def test_a_damaged_study_db_is_told_without_a_traceback(toy: Any) -> None:
    toy.folder.mkdir(parents=True)
    (toy.folder / "study.db").write_text("no database, but long enough to look like the header of one" * 20)
    output = toy.run(code=1).output
    assert f"Could not open {toy.folder / 'study.db'}: DatabaseError: file is not a database. " in output
    assert "put a whole copy in its place, or search anew with hydra.sweep.dir=NEW_FOLDER." in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["null", "shared.log"])
def test_processes_that_create_one_study_at_once_share_it(storage: str, toy: Any) -> None:
    total, processes = 12, 4
    command = (
        f"n_trials={total}",
        "hydra.sweeper.baseline=true",
        "hydra.sweeper.enqueue=[{x:0.25,n:2,colour:blue}]",
        "hydra.sweeper.preflight=hooks.gather",
        f"limit={processes}",
        f"hydra.sweeper.storage={storage}",
    )
    started = [toy.start(*command) for _ in range(processes)]
    outputs = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == processes * [0], "\n".join(outputs)
    trials = toy.trials if storage == "null" else trials_of(journal(toy.cwd / storage))
    assert {t.state for t in trials} == {COMPLETE}
    assert total <= len(trials) < total + processes, "each process may be at its last trial when the total is there"
    assert [t.number for t in trials] == toy.folders() == list(range(len(trials)))
    assert [t.number for t in trials if t.user_attrs.get("role") == "baseline"] == [0]
    assert [t.params for t in trials if "enqueued" in t.user_attrs] == [{"x": 0.25, "n": 2, "colour": "blue"}]
    for trial in trials:
        text = (toy.folder / str(trial.number) / "app.log").read_text()
        assert re.findall("begin x=(.*)", text) == [str(trial.params["x"])], "run once, in a folder of its own"
        assert len(trial.intermediate_values) == 3
    assert len({t.user_attrs["owner"] for t in trials}) > 1
