"""One class is one class however its name is written, and what is nearly one is spoken of."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from flat_pages import opened, picture, write

from docclf.data.folds import read_folds
from docclf.data.readers import read_csv, read_folder
from docclf.data.reading.listing import list_pages
from docclf.errors import DataError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "서식") for form in ("NFC", "NFD"))


def folders(root: Path, names: Sequence[str], grey: int = 10) -> None:
    for i, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        picture(root / name / f"{i}.png", grey + i)


# The same name in two ways, as it is written into a CSV file or called on a disk
SAME = [
    (COMPOSED, DECOMPOSED),
    ("memo", "memo "),
    ("memo", "\u00a0memo"),
    ("memo", "me\u200bmo"),
    ("memo", "\ufeffmemo"),
    ("id card", "id  card"),
    ("id card", "id\u00a0card"),
    ("memo", "memo\u200f"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_folders_of_one_name_are_one_class_and_a_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, one: str, other: str
) -> None:
    folders(tmp_path, [one, other, "letter"])
    pages = read_folder(tmp_path)
    assert pages.targets == pages.class_names == sorted([one, "letter"])
    assert pages.train.labels is not None and np.bincount(pages.train.labels).max() == 2
    (message,) = caplog.messages
    assert "taken for one class each" in message and one in message


@pytest.mark.parametrize(("one", "other"), SAME)
def test_test_folders_and_predicted_ones_are_found_in_another_spelling(tmp_path: Path, one: str, other: str) -> None:
    folders(tmp_path / "train", [one, "letter"])
    folders(tmp_path / "test", [other])
    pages = read_folder(tmp_path)
    assert pages.test is not None and pages.test.labels is not None
    assert pages.test.labels.tolist() == [pages.targets.index(one)]
    listing = list_pages(tmp_path / "test")
    assert listing.labels(pages.targets, pages.class_names).tolist() == [pages.targets.index(one)]
    assert listing.labels([other, "letter"], [other, "letter"]).tolist() == [0], "of a model of before"


@pytest.mark.parametrize(("one", "other"), SAME)
def test_targets_of_csv_files_are_one_in_another_spelling(root: Path, one: str, other: str) -> None:
    write(root / "train.csv", "ID,target", f"0.png,{one}", f"1.png,{other}", "2.png,x", "3.png,x")
    write(root / "meta.csv", "target,class_name", f"{other},{other}", "x,x")
    write(root / "test.csv", "ID,target", f"t0.png,{other}", "t1.png,x")
    pages = read_csv(root)
    assert (sorted(pages.targets), pages.problems) == (sorted([one, "x"]), [])
    assert pages.test is not None and pages.test.labels is not None and len(set(pages.test.labels.tolist())) == 2


NEARLY = [
    *(("memo", "Memo"), ("0", "0.0"), ("1", "01"), ("\uff11", "1"), ("a\u200db", "ab"), ("-1", "\u22121")),
    *(("id-card", f"id{sign}card") for sign in (" ", "_", "\u2013", "\u2010", "\u2011", "")),
]


@pytest.mark.parametrize(("one", "other"), NEARLY)
def test_names_that_are_nearly_equal_are_two_classes_and_a_warning_names_them(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, one: str, other: str
) -> None:
    write(root / "train.csv", "ID,target", f"0.png,{one}", f"1.png,{other}", "2.png,x", "3.png,x")
    (root / "meta.csv").unlink()
    write(root / "test.csv", "ID", "t0.png")
    assert len(read_csv(root).targets) == 3
    folders(tmp_path / "pages", [one, other, "letter"])
    assert len(read_folder(tmp_path / "pages").targets) == 3
    assert len(caplog.messages) == 2
    for message in caplog.messages:
        assert "nearly equal" in message and other.replace("\u200d", r"\u200d") in message


def test_class_names_of_meta_csv_are_compared_too(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root / "meta.csv", "target,class_name", "a,Invoice", "b,invoice ")
    assert read_csv(root).class_names == ["Invoice", "invoice"]
    assert "nearly equal" in caplog.text and "Invoice, invoice" in caplog.text


@pytest.mark.parametrize("name", ["Letter", "letter_", "LETTER"])
def test_a_name_of_test_pages_that_is_no_class_comes_with_the_one_that_is_meant(
    root: Path, tmp_path: Path, name: str
) -> None:
    folders(tmp_path / "pages" / "train", ["letter", "memo"])
    folders(tmp_path / "pages" / "test", [name])
    with pytest.raises(DataError, match=f"got others too: {name}, but letter"):
        read_folder(tmp_path / "pages")
    write(root / "train.csv", "ID,target", "0.png,letter", "1.png,memo")
    (root / "meta.csv").unlink()
    write(root / "test.csv", "ID,target", f"t0.png,{name}", "t1.png,memo")
    assert read_csv(root).problems == [f"test.csv, row 2, t0.png: target {name} is not in train.csv, but letter"]
    with pytest.raises(DataError, match=f"got {name}, but letter. Without"):
        list_pages(root / "test.csv").labels(["letter", "memo"], ["letter", "memo"])


def test_a_name_that_cannot_be_seen_is_refused(tmp_path: Path) -> None:
    folders(tmp_path, ["a", "b", "\u200b"])
    with pytest.raises(DataError, match=r"names, got .*\\u200b.*Rename it"):
        read_folder(tmp_path)


@pytest.mark.parametrize("ids", [(COMPOSED, DECOMPOSED), ("sub/x", r"sub\x")])
def test_one_file_under_two_ids_is_one_page(root: Path, ids: tuple[str, str]) -> None:
    (root / "sub").mkdir()
    picture(root / f"{ids[0]}.png", 77)
    write(root / "train.csv", "ID,target", "0.png,a", "1.png,b", *(f"{name}.png,a" for name in ids))
    pages = read_csv(root)
    assert pages.problems == [f"train.csv, row 5, {ids[1]}.png: the ID stands in several rows"]


def test_folds_of_a_mac_are_those_of_another_machine(tmp_path: Path) -> None:
    write(tmp_path / "folds.csv", "ID,fold", f"{DECOMPOSED}/1.png,0", f"{COMPOSED}/2.png,1")
    assert read_folds(tmp_path / "folds.csv", [f"{COMPOSED}/1.png", f"{DECOMPOSED}/2.png"], 2).tolist() == [0, 1]


def test_a_correction_names_pages_and_classes_in_any_spelling(tmp_path: Path) -> None:
    root = tmp_path / "root"
    folders(root, [DECOMPOSED, "letter"])
    write(tmp_path / "c.csv", "ID,old,new", f"{COMPOSED}/0.png,{DECOMPOSED},letter")
    corrected = opened(root, read_folder, corrections=tmp_path / "c.csv")
    assert corrected.pages.train.labels is not None and corrected.pages.train.labels.tolist() == [0, 0]
