"""Merging studies: what the new one holds, what is refused, who is on the leaderboard, which is the best."""

import csv
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event

from docclf.errors import ConfigError, SpaceError
from docclf.results.folders import replacing_folder
from docclf.results.merge import merge_studies
from docclf.results.sources import read_source
from docclf.results.verdict import judge

LR, SIZE = FloatDistribution(1e-5, 1e-1, log=True), CategoricalDistribution([16, 32])
SPACE = {"optimizer.lr": LR, "data.batch_size": SIZE}
CONFIG = {"model.name": "mobilenet", "model.drop_rate": "0.0", "validation.folds": "3", "data.image_size": "96"}
FACTS = {"pages": 24, "classes": 3, "data": "d1", "folds": "f1", "steps": 9}

Make = Callable[..., Path]


def new_study(folder: Path, name: str = "search", storage: Any = None, **records: Any) -> optuna.Study:
    """A study as docclf's sweeper begins one; a record of None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    directions = records.pop("directions", ["maximize"])
    space = records.pop("space", SPACE)
    study = optuna.create_study(study_name=name, storage=storage or quick(folder / "study.db"), directions=directions)
    known = {
        "space": {key: distribution_to_json(d) for key, d in space.items()},
        "objective": {"macro_f1": "maximize"},
        "facts": FACTS,
        "config": CONFIG,
    }
    for key, value in (known | records).items():
        if value is not None:
            study.set_user_attr(key, json.dumps(value, sort_keys=True))
    return study


@lru_cache
def empty() -> bytes:
    """A database with Optuna's tables, which take a quarter of a second to make."""
    with tempfile.TemporaryDirectory() as folder:
        optuna.storages.RDBStorage(f"sqlite:///{folder}/empty.db").engine.dispose()
        return Path(folder, "empty.db").read_bytes()


def quick(path: Path) -> optuna.storages.BaseStorage:
    """SQLite that does not wait for the disk."""
    if not path.is_file():
        path.write_bytes(empty())
    url = f"sqlite:///{path}"
    storage = optuna.storages.RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
    event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    return storage


def tell(
    study: optuna.Study,
    value: Any = None,
    *,
    state: TrialState = TrialState.COMPLETE,
    folder: Path | None = None,
    host: str = "hosta",
    params: dict[str, Any] | None = None,
    constraints: dict[str, float] | None = None,
    **attributes: Any,
) -> FrozenTrial:
    """A trial as a search leaves it, with its folder."""
    n = len(study.get_trials(deepcopy=False))
    if params is None:
        params = {"optimizer.lr": 10 ** -(1.5 + n / 10), "data.batch_size": 16}
    values = [] if value is None else list(value) if isinstance(value, tuple) else [value]
    trial = create_trial(
        state=state,
        values=values or None,
        params=params,
        distributions={key: SPACE.get(key, FloatDistribution(0, 1)) for key in params},
        user_attrs={"owner": f"{host}:123:456", **attributes},
        constraints=constraints,
    )
    trial.datetime_start = datetime.now() - timedelta(seconds=36)
    study.add_trial(trial)
    if folder is not None:
        run = folder / str(n)
        (run / ".hydra").mkdir(parents=True)
        OmegaConf.save(OmegaConf.create({"trial": n, "of": str(folder)}), run / ".hydra" / "config.yaml")
        hydra = {"hydra": {"runtime": {"cwd": str(folder.parent), "choices": {"model": "mobilenet"}}}}
        OmegaConf.save(OmegaConf.create(hydra), run / ".hydra" / "hydra.yaml")
        (run / "result.yaml").write_text(
            yaml.safe_dump({"hardware": {"name": "H100", "cores": 8}}, sort_keys=False), encoding="utf-8"
        )
    return study.get_trials(deepcopy=False)[n]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a search's folder with a baseline and trials of these values."""

    def made(where: str, *values: float, host: str = "", **records: Any) -> Path:
        folder = tmp_path / where
        study = new_study(folder, **records)
        host = host or f"host{where[0]}"
        base = {"optimizer.lr": 1e-3, "data.batch_size": 32}
        tell(study, 0.1, folder=folder, host=host, params=base, role="baseline", folds=[0.0, 0.2])
        for value in values:
            # Of each study others
            params = {"optimizer.lr": 10 ** -(2 + value + ord(where[0]) / 1e4), "data.batch_size": 16}
            tell(study, value, folder=folder, host=host, params=params, folds=[value - 0.1, value + 0.1])
        return folder

    return made


