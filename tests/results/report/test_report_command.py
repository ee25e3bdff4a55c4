"""`python -m docclf.report`, on folders and on studies of other programs."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import yaml
from results.report.studies import NAME, new_study, trial

from docclf.report import main
from docclf.results.report.page import read_thumbnail


def test_it_reports_a_search_from_its_folder(
    search: tuple[optuna.Study, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = search
    assert main([str(folder)]) == 0
    assert Path(capsys.readouterr().out.strip()) == folder / "report.html"
    assert "beats the baseline" in (folder / "report.html").read_text(encoding="utf-8")


def test_it_reports_a_study_of_another_program_and_changes_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'x.db'}"
    for name in ("a/b", "c"):
        new_study([trial(i) for i in range(3)], storage=url, study_name=name)
    before = (tmp_path / "x.db").read_bytes()
    assert main([f"{url}#a/b"]) == 0
    assert "<title>a/b: " in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "x.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"x.db", "report.html"}


def test_objectives_are_called_as_the_search_has_labelled_them(search: tuple[optuna.Study, Path]) -> None:
    _, folder = search
    sweeper = {"metric": "macro_f1", "direction": {"macro_f1": "maximize"}, "labels": {"macro_f1": "macro-F1"}}
    sweeper |= {"study_name": NAME, "storage": None}
    known = {"sweep": {"dir": "multirun/x"}, "runtime": {"cwd": str(folder)}, "sweeper": sweeper}
    sweep = yaml.safe_dump({"hydra": known}, allow_unicode=True)
    (folder / "multirun.yaml").write_text(sweep, encoding="utf-8")
    assert main([str(folder)]) == 0
    assert "macro-F1, trial by trial" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (
            "nowhere",
            "Expected a search's folder, a study.db or a storage URL such as sqlite:///study.db#NAME, got nowhere",
        ),
        ("sqlite:///nowhere.db", "got sqlite:///nowhere.db: no such file"),
        (".", "Expected study.db for the search in ., got no such file. Copy it"),
        (
            "a search/0",
            "Expected study.db for the search in a search/0, got no such file. The search is in 'a search'.",
        ),
        ("sqlite:///text.db", "Expected an Optuna study in text.db, got something else: file is not a database"),
        ("sqlite:///x.db#c", "Expected a study `c` in sqlite:///x.db#c, got a, b"),
        ("sqlite:///x.db", "Expected one study in sqlite:///x.db, got a, b. Name one by its storage URL"),
    ],
)
def test_it_says_what_is_missing(
    study: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.db").write_text("no database, but text of some length")
    Path("a search/0").mkdir(parents=True)
    Path("a search/study.db").touch()
    for name in ("a", "b"):
        new_study([], storage="sqlite:///x.db", study_name=name)
    assert main([study]) == 2
    assert message in capsys.readouterr().err
    assert not Path("report.html").exists() and not Path("nowhere.db").exists()


def test_it_goes_over_nothing_but_a_report(
    search: tuple[optuna.Study, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(search[1])
    Path("train.csv").write_text("ID,target\n", encoding="utf-8")
    for given, other in (("train.csv", "train_1.html"), ("", "report.html"), (".", "report.html")):
        assert main([folder, "--output", given]) == 2
        assert capsys.readouterr().err.endswith(f" Say --output {other}\n")
    assert Path("train.csv").read_text(encoding="utf-8") == "ID,target\n"
    for _ in range(2):
        assert main([folder, "--output", "train_1.html"]) == 0
    (search[1] / "report.html").write_text("mine", encoding="utf-8")
    assert main([folder]) == 2
    assert "report.html, which is another file" in capsys.readouterr().err


def test_pages_that_are_not_there_are_missed(
    search: tuple[optuna.Study, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(search[1]), "--pages", "nope"]) == 2
    assert "Expected the folder of the pages in --pages, got nope: no such folder." in capsys.readouterr().err


def test_a_page_is_found_below_the_root_or_below_train_and_as_one_of_a_file(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "train").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "train" / "a.png")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "b#2.png")
    sheets = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    sheets[0].save(tmp_path / "many.tif", save_all=True, append_images=sheets[1:])
    colours = {"a.png": (255, 0, 0), "b#2.png": (0, 0, 255), "many.tif#2": (0, 255, 0), "many.tif": (255, 0, 0)}
    for page, colour in colours.items():
        assert tuple(read_thumbnail(tmp_path, page, 4)[0, 0]) == colour
    with pytest.raises(FileNotFoundError, match=r"Expected the page c\.png below"):
        read_thumbnail(tmp_path, "c.png", 4)


def test_of_a_folder_that_can_only_be_read_the_report_goes_elsewhere(
    search: tuple[optuna.Study, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, folder = search
    with closing(sqlite3.connect(folder / "study.db")) as database:
        database.execute("PRAGMA journal_mode=wal")  # as searches have it
    before = folder.stat().st_mtime_ns
    monkeypatch.setattr(os, "access", lambda place, mode: not Path(place).is_relative_to(folder))
    assert main([str(folder)]) == 2
    assert f"can be written to, got {folder}. Say --output report.html" in capsys.readouterr().err
    assert main([str(folder), "--output", str(tmp_path / "r.html")]) == 0
    assert (tmp_path / "r.html").is_file()
    assert folder.stat().st_mtime_ns == before, "SQLite kept nothing beside the study"
