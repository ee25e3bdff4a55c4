"""Labels that a person has corrected are read with the data set, and what does not fit it is refused."""

import shutil
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flat_pages import greys, opened, picture, write
from omegaconf import DictConfig

from docclf.cli.preflight import preflight
from docclf.data.readers import read_csv, read_folder
from docclf.errors import DataError

needs_both_spellings = pytest.mark.skipif(sys.platform == "darwin", reason="which are one folder there")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six pages of the classes 0 and 1, as CSV and in folders by the same names."""
    root = tmp_path / "pages"
    for label in "01":
        (root / label).mkdir(parents=True)
        for i in range(3):
            picture(root / label / f"{i}.png", 100 * int(label) + 20 * i)
    rows = [f"{label}/{i}.png,{label}" for label in "01" for i in range(3)]
    write(root / "train.csv", "ID,target", *rows)
    return root


@pytest.mark.parametrize("reader", [read_csv, read_folder])
def test_pages_are_relabelled_dropped_and_kept(root: Path, reader: Callable[[Path], Any], tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    write(file, "ID,old,new,who,when", "0/1.png,0,1,ann,", "1/2.png,1,,ann,", "1/0.png,1,1,bob,")
    before, after = opened(root, reader), opened(root, reader, corrections=file)
    assert after.pages.train.ids == before.pages.train.ids[:-1]
    assert after.pages.train.labels is not None and after.pages.train.labels.tolist() == [0, 1, 0, 1, 1]
    assert greys(after.train_images) == [0, 20, 40, 100, 120], "each page is still its own"
    assert after.corrections == {"relabelled": 1, "dropped": 1, "kept": 1, "uncorrected": before.fingerprint}
    assert before.corrections is None


def test_the_fingerprint_is_that_of_what_is_trained_on(root: Path, tmp_path: Path) -> None:
    prints = {opened(root).fingerprint}
    for rows in (["0/1.png,0,1"], ["0/1.png,0,"], ["0/1.png,0,1", "1/1.png,1,0"]):
        write(tmp_path / "some.csv", "ID,old,new", *rows)
        prints.add(opened(root, corrections=tmp_path / "some.csv").fingerprint)
    assert len(prints) == 4
    write(tmp_path / "some.csv", "ID;old;new", "0/1.png;0;0")  # as a spreadsheet program may write it
    assert opened(root, corrections=tmp_path / "some.csv").fingerprint in prints, "what is kept changes nothing"


def test_ids_that_a_spreadsheet_would_run_are_found_with_their_apostrophe(tmp_path: Path) -> None:
    root = tmp_path / "pages"
    root.mkdir()
    names = ["=1+1.png", "-a.png", "'=b.png", "b.png"]
    for i, name in enumerate(names):
        picture(root / name, 50 * i)
    write(
        root / "train.csv",
        "ID,target",
        *(f"{name},{label}" for name, label in zip(names, ["-1", "1", "-1", "1"], strict=True)),
    )
    write(tmp_path / "fix.csv", "ID,old,new", "'=1+1.png,-1,1", "'-a.png,1,-1", "''=b.png,-1,")
    data = opened(root, corrections=tmp_path / "fix.csv")
    assert data.pages.train.ids == ["=1+1.png", "-a.png", "b.png"]
    assert data.pages.train.labels is not None
    assert [data.pages.targets[label] for label in data.pages.train.labels] == ["1", "-1", "1"]


@pytest.fixture
def alike(tmp_path: Path) -> tuple[Path, list[str]]:
    """Two folders of one class, whose letters are composed differently, with pages of one name, and another class."""
    root, names = tmp_path / "alike", [unicodedata.normalize(form, "서식") for form in ("NFC", "NFD")]
    for grey, name in enumerate((*names, "other")):
        for i in range(2):
            (root / name).mkdir(parents=True, exist_ok=True)
            picture(root / name / f"{i}.png", 100 * grey + 20 * i)
    return root, names


def drop(key: str, page: str, folder: Path) -> Path:
    """A file for this key of `data` that leaves a page out."""
    write(folder / "file.csv", *(("ID,old,new", f"{page},서식,") if key == "corrections" else ("ID", page)))
    return folder / "file.csv"


@needs_both_spellings
@pytest.mark.parametrize("chosen", [0, 1])
@pytest.mark.parametrize("key", ["corrections", "exclude"])
def test_of_pages_whose_ids_are_composed_alike_the_one_is_left_out_that_is_named(
    alike: tuple[Path, list[str]], tmp_path: Path, chosen: int, key: str
) -> None:
    root, names = alike
    named = f"{names[chosen]}/0.png"
    left = opened(root, read_folder, **{key: drop(key, named, tmp_path)}).pages.train.ids
    assert sorted(left) == sorted({f"{name}/{i}.png" for name in (*names, "other") for i in range(2)} - {named})


@needs_both_spellings
@pytest.mark.parametrize("key", ["corrections", "exclude"])
def test_a_page_is_left_out_by_an_id_that_is_composed_otherwise_where_no_other_has_it(
    alike: tuple[Path, list[str]], tmp_path: Path, key: str
) -> None:
    root, (composed, decomposed) = alike
    shutil.rmtree(root / composed)
    left = opened(root, read_folder, **{key: drop(key, f"{composed}/0.png", tmp_path)}).pages.train.ids
    assert sorted(left) == sorted([f"{decomposed}/1.png", "other/0.png", "other/1.png"])


def test_a_page_that_cannot_be_read_may_be_corrected_all_the_same(root: Path, tmp_path: Path) -> None:
    (root / "0" / "1.png").write_bytes(b"no picture")
    write(tmp_path / "fix.csv", "ID,old,new", "0/1.png,0,1", "0/0.png,0,")
    data = opened(root, corrections=tmp_path / "fix.csv", on_error="drop")
    assert data.pages.train.ids == ["0/2.png", "1/0.png", "1/1.png", "1/2.png"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["ID,old,new", "9.png,0,1"], r"IDs of training pages in .*fix.csv, got 9.png, which are not in the data set"),
        (
            ["ID,old,new", "0/0.png,1,0"],
            r"the label that the data set gives .* got another one for 0/0.png \(1, not 0\)",
        ),
        (["ID,old,new", "0/0.png,0,2"], r"targets out of 0, 1 in the column new .* got 2 for 0/0.png"),
        (["ID,old,new", "0/0.png,0,1", "0/0.png,0,0"], r"each ID once in .*fix.csv, got 0/0.png several times"),
        (["ID,new", "0/0.png,1"], r"the columns ID,old,new in .*fix.csv, got ID,new"),
        (None, r"a CSV file at `data.corrections`, got .*fix.csv, which is none. python -m docclf.labels RUN"),
    ],
)
def test_what_does_not_fit_the_data_set_is_refused(
    root: Path, tmp_path: Path, rows: list[str] | None, message: str
) -> None:
    if rows is not None:
        write(tmp_path / "fix.csv", *rows)
    with pytest.raises(DataError, match=message):
        opened(root, corrections=tmp_path / "fix.csv")


def test_a_search_sees_them_before_its_first_trial(cfg: DictConfig, pages_root: Path, tmp_path: Path) -> None:
    page = (pages_root / "train.csv").read_text(encoding="utf-8").splitlines()[1].rpartition(",")[0]
    plain = preflight(cfg)
    write(tmp_path / "fix.csv", "ID,old,new", f"{page},0,")
    cfg.data.corrections = str(tmp_path / "fix.csv")
    corrected = preflight(cfg)
    assert (plain["pages"], corrected["pages"]) == (24, 23) and plain["data"] != corrected["data"]
    assert np.unique([plain["folds"], corrected["folds"]]).size == 2
    del cfg.data.corrections  # as in a config of before
    assert preflight(cfg) == plain