def merge(*given: Path | str, out: Path, **options: Any) -> str:
    return merge_studies([str(source) for source in given], out, **options)


def load(folder: Path, name: str = "") -> optuna.Study:
    return optuna.load_study(study_name=name or folder.name, storage=quick(folder / "study.db"))


def board(folder: Path) -> list[dict[str, str]]:
    with (folder / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def origins(folder: Path) -> list[tuple[str, int]]:
    found = [trial.user_attrs["merged_from"] for trial in load(folder).trials]
    return [(origin["who"], origin["number"]) for origin in found]


# What the merged study holds


def test_every_trial_is_copied_whole(tmp_path: Path) -> None:
    study = new_study(tmp_path / "a")
    trial = study.ask(SPACE)
    for step in range(3):
        trial.report(step / 8, step)
    trial.set_user_attr("folds", [0.5, 0.25])
    trial.set_constraint("seconds", -2.5)
    study.tell(trial, 0.375)
    tell(study, state=TrialState.FAIL, cause="too large")
    pruned = study.ask(SPACE)
    pruned.report(0.125, 0)
    study.tell(pruned, state=TrialState.PRUNED)
    other = new_study(tmp_path / "b")
    tell(other, 0.5)
    merge(tmp_path / "a", tmp_path / "b", out=tmp_path / "team")

    merged = load(tmp_path / "team").trials
    assert len(merged) == 4
    for copy, original in zip(merged, [*study.trials, *other.trials], strict=True):
        for name in ("state", "values", "params", "distributions", "intermediate_values", "constraints"):
            assert getattr(copy, name) == getattr(original, name), name
        assert (copy.datetime_start, copy.datetime_complete) == (original.datetime_start, original.datetime_complete)
        assert copy.user_attrs.items() >= original.user_attrs.items()
    assert [copy.user_attrs["merged_from"]["number"] for copy in merged] == [0, 1, 2, 0]
    assert merged[0].constraints == {"seconds": -2.5} and merged[1].user_attrs["cause"] == "too large"


def test_trials_come_in_the_order_of_the_studies_and_the_baseline_once(make: Make, tmp_path: Path) -> None:
    text = merge(make("a", 0.3, 0.2), make("b", 0.5), make("c", 0.4), out=tmp_path / "team")
    assert origins(tmp_path / "team") == [("hosta", 0), ("hosta", 1), ("hosta", 2), ("hostb", 1), ("hostc", 1)]
    assert [t.user_attrs.get("role") for t in load(tmp_path / "team").trials] == ["baseline"] + 4 * [None]
    assert text.count("its baseline is that of another study, and counts once.") == 2
    merge(tmp_path / "b", tmp_path / "a", tmp_path / "c", out=tmp_path / "again")
    assert origins(tmp_path / "again")[:2] == [("hostb", 0), ("hostb", 1)]


def test_of_two_baselines_the_one_that_came_to_its_end_stays_and_others_stay_both(tmp_path: Path) -> None:
    base = {"optimizer.lr": 1e-3, "data.batch_size": 32}
    failed, done, other = (new_study(tmp_path / name) for name in "abc")
    tell(failed, state=TrialState.FAIL, params=base, role="baseline")
    tell(failed, 0.2)
    tell(done, 0.1, host="hostb", params=base, role="baseline")
    tell(other, 0.1, host="hostc", params=base | {"data.batch_size": 16}, role="baseline")
    merge(*(tmp_path / name for name in "abc"), out=tmp_path / "team")
    assert origins(tmp_path / "team") == [("hosta", 1), ("hostb", 0), ("hostc", 0)]


def test_numbers_that_trials_name_are_the_new_ones(make: Make, tmp_path: Path) -> None:
    other = make("b", 0.2)
    study = load(other, "search")
    tell(study, 0.2, params=study.trials[1].params, duplicate_of=1, retry_of=0)
    tell(study, 0.1, params=study.trials[0].params, duplicate_of=0)
    text = merge(make("a", 0.3, 0.4), other, out=tmp_path / "team")
    assert "folders" not in text, "duplicates have none"
    merged = load(tmp_path / "team").trials
    assert origins(tmp_path / "team")[3:] == [("hostb", 1), ("hosta", 2), ("hosta", 3)]
    assert [t.user_attrs.get("duplicate_of") for t in merged[3:]] == [None, 3, 0], "of the baseline, the one that stays"
    assert all("retry_of" not in t.user_attrs for t in merged)
    assert {path.name for path in (tmp_path / "team").iterdir() if path.name.isdigit()} == {"0", "1", "2", "3"}


def test_folders_are_linked_under_the_new_numbers(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3), make("b", 0.5, 0.4)
    merge(a, b, out=tmp_path / "team")
    for number, source in enumerate([a / "0", a / "1", b / "1", b / "2"]):
        for name in ("result.yaml", ".hydra/config.yaml"):
            assert (tmp_path / "team" / str(number) / name).samefile(source / name)


def test_trials_that_run_wait_or_were_cut_off_are_left_out_and_told(make: Make, tmp_path: Path) -> None:
    a = make("a", 0.3)
    study = load(a, "search")
    tell(study, state=TrialState.RUNNING)
    study.enqueue_trial({"optimizer.lr": 1e-2})
    tell(study, state=TrialState.FAIL, interrupted="process")
    text = merge(a, make("b", 0.5), out=tmp_path / "team")
    assert f"{a}: 1 running, 1 waiting, 1 interrupted trials are left out." in text
    assert len(load(tmp_path / "team").trials) == 3


def test_a_merge_can_be_merged_again_and_nothing_counts_twice(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3), make("b", 0.5)
    merge(f"ann={a}", b, out=tmp_path / "first")
    tell(load(b, "search"), 0.6, host="hostb")
    text = merge(tmp_path / "first", b, out=tmp_path / "second")
    assert origins(tmp_path / "second") == [("ann", 0), ("ann", 1), ("hostb", 1), ("hostb", 2)]
    assert "1 trials are in several of the studies, and count once." in text
    assert next((row["who"], row["trial"]) for row in board(tmp_path / "second")) == ("hostb", "2")


def test_sources_are_left_as_they_are(make: Make, tmp_path: Path) -> None:
    def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size, p.read_bytes()) for p in files}

    a, b = make("a", 0.3), make("b", 0.5)
    with closing(sqlite3.connect(a / "study.db")) as searched:  # as a search leaves it
        searched.execute("PRAGMA journal_mode=WAL")
    before = state(a), state(b)
    merge(a, b, out=tmp_path / "team")
    assert (state(a), state(b)) == before


