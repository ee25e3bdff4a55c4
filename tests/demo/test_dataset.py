"""The folder of drawn pages: same arguments, same bytes; whole folders or none; never over somebody else's files."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docclf.demo import dataset, draw_pages
from docclf.demo.dataset import LAYOUTS
from docclf.errors import DataError

PAGES = {"pages_per_class": 2, "test_pages_per_class": 1, "seed": 7}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "pages"
    draw_pages(root, workers=1, **PAGES)
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_workers_draw_the_same_bytes_as_one(drawn: Path, tmp_path: Path) -> None:
    draw_pages(tmp_path / "pages", workers=2, **PAGES)
    assert contents(tmp_path / "pages") == contents(drawn)


def test_another_seed_draws_other_pages(drawn: Path, tmp_path: Path) -> None:
    draw_pages(tmp_path / "pages", workers=1, pages_per_class=1, test_pages_per_class=0, seed=8)
    images = {data for name, data in contents(tmp_path / "pages").items() if name.startswith("train/")}
    assert len(images) == len(LAYOUTS)
    assert not images & set(contents(drawn).values())


def test_drawing_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    before = np.random.get_state()[1].tolist()
    draw_pages(tmp_path / "pages", workers=1, pages_per_class=1, test_pages_per_class=0)
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(("split", "pages"), [("train", 2), ("test", 1)])
def test_tables_name_every_file_once_and_every_class_as_often_as_asked(drawn: Path, split: str, pages: int) -> None:
    table = rows(drawn / f"{split}.csv")
    assert sorted(row["ID"] for row in table) == sorted(path.name for path in (drawn / split).iterdir())
    targets = [int(row["target"]) for row in table]
    assert sorted(targets) == sorted(list(range(len(LAYOUTS))) * pages)
    assert targets != sorted(targets)


def test_classes_are_named(drawn: Path) -> None:
    assert [row["class_name"] for row in rows(drawn / "meta.csv")] == list(LAYOUTS)
    assert [int(row["target"]) for row in rows(drawn / "meta.csv")] == list(range(len(LAYOUTS)))


def test_a_second_call_draws_nothing(drawn: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in [drawn, *drawn.rglob("*")]}
    draw_pages(drawn, workers=1, **PAGES)
    assert {path: path.stat().st_mtime_ns for path in [drawn, *drawn.rglob("*")]} == before


def test_an_empty_folder_is_filled_and_no_test_split_is_drawn_unless_asked(tmp_path: Path) -> None:
    draw_pages(tmp_path, workers=1, pages_per_class=1, test_pages_per_class=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meta.csv", "synthetic.json", "train", "train.csv"]


def test_other_arguments_are_refused_with_the_way_out(drawn: Path) -> None:
    before = contents(drawn)
    with pytest.raises(DataError, match=r"Expected `data\.root` .* seed=8.*, got .*'seed': 7.* new folder"):
        draw_pages(drawn, workers=1, **{**PAGES, "seed": 8})
    assert contents(drawn) == before


def test_pages_of_another_generator_version_are_refused(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "GENERATOR_VERSION", dataset.GENERATOR_VERSION + 1)
    with pytest.raises(DataError, match="generator_version"):
        draw_pages(drawn, workers=1, **PAGES)


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("mine")
    with pytest.raises(DataError, match=r"Expected `data\.root` to be an empty folder .* new folder .* data=csv"):
        draw_pages(tmp_path, workers=1, **PAGES)
    assert contents(tmp_path) == {"holiday.txt": b"mine"}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pages").write_text("mine")
    with pytest.raises(DataError, match=r"`data\.root` to be a folder .* got the file"):
        draw_pages(tmp_path / "pages", workers=1, **PAGES)


def test_an_unreadable_marker_is_refused(tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text("{")
    with pytest.raises(DataError, match="got an unreadable synthetic"):
        draw_pages(tmp_path, workers=1, **PAGES)


def test_leftovers_of_a_killed_run_do_no_harm(tmp_path: Path) -> None:
    leftover = tmp_path / f"pages.partial-{os.getpid()}-deadbeef"
    (leftover / "train").mkdir(parents=True)
    (leftover / "train" / "train_00000.jpg").write_bytes(b"half a page")
    draw_pages(tmp_path / "pages", workers=1, pages_per_class=1, test_pages_per_class=0)
    assert len(rows(tmp_path / "pages" / "train.csv")) == len(LAYOUTS)
    assert contents(leftover) == {"train/train_00000.jpg": b"half a page"}


def test_an_error_while_drawing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(dataset, "draw_page", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_pages(tmp_path / "pages", workers=1, **PAGES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("same", [True, False], ids=["same arguments", "other arguments"])
def test_the_later_of_two_runs_uses_the_first_ones_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    root = tmp_path / "pages"
    arguments = {"pages_per_class": 1, "test_pages_per_class": 0, "seed": 3}
    draw = dataset._draw_all

    def overtaken(jobs: list[dataset.PageJob], workers: int | None) -> list[str]:
        monkeypatch.setattr(dataset, "_draw_all", draw)
        draw_pages(root, workers=1, **{**arguments, "seed": 3 if same else 4})
        return draw(jobs, workers)

    monkeypatch.setattr(dataset, "_draw_all", overtaken)
    if same:
        draw_pages(root, workers=1, **arguments)
    else:
        with pytest.raises(DataError, match="'seed': 4"):
            draw_pages(root, workers=1, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]
    assert json.loads((root / "synthetic.json").read_text())["seed"] == (3 if same else 4)


@pytest.mark.slow
def test_two_processes_at_once_leave_one_folder_of_whole_pages(drawn: Path, tmp_path: Path) -> None:
    root = tmp_path / "pages"
    code = f"import pathlib, docclf.demo; docclf.demo.draw_pages(pathlib.Path({str(root)!r}), workers=1, **{PAGES!r})"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]
    assert contents(root) == contents(drawn)


def test_test_pages_may_be_clean_too(tmp_path: Path) -> None:
    draw_pages(tmp_path / "pages", workers=1, pages_per_class=1, test_pages_per_class=1, test_look="none")
    for path in (tmp_path / "pages" / "test").iterdir():
        with Image.open(path) as image:
            assert max(image.size) > 420, "photographs are smaller"


def test_drawing_imports_nothing_heavy() -> None:
    code = (
        "import sys, docclf.demo\n"
        "print(sorted({'torch', 'timm', 'hydra', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
