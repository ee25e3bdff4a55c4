"""Which pages are predicted, in which order, called what, and what is known of their classes."""

import logging
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from flat_pages import picture, write
from PIL import Image

from docclf.data.reading.listing import ListedPage, Listing, list_pages
from docclf.errors import ConfigError, DataError

TARGETS, CLASS_NAMES = ["0", "7"], ["영수증", "letter"]


def labels(listing: Listing) -> list[int]:
    return listing.labels(TARGETS, CLASS_NAMES).tolist()


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(root / name, 100)
    return root


def ids(listing: Listing) -> list[str]:
    return [page.id for page in listing.pages]


# Folders


def test_all_page_files_below_a_folder_are_taken_in_the_order_of_their_parts(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "b.png", "a/z.png", "a/deep/er/y.JPG", "a-b/x.png", "a b/쪽.png")
    (root / "a" / "notes.txt").touch()
    for hidden in (".git", "__MACOSX"):
        make(root, f"{hidden}/no.png")
    make(root, "a/.hidden.png")
    listing = list_pages(root)
    assert ids(listing) == ["a/deep/er/y.JPG", "a/z.png", "a b/쪽.png", "a-b/x.png", "b.png"]
    assert [page.path for page in listing.pages] == [root / name for name in ids(listing)]
    assert not listing.columns and {page.problem for page in listing.pages} == {""}


def test_the_first_folder_says_the_class_or_the_one_below_test(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    decomposed = unicodedata.normalize("NFD", "영수증")
    assert decomposed != "영수증"
    root = make(tmp_path, "7/a.png", f"{decomposed}/x/b.png", "letter/c.png", "misc/letter/d.png", "e.png",
                "test/0/f.png", "test/letter/g.png", "test/h.png", "train/0/i.png")  # fmt: skip
    listing = list_pages(root)
    found = {Path(name).stem: label for name, label in zip(ids(listing), labels(listing), strict=True)}
    assert found == {"a": 1, "b": 0, "c": 1, "d": -1, "e": -1, "f": 0, "g": 1, "h": -1, "i": -1}
    assert "called like no class, their pages are not scored: misc, train" in caplog.text


def test_folders_of_other_names_alone_are_nothing_to_speak_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert labels(list_pages(make(tmp_path, "2024/a.png", "2025/b.png"))) == [-1, -1]
    assert caplog.text == ""


def test_a_target_comes_before_a_class_of_the_same_name(tmp_path: Path) -> None:
    listing = list_pages(make(tmp_path, "1/a.png", "2/b.png", "3/c.png"))
    assert listing.labels(["1", "2"], ["2", "3"]).tolist() == [0, 1, 1]


def test_links_are_followed_and_never_in_circles(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "a/x.png")
    make(tmp_path / "elsewhere", "y.png")
    (root / "b").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "a" / "back").symlink_to(root, target_is_directory=True)
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert ids(list_pages(root)) == ["a/x.png", "b/y.png", "gone.png"]