def test_what_a_killed_search_has_not_written_into_its_file_is_read(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3), make("b", 0.5)
    code = f"""
import os, optuna
from docclf.sweeper.storage import open_storage
study = optuna.load_study(study_name="search", storage=open_storage("sqlite:///{b / "study.db"}"))
study.enqueue_trial({{}}, user_attrs={{"owner": "hostb:1:2"}})
study.tell(study.ask(), 0.75)
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert (b / "study.db-wal").stat().st_size > 0, "or it is in the file already"
    merge(a, b, out=tmp_path / "team")
    shutil.copytree(b, tmp_path / "copy", ignore=shutil.ignore_patterns("*-shm"))
    merge(a, tmp_path / "copy", out=tmp_path / "again")
    for name in ("team", "again"):
        assert load(tmp_path / name).best_value == 0.75


# What is refused


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({"facts": FACTS | {"data": "d2"}}, "  data: d1, d2\n"),
        ({"facts": FACTS | {"folds": "f2"}}, "  folds: f1, f2\n"),
        ({"objective": {}}, "  macro_f1: maximize, nothing\n"),
        ({"config": CONFIG | {"validation.folds": "5"}}, "  validation.folds: 3, 5\n"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused_and_marked_anyway(
    make: Make, tmp_path: Path, records: dict[str, Any], said: str
) -> None:
    a, b, c = make("a", 0.3), make("b", 0.9, **records), make("c", 0.5)
    with pytest.raises(SpaceError) as refused:
        merge(a, c, b, out=tmp_path / "team")
    assert f"got others in {a} and {b}:\n{said}" in str(refused.value) and "--anyway" in str(refused.value)
    assert not (tmp_path / "team").exists()

    text = merge(a, b, c, out=tmp_path / "team", anyway=True)
    assert f"{b}: scores cannot be compared with those of {a}, marked * ({said.strip()})." in text
    rows = board(tmp_path / "team")
    assert [(row["rank"], row["who"], row["comparable"]) for row in rows] == [
        ("1", "hostc", "yes"),
        ("2", "hosta", "yes"),
        ("3", "hosta", "yes"),
        ("", "hostb", "no"),
        ("", "hostb", "no"),
    ]
    trials = load(tmp_path / "team").trials
    assert [t.user_attrs.get("not_comparable") for t in trials] == [None, None, True, True, None]
    assert "best, by the score of the search: hostc, study search, trial 1: 0.5" in text
    merge(tmp_path / "team", make("d", 0.2), out=tmp_path / "again")
    assert [row["comparable"] for row in board(tmp_path / "again")].count("no") == 2, "in a merge of the merge too"


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({"config": CONFIG | {"model.name": "swin_tiny"}}, "  model.name: mobilenet, swin_tiny\n"),
        ({"space": SPACE | {"optimizer.lr": FloatDistribution(1e-5, 0.5, log=True)}}, "1e-05..0.5 (log)\n"),
        ({"space": SPACE | {"model.drop_rate": FloatDistribution(0, 1)}}, "  model.drop_rate: nothing, 0.0..1.0\n"),
    ],
)
def test_other_spaces_and_configs_are_refused(make: Make, tmp_path: Path, records: dict[str, Any], said: str) -> None:
    a, b = make("a", 0.3), make("b", 0.9, **records)
    with pytest.raises(SpaceError) as refused:
        merge(a, f"bob={b}", out=tmp_path / "team")
    assert f"got others in {a} and bob ({b}):" in str(refused.value)
    assert said in str(refused.value) and "--anyway" in str(refused.value)


def test_anyway_what_fits_the_first_space_is_in_the_study_and_all_on_the_leaderboard(
    make: Make, tmp_path: Path
) -> None:
    wide = {"optimizer.lr": FloatDistribution(1e-5, 1, log=True), "model.drop_rate": FloatDistribution(0, 1)}
    config = CONFIG | {"data.batch_size": "32"}
    del config["model.drop_rate"]
    b = tmp_path / "b"
    study = new_study(b, space=wide, config=config)
    fits = tell(study, 0.4, folder=b, host="hostb", params={"optimizer.lr": 0.01, "model.drop_rate": 0.0})
    tell(study, 0.5, folder=b, host="hostb", params={"optimizer.lr": 0.01, "model.drop_rate": 0.5})
    other = {"optimizer.lr": wide["optimizer.lr"], "model.drop_rate": wide["model.drop_rate"]}
    study.add_trial(
        create_trial(
            value=0.8,
            params={"optimizer.lr": 0.5, "model.drop_rate": 0.0},
            distributions=other,
            user_attrs={"owner": "hostb:1:2"},
        )
    )
    text = merge(make("a", 0.3), b, out=tmp_path / "team", anyway=True)
    merged = load(tmp_path / "team").trials
    assert origins(tmp_path / "team") == [("hosta", 0), ("hosta", 1), ("hostb", 0)]
    assert merged[2].params == {"optimizer.lr": 0.01, "data.batch_size": 32}, "which was fixed there"
    assert merged[2].distributions == SPACE and merged[2].value == fits.value
    assert f"{b}: 2 of 3 trials do not fit the space and the config of {tmp_path / 'a'}" in text
    assert [(row["score"], row["number"]) for row in board(tmp_path / "team")][:3] == [
        ("0.8", ""),
        ("0.5", ""),
        ("0.4", "2"),
    ]
    assert yaml.safe_load((tmp_path / "team/best/params.yaml").read_text())["optimizer.lr"] == 0.5
    header = (tmp_path / "team/best/params.yaml").read_text().splitlines()
    assert header[:2] == [
        "# study: team, which it does not fit of 3, merged",
        "# from: hostb, study search, trial 2, on hostb",
    ]


def test_another_model_is_on_the_leaderboard_alone(make: Make, tmp_path: Path) -> None:
    b = make("b", 0.9, config=CONFIG | {"model.name": "swin_tiny"})
    merge(make("a", 0.3), b, out=tmp_path / "team", anyway=True)
    assert {who for who, _ in origins(tmp_path / "team")} == {"hosta"}
    assert board(tmp_path / "team")[0]["who"] == "hostb"
    assert OmegaConf.load(tmp_path / "team/best/config.yaml").of == str(b)


def test_other_directions_are_refused_anyway(make: Make, tmp_path: Path) -> None:
    b = make("b", 0.9, directions=["minimize"])
    with pytest.raises(ConfigError, match=r"got maximize in .*a and minimize in .*b. One study cannot hold both"):
        merge(make("a", 0.3), b, out=tmp_path / "team", anyway=True)


def test_a_study_of_another_program_needs_anyway(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3), make("b", 0.9, space={}, objective=None, facts=None, config=None)
    load(b, "search").set_user_attr("space", "the final frontier")
    with pytest.raises(ConfigError, match=f"got {b}, which does not say on what data it was scored"):
        merge(b, a, out=tmp_path / "team")
    merge(b, a, out=tmp_path / "team", anyway=True)
    assert [row["comparable"] for row in board(tmp_path / "team")] == ["yes", "yes", "no", "no"]
    assert json.loads(load(tmp_path / "team").user_attrs["facts"]) == FACTS, "with which the search can go on"
    assert [who for who, _ in origins(tmp_path / "team")] == ["hostb", "hostb", "hosta", "hosta"]


def test_what_cannot_be_read_is_refused_with_a_sentence(make: Make, tmp_path: Path) -> None:
    a = make("a", 0.3)
    shutil.copytree(a, tmp_path / "copy")
    tell(load(a, "search"), 0.4)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.db").write_text("no database")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE pages (id)")
    new_study(tmp_path / "none")
    tell(load(tmp_path / "none", "search"), state=TrialState.RUNNING)
    two = new_study(tmp_path / "two", "x")
    tell(two, 0.5)
    new_study(tmp_path / "two", "y")
    refusals = {
        "nowhere": "no such file",
        "empty": "Expected study.db for the search in",
        "text.db": "text.db: DatabaseError: file is not a database",
        "other.db": "Expected one study in .*other.db, got none",
        "none": "Expected studies with finished trials, got none in .*none. Leave it out",
        "two": "Expected one study in .*two, got x, y. Name one by its storage URL with #NAME",
        "copy": r"got .*copy, and .*a, which has all its trials, and more. Leave the former out",
        "a": r"got .*a, and .*a, which is the same study",
    }
    for name, message in refusals.items():
        with pytest.raises(ConfigError, match=message):
            merge(a, tmp_path / name, out=tmp_path / "team")
    with pytest.raises(ConfigError, match=r"got x, y|a study `z`"):
        merge(a, f"sqlite:///{tmp_path}/two/study.db#z", out=tmp_path / "team")
    with pytest.raises(ConfigError, match="at least two studies"):
        merge(a, out=tmp_path / "team")
    with pytest.raises(ConfigError) as refused:
        merge(a, "postgresql://me:secret@localhost:1/db#x", out=tmp_path / "team")
    assert "secret" not in str(refused.value) and "postgresql://me@localhost:1/db" in str(refused.value)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("pages",)], "nothing was made there"
    assert not (tmp_path / "nowhere").exists() and not (tmp_path / "empty" / "study.db").exists()
    assert not (tmp_path / "team").exists()
    merge(a, f"sqlite:///{tmp_path}/two/study.db#x", out=tmp_path / "team")


# Where studies are


def test_studies_are_found_wherever_they_are(make: Make, tmp_path: Path) -> None:
    a = make("a", 0.3)
    places = {
        "journal": str(tmp_path / "j.log"),
        "url": f"sqlite:///{tmp_path / 'url.db'}",
    }
    journal = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(places["journal"]))
    for i, (name, storage) in enumerate({"journal": journal, "url": places["url"]}.items()):
        tell(new_study(tmp_path, name, storage=storage), 0.5 + i / 10, host=name)
    for name, storage in {"here": "x.db", "gone": f"sqlite:///{tmp_path / 'gone' / 'x.db'}"}.items():
        folder = tmp_path / name / "renamed"
        tell(new_study(folder, "moved", storage=f"sqlite:///{tmp_path / name / 'x.db'}"), 0.7, host=name, folder=folder)
        cwd = str(tmp_path / name / ("" if name == "gone" else "nowhere"))
        named = {"sweep": {"dir": "multirun/moved"}, "runtime": {"cwd": cwd}}
        (folder / "multirun.yaml").write_text(
            yaml.safe_dump({"hydra": named | {"sweeper": {"storage": storage, "study_name": None}}})
        )
    shutil.move(tmp_path / "here" / "x.db", tmp_path / "here" / "renamed" / "x.db")
    given = [a, places["journal"], f"{places['url']}#url", tmp_path / "here" / "renamed", tmp_path / "gone" / "renamed"]
    text = merge(*given, out=tmp_path / "team")
    assert [who for who, _ in origins(tmp_path / "team")] == ["hosta", "hosta", "journal", "url", "here", "gone"]
    assert f"{places['journal']}: the folders of 1 trials are not there, and so not here." in text
    assert (tmp_path / "team" / "5" / "result.yaml").is_file()
    (tmp_path / "gone" / "x.db").unlink()
    with pytest.raises(ConfigError, match=r"which multirun.yaml names,.* got no such file. Copy it into that folder"):
        read_source(str(tmp_path / "gone" / "renamed"))


def test_names_of_people_and_odd_names_of_folders_are_told_apart(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("a #1/lr=0.1", 0.3)
    monkeypatch.chdir(tmp_path)
    merge("a #1/lr=0.1", f"보라={make('b', 0.5, host='hosta')}", out=tmp_path / "team")
    assert [who for who, _ in origins(tmp_path / "team")] == ["hosta", "hosta", "보라"]


def test_two_studies_of_one_name_and_machine_are_told_apart_by_their_places(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3, host="one"), make("b", 0.5, host="one")
    merge(a, b, out=tmp_path / "team")
    assert {row["study"] for row in board(tmp_path / "team")} == {str(a), str(b)}


# The new folder


def test_a_folder_that_is_there_is_replaced_only_if_it_is_a_merge_and_only_if_asked(make: Make, tmp_path: Path) -> None:
    a, b, out = make("a", 0.3), make("b", 0.5), tmp_path / "team"
    with pytest.raises(ConfigError, match=r"which exists. Give another --out.$"):
        merge(a, b, out=a)
    with pytest.raises(ConfigError, match="Expected an earlier merge to replace"):
        merge(a, b, out=a, replace=True)
    merge(a, b, out=out)
    tell(load(b, "search"), 0.6, host="hostb", folder=b)
    with pytest.raises(ConfigError, match="or add --replace, since it is an earlier merge"):
        merge(a, b, out=out)
    assert load(out).best_value == 0.5
    merge(a, b, out=out, replace=True)
    assert load(out).best_value == 0.6 and len(load(out).trials) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "team"]
    tell(load(out), 0.7)
    with pytest.raises(ConfigError, match=r"searched on from since.* merge it too"):
        merge(a, b, out=out, replace=True)
    merge(make("c", 0.1), out, out=out, replace=True)
    assert load(out).best_value == 0.7 and len(load(out).trials) == 6


def test_of_a_best_trial_whose_config_is_damaged_the_parameters_are_exported(make: Make, tmp_path: Path) -> None:
    b = make("b", 0.5)
    (b / "1" / ".hydra" / "config.yaml").write_text("a: [1", encoding="utf-8")
    text = merge(make("a", 0.3), b, out=tmp_path / "team")
    assert "hostb, study search, trial 1: its config is not here, so best/ has its parameters alone." in text
    assert [path.name for path in (tmp_path / "team" / "best").iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_kill_in_the_middle_leaves_nothing_half_and_the_next_one_tidies_up(tmp_path: Path, replaced: bool) -> None:
    out = tmp_path / "team"
    if replaced:
        out.mkdir()
        (out / "old").touch()
    code = f"""
