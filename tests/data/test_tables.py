"""CSV files as spreadsheets and other systems write them, and the files that their IDs mean."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flat_pages import picture, write

from docclf.data.readers import read_csv
from docclf.data.reading.folders import warn_once
from docclf.data.reading.listing import find_page, list_pages
from docclf.data.reading.tables import read_table
from docclf.errors import DataError


@pytest.mark.parametrize(
    "lines",
    [
        ("ID,target", "a.png,x;y"),
        ('"ID";"target"', 'a.png;"x;y"'),
        ("\ufeffID;target", 'a.png;"x;y"'),
        ("ID\ttarget", "a.png\tx;y"),
        (" ID , target ", " a.png,\tx;y "),
        ("group;x, or y;target;ID", ';;"x;y";a.png'),
    ],
)
def test_columns_are_found_whatever_is_between_and_around_them(tmp_path: Path, lines: tuple[str, str]) -> None:
    write(tmp_path / "train.csv", *lines)
    (row,) = read_table(tmp_path / "train.csv", ("ID", "target"))
    assert (row["ID"], row["target"]) == ("a.png", "x;y")


def test_a_comma_in_the_only_column_of_ids_is_no_delimiter_by_mistake(tmp_path: Path) -> None:
    write(tmp_path / "test.csv", "ID", '"a, b.png"', "c;d.png")
    assert [row["ID"] for row in read_table(tmp_path / "test.csv", ("ID",))] == ["a, b.png", "c;d.png"]


@pytest.mark.parametrize("lines", [("a.png,x",), ("ID|target", "a.png|x"), ("sep=;", "ID;target", "a.png;x"), ("",)])
def test_a_file_whose_first_line_names_no_columns_is_refused_with_what_to_write_there(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    write(tmp_path / "train.csv", *lines)
    with pytest.raises(DataError, match=r"\. Name them in its first line, with commas, semicolons or tabs between\.$"):
        read_table(tmp_path / "train.csv", ("ID", "target"))


def test_a_file_without_the_columns_is_refused_whatever_its_delimiter(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "id;label", "a.png;0")
    with pytest.raises(DataError, match=r"Expected the columns ID,target in .*train\.csv, got id;label\."):
        read_table(tmp_path / "train.csv", ("ID", "target"))


def test_blanks_and_semicolons_make_no_other_classes_or_pages(root: Path) -> None:
    write(root / "train.csv", "ID ; target", "0.png ;a", "1.png; b", " 2.png;a\u00a0", "3.png;b")
    write(root / "meta.csv", "target;class_name", "a ; letter", " b;memo")
    pages = read_csv(root)
    assert (pages.targets, pages.class_names, pages.problems) == (["a", "b"], ["letter", "memo"], [])
    assert pages.train.ids == ["0.png", "1.png", "2.png", "3.png"]
    assert pages.test is not None and len(pages.test) == 3, "with commas, as before"


def test_a_test_folder_that_no_csv_names_is_spoken_of(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "test").mkdir(exist_ok=True)
    read_csv(root)
    assert not caplog.messages
    (root / "test.csv").unlink()
    assert read_csv(root).test is None
    assert caplog.messages == [f"{root / 'test'} is not looked at: a test.csv with the column ID would name its pages."]


EQUAL = ["0", "00", "01", "1"]


def test_targets_of_equal_value_are_spoken_of_unless_meta_csv_names_them(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(root / "train.csv", "ID,target", *(f"{i}.png,{target}" for i, target in enumerate(EQUAL)))
    write(root / "test.csv", "ID", "t0.png")
    write(root / "meta.csv", "target,class_name", *(f"{target},class {target}" for target in EQUAL))
    read_csv(root)
    assert not caplog.messages
    (root / "meta.csv").unlink()
    read_csv(root)
    read_csv(root)
    (message,) = caplog.messages
    assert "are taken for different classes: 0, 00, 01, 1. Write them alike" in message


@pytest.mark.parametrize("seed", ["0", "1", "5"])  # of which sets are ordered differently
def test_targets_of_equal_value_have_one_order_in_every_process(root: Path, seed: str) -> None:
    write(root / "train.csv", "ID,target", *(f"{i}.png,{target}" for i, target in enumerate(EQUAL)))
    (root / "meta.csv").unlink()
    (root / "test.csv").unlink()
    code = "import pathlib, sys, docclf.data.readers as r; print(*r.read_csv(pathlib.Path(sys.argv[1])).targets)"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", code, str(root)]
    assert subprocess.check_output(command, env=environment, text=True).split() == EQUAL


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_targets_of_equal_value_are_in_one_order_however_meta_csv_has_them(root: Path, order: tuple[int, ...]) -> None:
    write(root / "train.csv", "ID,target", *(f"{i}.png,{target}" for i, target in enumerate(EQUAL)))
    write(root / "test.csv", "ID", "t0.png")
    write(root / "meta.csv", "target,class_name", *(f"{EQUAL[i]},class {EQUAL[i]}" for i in order))
    assert read_csv(root).targets == EQUAL


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (("0,a", "1,b"), "got 0: meta.csv has no 00, 01, but 0, 1. Write targets alike"),
        (("00,a", "1,b"), "got 1: meta.csv has no 01, but 1. Write targets alike"),
        (("letter,a", "memo,b"), "got 0: meta.csv has no 00, 01, but letter, memo. Write targets alike in both"),
        (("00,a",), "got 1: meta.csv has no 01, but no other. Write targets alike in both"),
    ],
)
def test_targets_that_differ_between_the_files_are_named(root: Path, meta: tuple[str, ...], message: str) -> None:
    write(root / "train.csv", "ID,target", "0.png,00", "1.png,01")
    write(root / "meta.csv", "target,class_name", *meta)
    with pytest.raises(DataError) as refused:
        read_csv(root)
    assert message in str(refused.value)


def test_an_id_of_windows_is_found_and_kept_as_it_is_written(root: Path) -> None:
    (root / "train" / "sub").mkdir(parents=True)
    picture(root / "train" / "sub" / "x.png", 30)
    write(root / "train.csv", "ID,target", r"sub\x.png,a", "1.png,b")
    pages = read_csv(root)
    assert (pages.train.ids, pages.problems) == ([r"sub\x.png", "1.png"], [])
    assert pages.train.paths[0] == root / "train" / "sub" / "x.png"
    assert list_pages(root / "train.csv").pages[0].path == root / "train" / "sub" / "x.png"


@pytest.mark.skipif(os.name == "nt", reason="no such names")
def test_a_name_that_holds_a_backslash_comes_before_a_folder(root: Path) -> None:
    (root / "sub").mkdir()
    for name in ("sub/x.png", r"sub\x.png"):
        picture(root / name, 30)
    write(root / "train.csv", "ID,target", r"sub\x.png,a", "1.png,b")
    assert read_csv(root).train.paths[0] == root / r"sub\x.png"


@pytest.fixture
def named(root: Path) -> Path:
    """Pages to be called without their suffix."""
    (root / "train" / "sub").mkdir(parents=True)
    for file in ("x.png", "sub/y.v2.JPG", "twice.png", "twice.jpg"):
        picture(root / "train" / file, 30)
    (root / "train" / "notes.txt").touch()
    return root


@pytest.mark.parametrize(
    ("name", "file"),
    [("x", "x.png"), ("sub/y.v2", "sub/y.v2.JPG"), (r"sub\y.v2", "sub/y.v2.JPG"), ("twice.jpg", "twice.jpg")],
)
def test_an_id_without_its_suffix_is_the_only_file_that_is_called_so(named: Path, name: str, file: str) -> None:
    root = named
    picture(root / "x.tif", 30)  # beside train/, which comes first
    write(root / "train.csv", "ID,target", "0.png,a", "1.png,b", f"{name},a")
    pages = read_csv(root)
    assert (pages.train.ids[2], pages.train.paths[2], pages.problems) == (name, root / "train" / file, [])
    listed = list_pages(root / "train.csv").pages[2]
    assert (listed.id, listed.path, listed.problem) == (name, root / "train" / file, "")
    assert find_page(root, name) == (root / "train" / file, 0)
    assert find_page(root, f"{name}#3") == (root / "train" / file, 2)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (
            "twice",
            ", but several that differ in their suffix, twice.jpg, twice.png: keep one, or give the ID its suffix",
        ),
        ("notes", ""),
        ("x.jpg", ", but one such as x.png: write IDs as the files are called"),
        ("sub/y", ""),
        ("SUB/y.v2", ", but one such as y.v2.JPG: write IDs as the files are called"),
    ],
)
def test_an_id_of_no_file_or_of_several_is_a_problem_that_names_them(named: Path, name: str, hint: str) -> None:
    root = named
    write(root / "train.csv", "ID,target", "0.png,a", "1.png,b", f"{name},a")
    missing = f"no such file in {root / 'train'} or {root}{hint}"
    assert read_csv(root).problems == [f"train.csv, row 4, {name}: {missing}"]
    assert list_pages(root / "train.csv").pages[2].problem.endswith(f" or {root}{hint}")


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("train.csv", ("ID,target,target", "0.png,a,b"), "every column once in {root}/train.csv, got target several"),
        ("train.csv", ("ID,target, ID", "0.png,a,1.png"), "every column once in {root}/train.csv, got ID several"),
        ("test.csv", ("ID;group;group", "t0.png;1;2"), "every column once in {root}/test.csv, got group several"),
        ("meta.csv", ("target,class_name", "a,x", "b,y", "a,z"), "every target once in {root}/meta.csv, got a several"),
        (
            "meta.csv",
            ("target,class_name", "a,x", "b,y", "b ,z"),
            "every target once in {root}/meta.csv, got b several",
        ),
        ("meta.csv", ("target,class_name", "a,x", "b,x"), "different class names in {root}/meta.csv, got one twice: x"),
        ("meta.csv", ("target,class_name", "a,", "b,y"), "a class name in every row of {root}/meta.csv, got a alone"),
        ("meta.csv", ("target,class_name", "a,x", "b,y", ",z"), "in every row of {root}/meta.csv, got z alone"),
        ("meta.csv", ("target,class_name", "a,\u200b", "b,y"), "in every row of {root}/meta.csv, got a alone"),
    ],
)
def test_keys_that_stand_twice_and_empty_names_are_refused(
    root: Path, file: str, lines: tuple[str, ...], message: str
) -> None:
    write(root / file, *lines)
    with pytest.raises(DataError) as refused:
        read_csv(root)
    assert message.format(root=root) in str(refused.value)


def test_columns_without_a_name_and_empty_rows_of_a_spreadsheet_do_no_harm(root: Path) -> None:
    write(root / "train.csv", ",ID,target,,", "0,0.png,a,,", "1,1.png,b,,")
    write(root / "meta.csv", "target,class_name,", "a,x,", "b,y,", ",,")
    pages = read_csv(root)
    assert (pages.class_names, pages.problems) == (["x", "y"], [])


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("7.png", "0007.png"),
        ("0007.png", "7.png"),
        ("7", "0007.png"),
        ("7.0", "0007.png"),
        ("page 7.png", "page_007.png"),
        ("Page7.png", "page7.png"),
        ("page7.png", "page7.PNG"),
        ("page  7.png", "page 7.png"),
        ("page7 .png", "page7.png"),
        ("page7.jpeg", "page7.jpg"),
        ("Sub/7.png", "sub/007.png"),
        (r"SUB\7.png", "sub/007.png"),
        ("\u200b7.png", "007.png"),
    ],
)
def test_an_id_that_nearly_is_a_file_is_a_problem_that_names_it(root: Path, name: str, file: str) -> None:
    (root / "train" / "sub").mkdir(parents=True)
    picture(root / "train" / file, 30)
    write(root / "train.csv", "ID,target", "0.png,a", "1.png,b", f"{name},a")
    hint = f", but one such as {Path(file).name}: write IDs as the files are called"
    (problem,) = read_csv(root).problems
    assert problem.endswith(f" or {root}{hint}")
    assert list_pages(root / "train.csv").pages[2].problem.endswith(hint)


@pytest.mark.parametrize("name", ["70.png", "../7.png", "/7.png", "7a.png", "sub/7.png", "8.png", "twice.png"])
def test_an_id_that_may_mean_several_files_or_none_gets_no_hint(root: Path, name: str) -> None:
    (root / "train" / "sub").mkdir(parents=True)
    for file in ("7.png", "Twice.png", "TWICE.png"):
        picture(root / "train" / file, 30)
    write(root / "train.csv", "ID,target", "0.png,a", "1.png,b", f"{name},a")
    assert "but one such as" not in read_csv(root).problems[0]


ROWS = ("0.png,a", "1.png,b", "2.png,a", "3.png,b")


@pytest.mark.parametrize("file", ["train.csv", "test.csv", "sample_submission.csv"])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (('0.png,"a', *ROWS[1:]), "got unexpected end of data in the row that begins in line 3. Look there"),
        (('0.png,"a', *ROWS[1:3], '3.png,"b"'), "got ',' expected after '\"' in the row that begins in line 3. Look"),
        (
            ('0.png,"a', *ROWS[1:3], '3.png,b"'),
            "Expected one target in a cell of {path}, got whole rows in that of lin",
        ),
        (
            ("0.png,a, paid", *ROWS[1:]),
            "Expected 2 cells in each row of {path}, got 3 in line 3: 0.png,a,paid. Put quo",
        ),
    ],
)
def test_a_row_that_swallows_or_loses_text_is_refused_with_its_line(
    root: Path, file: str, rows: tuple[str, ...], message: str
) -> None:
    write(root / file, "ID,target", "", *rows)
    with pytest.raises(DataError) as refused:
        read_table(root / file, ("ID", "target"))
    assert message.format(path=root / file) in str(refused.value)


def test_a_target_of_test_pages_that_swallows_rows_is_refused_too(root: Path) -> None:
    write(root / "test.csv", "ID,target", 't0.png,"a', 't1.png,b"')
    with pytest.raises(DataError, match=r"Expected one target in a cell .*line 2"):
        read_csv(root)


def test_a_comma_in_meta_csv_is_refused_too(root: Path) -> None:
    write(root / "meta.csv", "target,class_name", "a,invoice, paid", "b,invoice, open")
    with pytest.raises(DataError, match=r"2 cells in each row of .*meta\.csv, got 3 in line 2: a,invoice,paid"):
        read_csv(root)


def test_quoted_text_with_commas_and_line_breaks_is_one_cell_with_blanks_around_it_too(root: Path) -> None:
    text = '"Dear ""all"",\nx, y"'
    write(root / "train.csv", '"ID" , "target", "text"', *(f'{row[:6]} "{row[6:]}, b" ,{text},,' for row in ROWS))
    rows = read_table(root / "train.csv", ("ID", "target"))
    assert [row["target"] for row in rows] == ["a, b", "b, b"] * 2
    assert rows[0]["text"] == 'Dear "all",\nx, y'


def test_a_class_may_have_a_line_break(root: Path) -> None:
    write(root / "train.csv", "ID,target", '0.png,"a\n(b)"', "1.png,b", '2.png,"a\n(b)"', "3.png,b")
    (root / "meta.csv").unlink()
    write(root / "test.csv", "ID", "t0.png")
    assert read_csv(root).targets == ["a (b)", "b"]


def test_rows_are_counted_as_a_spreadsheet_does(root: Path) -> None:
    write(root / "train.csv", "", "ID,target,text", "", '0.png,a,"x\ny"', "1.png,b", "", "lost.png,a")
    (problem,) = read_csv(root).problems
    assert problem.startswith("train.csv, row 7, lost.png: no such file")


def test_an_absolute_id_is_answered_with_how_to_write_it(root: Path) -> None:
    write(root / "train.csv", "ID,target", *ROWS[1:], f"{root / '0.png'},a")
    problem = read_csv(root).problems[-1]
    assert problem.endswith(f"absolute paths are not followed: write it as a path below {root}")


@pytest.mark.parametrize("name", ["train.csv", "meta.csv"])
def test_a_file_that_is_no_table_is_refused_however_long_its_lines_are(root: Path, name: str) -> None:
    (root / name).write_text('{"a":"' + "x" * 200_000 + '"}', encoding="utf-8")
    with pytest.raises(DataError, match=name):
        read_csv(root)


def test_columns_that_are_nearly_called_so_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = (root / "train.csv").read_text(encoding="utf-8")
    _, rows = text.split("\n", 1)
    (root / "train.csv").write_text(f"id,target\n{rows}", encoding="utf-8")
    with pytest.raises(DataError, match=r"got id,target\. Rename the column id to ID\."):
        read_csv(root)
    lines = [f"{row},a" for row in rows.splitlines() if row]
    (root / "train.csv").write_text("\n".join(["ID,target,Group", *lines]), encoding="utf-8")
    warn_once.cache_clear()
    assert read_csv(root).train.groups is None
    assert "pages of one group may be in several folds. Rename the column Group to group." in caplog.text


def test_rows_of_commas_alone_say_nothing(root: Path) -> None:
    n = len(read_csv(root).train)
    with (root / "train.csv").open("a", encoding="utf-8") as file:
        file.write("\n,\n , \n,,\n")
    assert len(read_csv(root).train) == n
