"""What a merged study holds."""

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from merged_studies import SPACE, Make, board, load, merge, new_study, origins, tell
from optuna.trial import TrialState

from docclf.results.report.page import write_report


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


@pytest.mark.slow
def test_a_baseline_that_failed_stands_for_no_other(tmp_path: Path) -> None:
    base = {"optimizer.lr": 1e-3, "data.batch_size": 32}
    failed, done, other = (new_study(tmp_path / name) for name in "abc")
    tell(failed, state=TrialState.FAIL, params=base, role="baseline")
    tell(failed, 0.2)
    tell(done, 0.1, host="hostb", params=base, role="baseline")
    tell(other, 0.1, host="hostc", params=base | {"data.batch_size": 16}, role="baseline")
    merge(*(tmp_path / name for name in "abc"), out=tmp_path / "team")
    assert origins(tmp_path / "team") == [("hosta", 0), ("hosta", 1), ("hostb", 0), ("hostc", 0)]


def test_numbers_that_trials_name_are_the_new_ones(make: Make, tmp_path: Path) -> None:
    other = make("b", 0.2)
    study = load(other, "search")
    tell(study, 0.2, params=study.trials[1].params, duplicate_of=1, retry_of=0)
    tell(study, 0.1, params=study.trials[0].params, duplicate_of=0)
    text = merge(make("a", 0.3, 0.4), other, out=tmp_path / "team")
    assert "folders" not in text, "duplicates have none"
    merged = load(tmp_path / "team").trials
    assert origins(tmp_path / "team")[3:] == [("hostb", 1), ("hosta", 2), ("hosta", 3)]
    assert len(board(tmp_path / "team")) == 4, "a result stands there once"
    assert [t.user_attrs.get("duplicate_of") for t in merged[3:]] == [None, 3, 0], "of the baseline, the one that stays"
    assert all("retry_of" not in t.user_attrs for t in merged)
    assert {path.name for path in (tmp_path / "team").iterdir() if path.name.isdigit()} == {"0", "1", "2", "3"}


def test_the_report_says_who_found_what_and_where(make: Make, tmp_path: Path) -> None:
    merge(f"지민={make('a', 0.3)}", make("b", 0.5, 0.4), out=tmp_path / "team")
    text = write_report(load(tmp_path / "team"), tmp_path / "team").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>(.*?)</tr>", text.partition('id="team"')[2].partition("</table>")[0], re.DOTALL)[1:]
    cells = [re.findall(r"<t[hd][^>]*>(?:<a[^>]*>)?([^<]*)", row) for row in rows]
    assert cells[0][:5] == ["2", "hostb", "hostb", "search", "0.5"]
    assert "지민" in [row[1] for row in cells] and 'href="leaderboard.csv"' in text
    table = json.loads(re.findall(r'id="rows">(.*?)</script>', text)[0])
    who = [column["name"] for column in table["columns"]].index("who")
    assert {row[who] for row in table["rows"]} == {"지민", "hostb"}


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


def test_a_study_that_is_given_twice_counts_once(make: Make, tmp_path: Path) -> None:
    a = make("a", 0.3)
    text = merge(a, a, out=tmp_path / "team")
    assert origins(tmp_path / "team") == [("hosta", 0), ("hosta", 1)]
    assert "2 trials are in several of the studies, and count once." in text


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
from docclf.sweeper.storage.places import open_storage
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