import os
from pathlib import Path
from docclf.results.folders import replacing_folder
with replacing_folder(Path({str(out)!r})) as partial:
    (partial / "half").touch()
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".team.partial-*"))) == 1
    assert [path.name for path in out.glob("*")] == (["old"] if replaced else [])
    with replacing_folder(out) as partial:
        (partial / "whole").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["team"]
    assert [path.name for path in out.iterdir()] == ["whole"]


def test_what_died_between_two_renames_is_put_back(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "from docclf.sweeper.process import this_process; print(this_process())"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.strip()
    (tmp_path / f".team.replaced-{dead}").mkdir()
    (tmp_path / f".team.replaced-{dead}" / "old").touch()
    (tmp_path / ".team.partial-elsewhere:1:2").mkdir()
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "team"):
        assert (tmp_path / "team" / "old").is_file()
        raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.iterdir()) == [".team.partial-elsewhere:1:2", "team"]


# The leaderboard and the best


def test_the_leaderboard_says_who_what_where_and_how_long(make: Make, tmp_path: Path) -> None:
    a, b = make("a", 0.3), make("b", 0.5, *(0.2 + i / 100 for i in range(10)))
    failed = load(b, "search")
    tell(failed, state=TrialState.FAIL, host="hostb")
    tell(failed, 0.95, host="hostb", hardware="TPU", duplicate_of=1)
    text = merge(f"ann={a}", b, out=tmp_path / "team")
    rows = board(tmp_path / "team")
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert len(rows) == 13, "neither the baseline twice, nor a duplicate, nor a failure"
    assert (rows[0]["rank"], rows[0]["who"], rows[0]["trial"], rows[0]["number"]) == ("1", "hostb", "1", "2")
    assert float(rows[0]["spread"]) == pytest.approx(0.2 / 2**0.5, abs=1e-6)
    assert rows[0]["folds"] == "0.400000 0.600000" and rows[0]["hardware"] == "H100, 8 cores"
    ann = next(row for row in rows if row["who"] == "ann")
    assert (ann["host"], ann["study"]) == ("hosta", "search")
    took = sum(t.duration.total_seconds() for t in failed.trials) / 3600  # type: ignore[union-attr]
    assert float(rows[0]["study_hours"]) == pytest.approx(took, abs=1e-4)
    lines = text.splitlines()
    assert lines[0].startswith("ann, study search: 2 complete, ")
    assert lines[1].startswith("hostb, study search: 13 complete, 1 fail, ")
    assert "and 3 more in leaderboard.csv" in lines
    assert next(line for line in lines if line.startswith("1  ")).split()[1:6] == [
        "hostb",
        "search",
        "1",
        "0.500",
        "0.141",
    ]
    with (tmp_path / "team" / "trials.csv").open(encoding="utf-8") as file:
        assert [row["number"] for row in csv.DictReader(file)] == [str(n) for n in range(15)]


