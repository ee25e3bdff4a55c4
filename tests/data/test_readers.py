"""What is read from folders and CSV files, and what is refused."""

import logging
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from slowly import slowly

from docclf.data.readers import read_csv, read_folder
from docclf.errors import DataError


def make(root: Path, *names: str) -> None:
    """Files that look like images by their names, which is all that reading a data set looks at, and empty folders."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(path) if path.suffix in (".png", ".jpg") else path.write_text("notes")


def write(path: Path, *lines: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding=encoding)


# A folder per class


def test_the_classes_of_a_folder_are_its_folders_in_sorted_order(tmp_path: Path) -> None:
    make(tmp_path, "b/2.png", "b/1.jpg", "a/x.png", "a/notes.txt", ".hidden/x.png", "__MACOSX/x.png", "readme.png")
    pages = read_folder(tmp_path)
    assert pages.targets == pages.class_names == ["a", "b"]
    assert pages.train.ids == ["a/x.png", "b/1.jpg", "b/2.png"]
    assert pages.train.labels is not None and pages.train.labels.tolist() == [0, 1, 1]
    assert [path.is_file() for path in pages.train.paths] == [True] * 3
    assert pages.test is None and pages.train.groups is None


def test_a_folder_with_train_and_test_has_test_pages(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.png", "train/계약서 ✍️/1.png", "test/계약서 ✍️/9.png")
    pages = read_folder(tmp_path)
    assert pages.class_names == ["a", "계약서 ✍️"]
    assert pages.train.ids == ["train/a/1.png", "train/계약서 ✍️/1.png"]
    assert pages.test is not None and pages.test.labels is not None
    assert (pages.test.ids, pages.test.labels.tolist()) == (["test/계약서 ✍️/9.png"], [1])


def test_a_folder_with_train_alone_has_no_test_pages(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.png", "train/b/1.png")
    assert read_folder(tmp_path).test is None


def test_a_class_may_be_called_test_below_train(tmp_path: Path) -> None:
    make(tmp_path, "train/test/1.png", "train/letter/1.png")
    assert read_folder(tmp_path).class_names == ["letter", "test"]


def test_a_folder_of_folders_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, "a/1.png", "b/1.png", "old/2019/1.png")
    with caplog.at_level(logging.WARNING):
        assert read_folder(tmp_path).class_names == ["a", "b"]
    assert str(tmp_path / "old") in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.png", "b/"], "Expected page images in the class folder {root}/b, got none"),
        (["a/1.png", "b/notes.txt"], "Expected page images in the class folder {root}/b, got none"),
        (["a/1.png", "a/2.png"], "at least 2 class folders with page images in `data.root`={root}, got 1: a"),
        ([], "at least 2 class folders with page images in `data.root`={root}, got 0. Put"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "got others too: c"),
        (["train/a/1.png", "b/1.png"], "at least 2 class folders with page images in {root}/train, got 1: a. Put"),
        (
            ["train/", "a/1.png", "b/1.png"],
            "images in {root}/train, got 0. Put the pages of each class into a folder of ",
        ),
    ],
)
def test_a_folder_without_pages_of_two_classes_is_refused(tmp_path: Path, names: Sequence[str], message: str) -> None:
    make(tmp_path, *names)
    with pytest.raises(DataError) as refused:
        read_folder(tmp_path)
    assert message.format(root=tmp_path) in str(refused.value)


def test_a_root_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected a folder at `data\.root`, got .*nowhere"):
        read_folder(tmp_path / "nowhere")


# CSV files


def test_a_csv_may_have_a_bom_and_names_in_any_script(tmp_path: Path) -> None:
    names = ["한글 문서.png", "📄.jpg", "with space, and comma.png"]
    make(tmp_path, *(f"train/{name}" for name in names))
    rows = [f'"{name}",{target}' for name, target in zip(names, ["10", "9", "9"], strict=True)]
    write(tmp_path / "train.csv", "ID,target", *rows, encoding="utf-8-sig")
    write(tmp_path / "meta.csv", "target,class_name", "9,영수증 🧾", "10,b", encoding="utf-8-sig")
    pages = read_csv(tmp_path)
    assert pages.train.ids == names
    assert pages.targets == ["9", "10"], "in order of number, not of text"
    assert pages.class_names == ["영수증 🧾", "b"]
    assert pages.train.labels is not None and pages.train.labels.tolist() == [1, 0, 0]


def test_targets_may_be_words_and_need_no_meta_csv(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png", "3.png", "4.png")
    write(tmp_path / "train.csv", "ID,target", "1.png,letter", "2.png,-1", "3.png,²", "4.png,--2")
    pages = read_csv(tmp_path)
    assert pages.targets == pages.class_names == ["-1", "--2", "letter", "²"]


def test_images_are_found_in_the_split_folder_first_and_beside_the_csv(tmp_path: Path) -> None:
    make(tmp_path, "train/1.png", "1.png", "2.png", "test/2.png")
    write(tmp_path / "train.csv", "ID,target", "1.png,0", "2.png,1")
    assert read_csv(tmp_path).train.paths == [tmp_path / "train" / "1.png", tmp_path / "2.png"]


def test_a_class_of_meta_csv_without_pages_is_a_class(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png")
    write(tmp_path / "train.csv", "ID,target", "1.png,0", "2.png,2")
    write(tmp_path / "meta.csv", "target,class_name", "0,a", "1,b", "2,c")
    pages = read_csv(tmp_path)
    assert pages.class_names == ["a", "b", "c"]
    assert pages.train.labels is not None and pages.train.labels.tolist() == [0, 2]


def test_a_group_column_is_kept(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png", "3.png")
    write(tmp_path / "train.csv", "group,ID,target", "doc 1,1.png,0", "doc 2,2.png,1", "doc 1,3.png,0")
    assert read_csv(tmp_path).train.groups == ["doc 1", "doc 2", "doc 1"]


def test_a_test_csv_without_targets_gives_pages_without_labels(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png", "test/9.png")
    write(tmp_path / "train.csv", "ID,target", "1.png,0", "2.png,1")
    write(tmp_path / "test.csv", "ID", "9.png")
    test = read_csv(tmp_path).test
    assert test is not None and test.ids == ["9.png"] and test.labels is None


def test_a_test_csv_with_targets_gives_labels(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png", "test/9.png")
    write(tmp_path / "train.csv", "ID,target", "1.png,0", "2.png,1")
    write(tmp_path / "test.csv", "ID,target", "9.png,1")
    test = read_csv(tmp_path).test
    assert test is not None and test.labels is not None and test.labels.tolist() == [1]


TRAIN = ("ID,target", "1.png,0", "2.png,1")


def test_a_test_csv_without_rows_gives_no_test_pages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, "1.png", "2.png")
    write(tmp_path / "train.csv", *TRAIN)
    write(tmp_path / "test.csv", "ID,target")
    assert read_csv(tmp_path).test is None
    assert caplog.messages == [f"{tmp_path / 'test.csv'} has no rows: there are no test pages."]


def test_targets_that_look_like_no_labels_are_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, *(f"{i}.png" for i in range(5)))
    rows = [f"{i}.png,{target}" for i, target in enumerate(["0", "-1", "?", "nan", "none"])]
    write(tmp_path / "train.csv", "ID,target", *rows)
    assert len(read_csv(tmp_path).targets) == 5
    (message,) = caplog.messages
    assert "targets that look like no labels, and are taken for classes: ?, nan. Remove their rows" in message
    write(tmp_path / "meta.csv", "target,class_name", *(f"{row.split(',')[1]},{row[0]}" for row in rows))
    caplog.clear()
    read_csv(tmp_path)
    assert not caplog.messages


def test_a_target_of_very_many_digits_is_a_target(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png")
    write(tmp_path / "train.csv", "ID,target", f"1.png,{'9' * 5000}", "2.png,10")
    assert read_csv(tmp_path).targets == ["10", "9" * 5000]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "Expected train.csv with columns ID,target in `data.root`={root}, got no such file"),
        ({"train.csv": ("ID,label", "1.png,0")}, "Expected the columns ID,target in {root}/train.csv, got ID,label"),
        ({"train.csv": ("",)}, "Expected the columns ID,target in {root}/train.csv, got an empty file."),
        ({"train.csv": ("ID,target",)}, "Expected at least one row in {root}/train.csv, got none"),
        ({"train.csv": ("ID,target", "1.png,0", "2.png,0")}, "Expected at least 2 classes in {root}/train.csv, got 1"),
        (
            {"train.csv": TRAIN, "meta.csv": ("target,class_name", "0,a")},
            "Expected at least 2 classes in {root}/train.csv",
        ),
        ({"train.csv": ("ID,target", "1.png,0", "2.png")}, "Expected at least 2 classes in {root}/train.csv, got 1"),
        ({"train.csv": (*TRAIN, '"' + "x\n" * 70_000)}, "Expected {root}/train.csv as CSV, got field larger than"),
        ({"train.csv": TRAIN, "meta.csv": ("target,name", "0,a")}, "columns target,class_name in {root}/meta.csv"),
        ({"train.csv": TRAIN, "meta.csv": ("target,class_name", "0,a", "1,a")}, "different class names"),
        ({"train.csv": TRAIN, "test.csv": ("name", "1.png")}, "Expected the columns ID in {root}/test.csv, got name"),
    ],
)
def test_a_csv_that_contradicts_itself_or_its_files_is_refused(
    tmp_path: Path, files: dict[str, Sequence[str]], message: str
) -> None:
    make(tmp_path, "1.png", "2.png")
    for name, lines in files.items():
        write(tmp_path / name, *lines)
    with pytest.raises(DataError) as refused:
        read_csv(tmp_path)
    assert message.format(root=tmp_path) in str(refused.value)


def test_a_csv_in_another_encoding_is_refused_with_the_way_out(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "ID,target", "1.png,영수증", encoding="cp949")
    with pytest.raises(DataError, match=r"train\.csv.* UTF-8"):
        read_csv(tmp_path)


BAD_ROWS = [
    ("3.png,", "no target"),
    ("3.png", "no target"),
    (",1", "no ID"),
    ("lost.png,1", "no such file in {root}/train or {root}"),
    ("folder.png,1", "no such file in {root}/train or {root}"),
    ("1.png,0", "the ID stands in several rows"),
    ("1.png,1", "the ID stands in several rows, with the targets 0, 1"),
    ("x" * 300 + ".png,1", "no such file in {root}/train or {root}"),
    ("x/" * 3000 + ".png,1", "no such file in {root}/train or {root}"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_a_row_that_cannot_be_used_is_a_problem_and_the_others_are_kept(tmp_path: Path, row: str, reason: str) -> None:
    make(tmp_path, "1.png", "2.png", "3.png", "4.png", "folder.png/")
    write(tmp_path / "train.csv", *TRAIN, "4.png,0", row)
    pages = read_csv(tmp_path)
    name = row.split(",")[0]
    start = "train.csv, row 5" + (f", {name}" if name else "") + ": "
    assert pages.problems[-1] == start + reason.format(root=tmp_path)
    kept = ["2.png", "4.png"] if "targets" in reason else ["1.png", "2.png", "4.png"]
    assert pages.train.ids == kept and len(pages.problems) == (2 if "targets" in reason else 1)
    assert pages.train.labels is not None and pages.train.labels.tolist()[-2:] == [1, 0]


def test_a_target_that_meta_csv_lacks_is_a_problem(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png", "3.png", "test/9.png")
    write(tmp_path / "train.csv", *TRAIN, "3.png,5")
    write(tmp_path / "test.csv", "ID,target", "9.png,7", "8.png,0")
    write(tmp_path / "meta.csv", "target,class_name", "0,a", "1,b")
    pages = read_csv(tmp_path)
    assert pages.train.ids == ["1.png", "2.png"]
    assert pages.problems == [
        "train.csv, row 4, 3.png: target 5 is not in meta.csv",
        "test.csv, row 2, 9.png: target 7 is not in meta.csv",
        f"test.csv, row 3, 8.png: no such file in {tmp_path}/test or {tmp_path}",
    ]
    assert pages.test is not None and len(pages.test) == 0


def test_a_group_is_one_however_its_letters_and_blanks_are_written(tmp_path: Path) -> None:
    make(tmp_path, *(f"train/{i}.png" for i in range(4)))
    names = ["한국 은행", unicodedata.normalize("NFD", "한국 은행"), "한국\u00a0은행", "한국은행"]
    write(tmp_path / "train.csv", "ID,target,group", *(f"{i}.png,{i % 2},{name}" for i, name in enumerate(names)))
    assert read_csv(tmp_path).train.groups == ["한국 은행"] * 3 + ["한국은행"]


def test_a_page_without_a_group_is_one_of_its_own(tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png", "3.png", "4.png")
    write(tmp_path / "train.csv", "ID,target,group", "1.png,0,a", "2.png,1,", "3.png,0,a", "4.png,1")
    groups = read_csv(tmp_path).train.groups
    assert groups is not None and groups[0] == groups[2] == "a" and len(set(groups)) == 3


@pytest.mark.parametrize("name", ["nan", "None", "-1", *slowly("NULL")])
def test_what_programs_write_for_no_group_is_none(name: str, tmp_path: Path) -> None:
    make(tmp_path, "1.png", "2.png")
    write(tmp_path / "train.csv", "ID,target,group", f"1.png,0,{name}", f"2.png,1,{name}")
    assert len(set(read_csv(tmp_path).train.groups or [])) == 2


def test_a_class_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b").rename(tmp_path / b"\xb0\xe8".decode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"names in UTF-8, got .*udcb0.*udce8.*Rename it"):
        read_folder(tmp_path)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_csv", ["NFC", "NFD"])
def test_names_are_found_however_a_system_composes_their_characters(in_csv: Any, on_disk: Any, tmp_path: Path) -> None:
    for name in ("계약서 é.png", "2.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / unicodedata.normalize(on_disk, name))
    names = [unicodedata.normalize(in_csv, name) for name in ("계약서 é.png", "2.png")]
    write(tmp_path / "train.csv", "ID,target", f"{names[0]},0", f"{names[1]},1")
    pages = read_csv(tmp_path)
    assert (pages.train.ids, pages.problems) == (names, [])
    assert all(path.is_file() for path in pages.train.paths)