def test_a_name_that_no_csv_file_could_hold_is_a_problem(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/\xff.png")  # noqa: PTH104
    (page,) = list_pages(tmp_path).pages
    assert (page.id, page.problem) == ("\\udcff.png", "the name is not UTF-8, rename it")


def test_a_single_page_file_is_taken(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png")
    listing = list_pages(tmp_path / "a.png")
    assert listing.pages == [ListedPage("a.png", tmp_path / "a.png")] and labels(listing) == [-1]


# CSV files


def test_a_csv_file_names_pages_beside_it_in_test_and_in_a_folder_of_its_name(tmp_path: Path) -> None:
    root = make(tmp_path, "a.png", "test/b.png", "train/c.png", "other/d.png")
    write(root / "train.csv", "ID,target", "c.png,0", "a.png,letter", "b.png,", "d.png,7", ",0")
    listing = list_pages(root / "train.csv")
    assert ids(listing) == ["c.png", "a.png", "b.png", "d.png", ""]
    assert [page.path for page in listing.pages] == [root / "train" / "c.png", root / "a.png", root / "test" / "b.png",
                                                     None, None]  # fmt: skip
    missing = f"no such file in {root / 'train'}, {root / 'test'} or {root}"
    assert [page.problem for page in listing.pages] == ["", "", "", missing, "no ID"]
    assert labels(listing) == [0, 1, -1, 1, 0]


@pytest.mark.parametrize("file", ["sample_submission.csv", "submit.csv"])
def test_a_page_in_test_comes_before_a_training_page_of_its_name_beside_the_list(tmp_path: Path, file: str) -> None:
    root = make(tmp_path, "0.png", "test/0.png", "1.png")
    write(root / file, "ID,target", "0.png,0", "1.png,0")
    assert [page.path for page in list_pages(root / file).pages] == [root / "test" / "0.png", root / "1.png"]


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_a_name_is_found_however_its_letters_are_composed(tmp_path: Path, stored: str, written: str) -> None:
    name = {form: unicodedata.normalize(form, "계약서.png") for form in ("NFC", "NFD")}
    make(tmp_path, f"test/{name[stored]}")
    write(tmp_path / "test.csv", "ID", name[written])
    (page,) = list_pages(tmp_path).pages
    assert (page.id, page.path) == (name[written], tmp_path / "test" / name[stored])


def test_test_csv_of_a_folder_comes_before_its_files_and_a_sample_submission_before_both(tmp_path: Path) -> None:
    make(tmp_path, "test/a.png", "test/b.png", "test/c.png")
    assert ids(list_pages(tmp_path)) == ["test/a.png", "test/b.png", "test/c.png"]
    write(tmp_path / "test.csv", "ID,target", "b.png,7", "a.png,0")
    assert ids(list_pages(tmp_path)) == ["b.png", "a.png"] and labels(list_pages(tmp_path)) == [1, 0]
    write(tmp_path / "sample_submission.csv", "x,target,ID", "1,0,c.png", "2,0,a.png", "3,0,c.png")
    listing = list_pages(tmp_path)
    assert ids(listing) == ["c.png", "a.png", "c.png"] and listing.columns == ("x", "target", "ID")
    assert labels(listing) == [-1] * 3, "its targets are place-holders"
    assert list_pages(tmp_path / "sample_submission.csv") == listing
    write(tmp_path / "mine.csv", "ID,target", "a.png,nothing")
    assert ids(list_pages(tmp_path, sample_submission=tmp_path / "mine.csv")) == ["a.png"]


def test_rows_with_empty_cells_beyond_the_header_or_too_few_are_read(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.png")
    write(tmp_path / "sample_submission.csv", "ID,target", "a.png,0,,", "b.png")
    listing = list_pages(tmp_path)
    assert ids(listing) == ["a.png", "b.png"] and listing.columns == ("ID", "target")


# Files of several pages


def test_every_page_of_a_file_is_an_entry_where_all_are_asked_for(tmp_path: Path) -> None:
    pages = [Image.new("L", (20, 30), grey) for grey in (0, 100, 200)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "b.pdf", save_all=True, append_images=pages[1:2])
    pages[0].save(tmp_path / "c.tif")
    (tmp_path / "d.tif").write_bytes(b"no picture")
    make(tmp_path, "e.png")
    listing = list_pages(tmp_path, multi_page="all")
    assert ids(listing) == ["a.tif#1", "a.tif#2", "a.tif#3", "b.pdf#1", "b.pdf#2", "c.tif", "d.tif", "e.png"]
    assert [page.number for page in listing.pages] == [0, 1, 2, 0, 1, 0, 0, 0]
    problems = [page.problem for page in listing.pages]
    assert problems[6].startswith("UnidentifiedImageError") and not any(problems[:6] + problems[7:])
    assert ids(list_pages(tmp_path)) == ["a.tif", "b.pdf", "c.tif", "d.tif", "e.png"]


def test_a_row_of_a_sample_submission_is_one_page(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    write(tmp_path / "sample_submission.csv", "ID,target", "a.png,0")
    assert ids(list_pages(tmp_path, multi_page="all")) == ["a.png"]
    pages = [Image.new("L", (20, 30), grey) for grey in (0, 100)]
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=pages[1:])
    write(tmp_path / "sample_submission.csv", "ID,target", "a.png,0", "b.tif,0")
    with pytest.raises(ConfigError, match="one page a file with the sample submission"):
        list_pages(tmp_path, multi_page="all")


# Mistakes


def _other_classes(root: Path) -> None:
    write(make(root, "a.png") / "test.csv", "ID,target", *(f"a.png,{name}" for name in "uvwxyz"))
    labels(list_pages(root))


def _no_rows(root: Path) -> None:
    write(root / "test.csv", "ID,target")
    list_pages(root)


def _no_column(root: Path) -> None:
    write(root / "test.csv", "file", "a.png")
    list_pages(root)


def _no_files(root: Path) -> None:
    write(root / "test.csv", "ID", "a.png", "b.png")
    list_pages(root)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda root: list_pages(root / "none"), "Expected a folder or a CSV file at `data.root`"),
        (
            lambda root: list_pages(root),
            "Expected pages of .avif, .bmp, .dib, .gif, .heic",
        ),
        (_other_classes, "out of the model's 0, 7, got u, v, w, x, y and 1 more. Without the column target"),
        (_no_rows, "Expected pages in"),
        (_no_column, "Expected the columns ID in"),
        (_no_files, "got none of all 2; the first is a.png: no such file in"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, mistake: Callable[[Path], None], message: str) -> None:
    with pytest.raises(DataError) as caught:
        mistake(tmp_path)
    assert message in str(caught.value)
