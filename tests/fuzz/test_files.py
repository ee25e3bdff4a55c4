"""Damaged and foreign files of runs, models and studies: each command that reads them ends well, or in words."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import command, require_told, served

from docclf import compare, merge, report
from docclf.predict import main as predict
from docclf.sweeper.study import attributes
from docclf.train import main as train

TINY = ("data=csv", "model.name=test_resnet", "data.image_size=32", "validation.folds=2", "augment=none", "logger=none")
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 1.5, 1e400, "", "x", "../x", "=1+1", "\0", "a" * 5000, [], [1], ["a", None], {}, {"a": 1}),
    *([[[]]], {"a": {"b": []}}, {1: 2}, "2026-01-01", float("nan"), 10**30, "서식\n\x1b[2J", ["x"] * 50),
)
YAML_TEXTS = (
    "",
    "[",
    "{",
    "- a\n- b",
    "text",
    "a: b: c",
    "\t",
    "? [a]\n: b",
    "a: &x 1\nb: *x",
    "a: *y",
    "!!python/name:os.system",
    "1",
)
SMALL = 200_000
# What docclf's processes tell each other through a study
ATTRIBUTES = sorted(value for name, value in vars(attributes).items() if name.isupper() and isinstance(value, str))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pages_root: Path) -> Path:
    """A folder with a run that kept its model, `run`, and a search that scored finalists, `search`."""
    folder = tmp_path_factory.mktemp("made")
    given = [*TINY, f"data.root='{pages_root}'"]
    code, output = served(command(train, *given, "refit=folds", "hydra.run.dir=run"), folder)
    assert code == 0, output
    search = ["-m", "hparams_search=head", "search.n_trials=2", "finalists.top_k=1", "hydra.sweeper.preload=null"]
    code, output = served(command(train, *search, *given, "search.ensemble=false"), folder)
    assert code == 0, output
    (folder / "multirun" / "search").rename(folder / "search")
    return folder


def spoil_value(value: Any, draw: random.Random) -> Any:
    """A value with something in it replaced or removed."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(list(value))
        if draw.random() < 0.2:
            return {name: child for name, child in value.items() if name != key}
        return {**value, key: spoil_value(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.7:
        at = draw.randrange(len(value))
        return [*value[:at], spoil_value(value[at], draw), *value[at + 1 :]]
    return draw.choice(ODD)


def spoil_bytes(content: bytes, draw: random.Random) -> bytes:
    kind = draw.randrange(6)
    if kind == 0 or not content:
        return b""
    at = draw.randrange(len(content))
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9))) + content[at + 1 :]
    if kind == 3:
        return bytes(draw.randrange(256) for _ in range(200))
    if kind == 4:
        return content[at:] + content[:at]
    return content.replace(b",", b";").replace(b"0.", b"1.")


def spoil_table(text: str, draw: random.Random) -> str:
    rows = [line.split(",") for line in text.splitlines()]
    row = draw.choice(rows)
    cell = draw.choice(("", "nan", "-1", "1e9", "x", '"', "0.5,0.5", "\x00", "=1+1", "9" * 400))
    if row and draw.random() < 0.8:
        row[draw.randrange(len(row))] = cell
    else:
        rows.append([cell])
    return "\n".join(map(",".join, rows))


def spoil_study(path: Path, draw: random.Random) -> None:
    with sqlite3.connect(path) as database:
        if draw.random() < 0.4:
            return spoil_attribute(database, draw)
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        table = draw.choice(tables)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        if draw.random() < 0.15:
            database.execute(f"DELETE FROM {table}")
            return
        value = draw.choice((None, "", "x", "null", "[]", "{", -1, 10**12, 1.5, '"text"', '{"a": 1}', "NaN"))
        database.execute(
            f"UPDATE OR IGNORE {table} SET {draw.choice(columns)} = ? WHERE rowid % 2 = ?", (value, draw.randrange(2))
        )


def spoil_attribute(database: sqlite3.Connection, draw: random.Random) -> None:
    """What anybody can write who shares a database."""
    of, ids = draw.choice((("trial", "SELECT trial_id FROM trials"), ("study", "SELECT study_id FROM studies")))
    numbers = [row[0] for row in database.execute(ids)]
    known = {row[0] for row in database.execute(f"SELECT key FROM {of}_user_attributes")}
    key, value = draw.choice(sorted(known.union(ATTRIBUTES))), json.dumps(draw.choice(ODD))
    for number in draw.sample(numbers, draw.randint(1, len(numbers))):
        given = (number, key, value)
        database.execute(f"REPLACE INTO {of}_user_attributes ({of}_id, key, value_json) VALUES (?, ?, ?)", given)
    if draw.random() < 0.3:
        database.execute("UPDATE trials SET state = ?", (draw.choice(("RUNNING", "FAIL", "WAITING")),))