def test_a_minimized_value_is_best_when_small(tmp_path: Path) -> None:
    for name, value in {"a": 3.0, "b": 2.0, "c": 4.0}.items():
        study = new_study(tmp_path / name, directions=["minimize"], objective={"seconds": "minimize"})
        tell(study, value, host=name)
    text = merge(*(tmp_path / name for name in "abc"), out=tmp_path / "team")
    assert [row["who"] for row in board(tmp_path / "team")] == ["b", "a", "c"]
    assert "best, by the score of the search: b, study search, trial 0: 2" in text


def finish(folder: Path, scores: dict[int, float], overrides: str = "validation.seed=1042") -> None:
    """Score trials again, as `docclf.sweeper.finalists` leaves it."""
    search = load(folder, "search")
    study = optuna.create_study(study_name="search-finalists", storage=search._storage, direction="maximize")
    for number, score in scores.items():
        study.enqueue_trial(search.trials[number].params, user_attrs={"finalist": f"{number} {overrides}"})
        trial = study.ask(SPACE)
        if role := search.trials[number].user_attrs.get("role"):
            trial.set_user_attr("role", role)
        trial.set_user_attr("folds", [score, score + 0.02])
        study.tell(trial, score)
        run = folder / "finalists" / str(trial.number)
        run.mkdir(parents=True)
        (run / "result.yaml").write_text(f"mean: {score}\n")
    study.set_user_attr("current", [f"{number} {overrides}" for number in scores])


