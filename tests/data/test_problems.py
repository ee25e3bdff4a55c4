"""All pages that cannot be used go into a file, which leaves them out where it is named."""

import csv
from pathlib import Path

import pytest
from flat_pages import opened, picture, write
from forked import python

from docclf.data.looks.overview import describe
from docclf.data.readers import read_folder
from docclf.data.reading.problems import Problem, read_exclusions, write_problems
from docclf.errors import DataError


@pytest.fixture
def broken(root: Path) -> Path:
    """30 rows without a file, a damaged file, and rows that contradict each other."""
    (root / "empty.png").touch()
    picture(root / "both.png", 30)
    rows = ["0.png,a", "1.png,b", "2.png,a", "3.png,b", "empty.png,a", "both.png,a", "both.png,b", "0.png,a", ",b"]
    write(root / "train.csv", "ID,target", *rows, *(f"lost {i}.png,a" for i in range(30)))
    return root


def look(cwd: Path, *overrides: str) -> tuple[int, str]:
    """Exit status of the command and all that it prints."""
    return python("docclf.data", "data=csv", *overrides, cwd=cwd, warn=False)


def listed(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_file_that_the_command_writes_has_all_and_leaves_exactly_these_out(broken: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    status, output = look(run, f"data.root={broken}")
    (path,) = run.rglob("problems.csv")
    assert status == 1 and "List of 35 pages that cannot" in output and str(path.relative_to(run)) in output
    problems = listed(path)
    assert len(problems) == 35 and list(problems[0]) == ["page", "problem", "found_by"]
    assert {row["found_by"] for row in problems if row["page"] == "empty.png"} == {"decoding"}
    assert {row["found_by"] for row in problems if row["page"] == "0.png"} == {"train.csv, row 9"}
    data = opened(broken, exclude=path)
    assert data.pages.train.ids == ["0.png", "1.png", "2.png", "3.png"] and data.dropped == []
    assert data.fingerprint == opened(broken, on_error="drop").fingerprint
    status, output = look(
        run, f"data.root={broken}", f"data.exclude={path}", "validation.folds=2", "data.near_duplicates=null"
    )
    assert status == 0 and "cannot be used" not in output


@pytest.mark.parametrize("column", ["page", "ID"])
def test_a_list_of_ids_or_of_paths_leaves_out_these_pages(root: Path, tmp_path: Path, column: str) -> None:
    (root / "train").mkdir()
    (root / "2.png").rename(root / "train" / "2.png")
    write(tmp_path / "out.csv", column, "1.png", "train/2.png", "t0.png")
    data = opened(root, exclude=tmp_path / "out.csv")
    assert data.pages.train.ids == ["0.png", "3.png"]
    assert data.pages.test is not None and data.pages.test.ids == ["t1.png", "t2.png"]


def test_pages_of_a_file_are_left_out_one_by_one_or_all(tmp_path: Path) -> None:
    from PIL import Image

    root = tmp_path / "root"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        pages = [Image.new("L", (20, 30), grey) for grey in (0, 100, 200)]
        pages[0].save(root / name / "x.tif", save_all=True, append_images=pages[1:])
    write(tmp_path / "out.csv", "page", "a/x.tif#2")
    ids = opened(root, read_folder, exclude=tmp_path / "out.csv", multi_page="all").pages.train.ids
    assert ids == ["a/x.tif#1", "a/x.tif#3", "b/x.tif#1", "b/x.tif#2", "b/x.tif#3"]
    picture(root / "b" / "y.png", 9)
    write(tmp_path / "out.csv", "page", "b/x.tif")
    ids = opened(root, read_folder, exclude=tmp_path / "out.csv", multi_page="all").pages.train.ids
    assert ids == ["a/x.tif#1", "a/x.tif#2", "a/x.tif#3", "b/y.png"]


def test_pages_that_there_are_not_are_spoken_of(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "out.csv", "page", "1.png", "gone.png")
    assert len(opened(root, exclude=tmp_path / "out.csv").pages.train) == 3
    assert "names pages that are not in the data set: gone.png." in caplog.text


def test_a_correction_of_a_page_that_is_left_out_is_nothing_to_speak_of(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "out.csv", "page", "1.png")
    write(tmp_path / "c.csv", "ID,old,new", "1.png,b,a", "2.png,a,b")
    data = opened(root, exclude=tmp_path / "out.csv", corrections=tmp_path / "c.csv")
    assert data.pages.train.labels is not None and data.pages.train.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (None, r"Expected a CSV file at `data\.exclude`, got .*data\.exclude=null"),
        (("file", "a"), "Expected the columns page or ID in"),
        (("page,page", "a,b"), "every column once"),
    ],
)
def test_what_is_no_such_file_is_refused(
    root: Path, tmp_path: Path, lines: tuple[str, ...] | None, message: str
) -> None:
    if lines is not None:
        write(tmp_path / "out.csv", *lines)
    with pytest.raises(DataError, match=message):
        opened(root, exclude=tmp_path / "out.csv")


def test_cells_that_a_spreadsheet_would_compute_come_back(tmp_path: Path, root: Path) -> None:
    (root / "0.png").rename(root / "=1+1.png")
    write(root / "train.csv", "ID,target", "=1+1.png,a", "1.png,b", "2.png,a", "3.png,b")
    write_problems(tmp_path / "p.csv", [Problem("=1+1.png", "=2", "decoding")])
    assert (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()[1] == "'=1+1.png,'=2,decoding"
    assert opened(root, exclude=tmp_path / "p.csv").pages.train.ids == ["1.png", "2.png", "3.png"]


def test_one_of_a_kind_is_told_in_the_singular(root: Path) -> None:
    write(root / "train.csv", "ID,target", "0.png,a", "1.png,b", "lost.png,a")
    write(root / "test.csv", "ID", "t0.png")
    text = describe(opened(root, on_error="drop", near_duplicates=256))
    for line in ("1 test page, ", "1 page that cannot be used:", "1 pair of near-duplicate training pages, kept in"):
        assert f"\n{line}" in text
    assert "2 near-duplicates between" in text


@pytest.mark.parametrize("lines", [("ID;why", "1.png;blank"), ("why\tpage", "blank\t1.png")])
def test_pages_to_leave_out_may_be_written_as_other_csv_files(tmp_path: Path, lines: tuple[str, ...]) -> None:
    write(tmp_path / "exclude.csv", *lines)
    assert read_exclusions(tmp_path / "exclude.csv").pages == {"1.png"}


def test_of_two_columns_that_name_pages_the_one_that_is_filled_counts(tmp_path: Path) -> None:
    write(tmp_path / "exclude.csv", "page,ID", ",1.png", "2.png,")
    assert read_exclusions(tmp_path / "exclude.csv").pages == {"1.png", "2.png"}