def spoil(path: Path, draw: random.Random) -> None:
    """Damage a file in one of many ways."""
    kind = draw.random()
    if kind < 0.05:
        path.unlink()
        if draw.random() < 0.5:
            path.mkdir()
    elif path.name == "study.db" and kind < 0.8:
        try:
            spoil_study(path, draw)
        except sqlite3.Error:
            path.write_bytes(spoil_bytes(path.read_bytes(), draw))
    elif path.suffix == ".yaml" and kind < 0.75:
        try:
            value = spoil_value(yaml.safe_load(path.read_text(encoding="utf-8")), draw)
            path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
        except (yaml.YAMLError, UnicodeError):
            path.write_text(draw.choice(YAML_TEXTS), encoding="utf-8")
    elif path.suffix == ".yaml" and kind < 0.85:
        path.write_text(draw.choice(YAML_TEXTS), encoding="utf-8")
    elif path.suffix == ".csv" and kind < 0.7:
        path.write_text(spoil_table(path.read_text(encoding="utf-8", errors="replace"), draw), encoding="utf-8")
    else:
        path.write_bytes(spoil_bytes(path.read_bytes(), draw))


def commands(folder: Path, pages: Path) -> dict[str, tuple[str, str, Callable[[], object]]]:
    """Name to the folder that is spoiled, the files that it reads, and what is run."""
    run, search = folder / "run", folder / "search"
    begin = ["-m", "hparams_search=head", "study_name=new", "hydra.sweeper.preload=null", *TINY, "data.root=nowhere"]
    return {
        "compare runs": ("run", "*.yaml *.csv .hydra/config.yaml", lambda: compare.main([str(run), str(run)])),
        "compare a search": ("search", "best/*.yaml best/*.csv finalists/0/*", lambda: compare.main([str(search)])),
        "report": ("search", "*.yaml study.db study.db 0/* best/*.yaml", lambda: report.main([str(search)])),
        "merge": (
            "search",
            "*.yaml study.db study.db */*",
            lambda: merge.main([str(search), str(search), "--out", "team"]),
        ),
        "predict": ("run", "model/*", command(predict, f"run='{run}'", f"data.root='{pages}/test'")),
        "enqueue": (
            "search",
            "best/*.yaml",
            command(train, *begin, f"search.enqueue=['{search}/best/params.yaml','{search}/best/config.yaml']"),
        ),
        "warm start": (
            "search",
            "study.db",
            command(train, *begin, f"search.warm_start_from='{search}'", "search.warm_start=all"),
        ),
        "goes on": ("search", "study.db best/* */result.yaml finalists/*/*", command(train, *goes_on(folder, pages))),
        "train the winner": (
            "search",
            "best/config.yaml",
            command(train, f"--config-dir={search}/best", "--config-name=config", "data.root=nowhere"),
        ),
    }


def goes_on(folder: Path, pages: Path) -> list[str]:
    place = [f"hydra.sweep.dir='{folder}/search'", "hydra.sweeper.preload=null", "search.ensemble=false"]
    return [
        "-m",
        "hparams_search=head",
        "search.n_trials=2",
        "finalists.top_k=1",
        *TINY,
        f"data.root='{pages}'",
        *place,
    ]


# Name of what is run to how many inputs it gets, by what one costs: 420 in all.
INPUTS = {
    "compare runs": 90,
    "compare a search": 90,
    "report": 30,
    "merge": 30,
    "predict": 80,
    "enqueue": 15,
    "warm start": 20,
    "goes on": 20,
    "train the winner": 45,
}


def damage_and_run(name: str, seed: int, made: Path, pages: Path, tmp_path: Path) -> tuple[int, str, str]:
    """Exit status and output of a command on a copy with one file spoiled, and the file."""
    draw = random.Random(f"{name} {seed}")
    copy = tmp_path / f"{seed}"
    shutil.copytree(made, copy)
    what, patterns, act = commands(copy, pages)[name]
    pattern = draw.choice(patterns.split())
    found = sorted(path for path in (copy / what).glob(pattern) if path.is_file() and path.stat().st_size < SMALL * 50)
    path = draw.choice(found)
    spoil(path, draw)
    code, output = served(act, copy)
    shutil.rmtree(copy)
    return code, output, f"{name}, seed {seed}, {path.relative_to(copy)}"


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUTS)
def test_a_damaged_file_is_told_of(name: str, made: Path, pages_root: Path, tmp_path: Path) -> None:
    for seed in range(INPUTS[name]):
        code, output, which = damage_and_run(name, seed, made, pages_root, tmp_path)
        require_told(code, output, [which])


@pytest.mark.slow
def test_the_commands_work_on_what_is_not_damaged(made: Path, pages_root: Path, tmp_path: Path) -> None:
    for name in ("compare runs", "compare a search", "report", "predict", "goes on"):
        copy = tmp_path / name
        shutil.copytree(made, copy)
        code, output = served(commands(copy, pages_root)[name][2], copy)
        assert code == 0, (name, output)