def test_where_all_were_scored_again_on_the_same_folds_that_decides(make: Make, tmp_path: Path) -> None:
    a, b, out = make("a", 0.3, 0.4), make("b", 0.9, 0.5), tmp_path / "team"
    finish(a, {0: 0.1, 1: 0.35, 2: 0.45})
    finish(b, {0: 0.15, 1: 0.4})
    text = merge(a, b, out=out)
    assert "best, scored again on other folds: hosta, study search, trial 2: 0.45" in text
    rows = board(out)
    assert [(row["who"], row["trial"], row["rescored"]) for row in rows] == [
        ("hosta", "2", "0.45"),
        ("hostb", "1", "0.4"),
        ("hosta", "1", "0.35"),
        ("hosta", "0", "0.1"),
        ("hostb", "2", ""),
    ]
    assert yaml.safe_load((out / "best/params.yaml").read_text()) == load(a, "search").trials[2].params
    assert (out / "best/result.yaml").read_text() == "mean: 0.45\n", "its run as a finalist"
    finalists = load(out, "team-finalists")
    assert [t.user_attrs["finalist"] for t in finalists.trials] == [
        f"{number} validation.seed=1042" for number in (0, 1, 2, 3)
    ]
    assert [t.value for t in finalists.trials] == [0.1, 0.35, 0.45, 0.4], "the baseline as it was scored first"
    assert (out / "finalists/3/result.yaml").samefile(b / "finalists/1/result.yaml")
    verdict = judge(load(out), out)
    assert verdict is not None and verdict.number == 2 and verdict.baseline is not None


@pytest.mark.parametrize("other", [None, "validation.seed=7"])
def test_where_some_were_not_scored_again_alike_the_search_decides(
    make: Make, tmp_path: Path, other: str | None
) -> None:
    a, b = make("a", 0.3, 0.4), make("b", 0.9, 0.5)
    finish(a, {0: 0.1, 2: 0.45})
    if other:
        finish(b, {0: 0.1, 2: 0.95}, other)
    text = merge(a, b, out=tmp_path / "team")
    assert "best, by the score of the search: hostb, study search, trial 1: 0.9" in text
    rescored = {row["trial"]: row["rescored"] for row in board(tmp_path / "team") if row["who"] == "hosta"}
    assert rescored == {"0": "0.1", "1": "", "2": "0.45"}, "told all the same"
    finalists = load(tmp_path / "team", "team-finalists").trials
    assert [t.user_attrs["finalist"] for t in finalists] == ["0 validation.seed=1042", "2 validation.seed=1042"]
    assert not (tmp_path / "team" / "best" / "result.yaml").exists()


def test_of_several_objectives_the_front_is_exported(tmp_path: Path) -> None:
    values = {"a": [(0.5, 10.0), (0.4, 20.0)], "b": [(0.6, 30.0), (0.5, 10.0), (0.45, 9.0)]}
    for name, pairs in values.items():
        study = new_study(
            tmp_path / name, directions=["maximize", "minimize"], objective={"f1": "maximize", "s": "minimize"}
        )
        for pair in pairs:
            tell(study, pair, host=name, folder=tmp_path / name)
    text = merge(tmp_path / "a", tmp_path / "b", out=tmp_path / "team")
    front = {str(trial.number) for trial in load(tmp_path / "team").best_trials}
    assert front == {"0", "2", "3", "4"} == {path.name for path in (tmp_path / "team/best").iterdir()}
    rows = board(tmp_path / "team")
    assert [(row["f1"], row["s"]) for row in rows][-1] == ("0.4", "20.0"), "which others beat"
    assert rows[0]["who"] == "b" and "b, study search, trial 2: 0.45, 9" in text


def test_trials_that_break_a_constraint_are_not_the_best(make: Make, tmp_path: Path) -> None:
    a = make("a", 0.3)
    study = load(a, "search")
    tell(study, 0.99, constraints={"seconds": 1.0})
    merge(a, make("b", 0.5), out=tmp_path / "team")
    assert [row["score"] for row in board(tmp_path / "team")] == ["0.5", "0.3", "0.1"]


def test_a_team_without_a_score_is_told_so(tmp_path: Path) -> None:
    for name in "ab":
        tell(new_study(tmp_path / name), state=TrialState.FAIL, host=name)
    text = merge(tmp_path / "a", tmp_path / "b", out=tmp_path / "team")
    assert "No trial was scored that keeps to the constraints." in text
    assert board(tmp_path / "team") == [] and not (tmp_path / "team" / "best").exists()


def test_searches_that_begin_alike_are_told_to_take_other_seeds(tmp_path: Path) -> None:
    studies = [new_study(tmp_path / name) for name in "abc"]
    for study, lr in zip(studies, (0.01, 0.02, 0.01), strict=True):
        tell(study, 0.1, params={"optimizer.lr": lr, "data.batch_size": 16}, host=str(lr))
    text = merge(*(tmp_path / name for name in "abc"), out=tmp_path / "team")
    assert f"{tmp_path / 'c'}: begins with the parameters of {tmp_path / 'a'}" in text
    assert text.count("search.seed") == 1
