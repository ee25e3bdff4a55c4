"""Which files of class folders are pages, and what is said of the others."""

import logging
from pathlib import Path

import pytest
from flat_pages import opened, picture
from PIL import Image

from docclf.data.readers import read_folder
from docclf.data.reading.listing import list_pages
from docclf.errors import DataError


def make(root: Path, *names: str) -> Path:
    """Pages, files of other formats, and folders where a name ends with /."""
    for grey, name in enumerate(names):
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg"):
            picture(path, 4 * grey)
        elif not name.endswith("/"):
            path.write_bytes(b"something")
    return root


# Test pages


def test_test_pages_without_class_folders_have_no_labels(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "train/a/1.png", "train/b/1.png", "test/2.png", "test/1.jpg", "test/.x.png")
    pages = read_folder(root)
    assert pages.test is not None and pages.test.labels is None
    assert pages.test.ids == ["test/1.jpg", "test/2.png"]
    data = opened(root, read_folder)
    assert data.pages.test is not None and data.pages.test.labels is None and data.test_images is not None
    assert [page.label for page in list_pages(root / "test").pages] == ["", ""]
    (root / "test" / "a").mkdir()
    assert read_folder(root).test == pages.test, "an empty class folder holds no labels"


@pytest.mark.parametrize("names", [("test/",), ("test/a/",), ("test/a/", "test/c/", "test/notes.txt"), ("test/a/x/",)])
def test_a_test_folder_without_pages_gives_no_test_set(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert read_folder(make(tmp_path, "train/a/1.png", "train/b/1.png", *names)).test is None


def test_a_class_without_test_pages_is_no_mistake(tmp_path: Path) -> None:
    test = read_folder(make(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/", "test/b/x/2.png")).test
    assert test is not None and test.labels is not None
    assert (test.ids, test.labels.tolist()) == (["test/b/x/2.png"], [1])


def test_pages_below_test_in_no_class_are_refused_with_the_place_for_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got others too: images\. Pages without labels lie in .*test itself"):
        read_folder(make(tmp_path, "train/a/1.png", "train/b/1.png", "test/images/1.png"))


def test_test_pages_that_can_all_not_be_used_give_no_test_set(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/x.png")
    (root / "test" / "a" / "x.png").write_bytes(b"no picture")
    data = opened(root, read_folder, on_error="drop")
    assert data.pages.test is None and data.test_images is None and len(data.dropped) == 1


# Deeper folders


def test_pages_of_deeper_folders_are_pages_of_the_class(tmp_path: Path) -> None:
    make(tmp_path, "a/2.png", "a/10.png", "a/b/1.png", "a/b/c/1.jpg", "b/1.png", "b/.git/1.png", "b/__MACOSX/1.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path / "a", target_is_directory=True)
    train = read_folder(tmp_path).train
    assert train.ids == ["a/10.png", "a/2.png", "a/b/1.png", "a/b/c/1.jpg", "b/1.png"]
    assert train.labels is not None and train.labels.tolist() == [0, 0, 0, 0, 1]
    assert [page.id for page in list_pages(tmp_path).pages] == train.ids, "what is predicted is what was trained on"


def test_a_link_in_a_class_to_a_folder_above_it_brings_no_pages_of_other_classes(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path, target_is_directory=True)
    assert read_folder(tmp_path).train.ids == ["a/1.png", "b/2.png"]


def test_below_train_a_folder_of_folders_is_a_class(tmp_path: Path) -> None:
    pages = read_folder(make(tmp_path, "train/a/2019/1.png", "train/a/2020/1.png", "train/b/2019/1.png", "train/c/d/"))
    assert pages.class_names == ["a", "b"]
    assert pages.train.ids == ["train/a/2019/1.png", "train/a/2020/1.png", "train/b/2019/1.png"]


def test_a_test_folder_beside_class_folders_is_no_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = read_folder(make(tmp_path, "a/1.png", "b/1.png", "test/1.png", "test/2.png"))
    assert pages.class_names == ["a", "b"] and pages.train.ids == ["a/1.png", "b/1.png"]
    assert pages.test is not None and pages.test.ids == ["test/1.png", "test/2.png"] and pages.test.labels is None
    assert caplog.messages == [
        f"{tmp_path / 'test'} is taken for test pages. If it is a class, put all class folders into "
        f"{tmp_path / 'train'}."
    ]
    (tmp_path / "test" / "b").mkdir()
    (tmp_path / "test" / "1.png").rename(tmp_path / "test" / "b" / "1.png")
    (tmp_path / "test" / "2.png").unlink()
    test = read_folder(tmp_path).test
    assert test is not None and test.labels is not None and test.labels.tolist() == [1]


# What is left out

UNREAD = ("a/1.djvu", "a/sub/2.DJVU", "b/scan", "b/3.psd")
NOTES = ("a/.DS_Store", "a/Thumbs.db", "b/desktop.ini", "b/labels.csv", "b/n.txt", "b/n.md", "b/n.yml", "b/n.yaml",
         "b/n.json", "b/n.XML", "b/.hidden", "b/.git/object")  # fmt: skip


@pytest.mark.parametrize("reader", [read_folder, list_pages])
def test_files_of_formats_that_are_not_read_are_counted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reader: object
) -> None:
    root = make(tmp_path, "a/1.png", "b/1.png", *UNREAD, *NOTES)
    assert callable(reader)
    reader(root)
    reader(root)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith(
        f"Left out 4 files of {root} in formats that are not read (.djvu, .psd, no suffix), "
        f"the first is {root / 'a' / '1.djvu'}. Convert them"
    )


def test_notes_beside_pages_are_nothing_to_speak_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make(tmp_path, "train/a/1.png", "train/b/1.png", *(f"train/{name}" for name in NOTES), "test/a/1.png")
    read_folder(root)
    list_pages(root)
    assert caplog.text == ""


def test_pages_beside_class_folders_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make(tmp_path, "train/a/1.png", "train/b/1.png", "train/2.png", "train/3.png", "test/a/1.png", "test/4.png")
    assert len(read_folder(root).train) == 2
    assert f"Left out 2 files in {root / 'train'} itself, the first is 2.png" in caplog.text
    assert f"Left out 1 file in {root / 'test'} itself, the first is 4.png" in caplog.text


def test_pages_beside_train_are_spoken_of_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, "train/a/1.png", "train/b/1.png", "test/1.png", "c/x/2.png", "Test/3.png", "Validation/4.png")
    make(tmp_path, "x.png", "train.csv", "runs/log.txt", ".x/1.png", "@eaDir/1.png")
    (tmp_path / "away").symlink_to(tmp_path / "unmounted")
    pages = read_folder(tmp_path)
    assert len(pages.train) == 2 and pages.test is not None and pages.test.ids == ["test/1.png"]
    assert caplog.messages == [
        f"Not read beside {tmp_path / 'train'}: Test, Validation, away, c, x.png. docclf reads train and test alone, "
        "and makes its own folds of the pages in train; move the pages there."
    ]


def test_pages_beside_an_empty_train_are_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match="or move those beside it there"):
        read_folder(make(tmp_path, "train/", "a/1.png", "b/1.png"))
    assert f"Not read beside {tmp_path / 'train'}: a, b." in caplog.text


def test_train_and_test_may_have_capitals(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = read_folder(make(tmp_path, "Train/a/1.png", "Train/b/1.png", "TEST/b/1.png"))
    assert pages.train.ids == ["Train/a/1.png", "Train/b/1.png"]
    assert pages.test is not None and pages.test.labels is not None and pages.test.labels.tolist() == [1]
    assert list_pages(tmp_path).pages[0].label == "b"
    assert not caplog.messages


@pytest.mark.parametrize("name", ["c", "train/c", "test/c", "train"])
def test_a_class_folder_that_is_a_broken_link_is_refused(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, *(["a/1.png", "b/1.png"] if "/" not in name else ["train/a/1.png", "train/b/1.png", "test/"]))
    (root / name).symlink_to("/unmounted/c")
    with pytest.raises(DataError) as refused:
        read_folder(root)
    assert str(refused.value) == (
        f"Expected class folders in {(root / name).parent} that are there, got {root / name}, a link to /unmounted/c, "
        f"which is not. Mount that, or remove the link: rm {root / name}"
    )


@pytest.mark.parametrize("name", ["note.txt", "page.png"])
def test_a_broken_link_to_a_file_is_no_class(tmp_path: Path, name: str) -> None:
    (make(tmp_path, "a/1.png", "b/1.png") / name).symlink_to("/unmounted/c")
    assert read_folder(tmp_path).class_names == ["a", "b"]


def test_a_class_may_be_called_like_a_validation_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_folder(make(tmp_path, "val/1.png", "b/1.png")).class_names == ["b", "val"]
    assert caplog.text == ""


# Folders that a system makes

SYSTEM = (
    *("@eaDir", "@Recycle", "@tmp", "@Recently-Snapshot", "#recycle", "#snapshot", "~snapshot"),
    *("$RECYCLE.BIN", "RECYCLER", "RECYCLED", "Recycle.Bin", "$Extend", "FOUND.000", "system volume information"),
    *("lost+found", "LOST.DIR", "System Volume Information", "Network Trash Folder", "Temporary Items"),
    *(".Trash-1000", "__MACOSX"),
)


@pytest.mark.parametrize("name", SYSTEM)
def test_folders_that_a_system_makes_are_no_classes_and_stop_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    root = make(tmp_path, "train/a/1.png", "train/b/1.png", f"train/{name}/", f"test/{name}/x.png", "test/2.png")
    make(root, f"train/{name}/thumb.png", f"train/a/{name}/1.png/thumb.jpg", f"train/b/deep/{name}/x.bin")
    pages = read_folder(root)
    assert (pages.class_names, len(pages.train)) == (["a", "b"], 2)
    assert pages.test is not None and pages.test.ids == ["test/2.png"]
    assert [page.id for page in list_pages(root).pages] == ["test/2.png", "train/a/1.png", "train/b/1.png"]
    is_hidden = name.startswith((".", "__"))
    assert (f"systems call folders of their own so: {name} (3 times). Rename" in caplog.text) is not is_hidden
    assert "formats that are not read" not in caplog.text


@pytest.mark.parametrize("name", SYSTEM)
def test_an_empty_folder_of_a_system_stops_nothing(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, "a/1.png", "b/1.png", f"{name}/")
    (root / name).chmod(0)
    try:
        assert read_folder(root).class_names == ["a", "b"]
    finally:
        (root / name).chmod(0o700)


@pytest.mark.parametrize(
    "name", ["recycled paper", "lost", "found", "temporary", "a@b", "100$", "No. #1", "#1", "$100"]
)
def test_a_class_may_be_called_nearly_so(tmp_path: Path, name: str) -> None:
    assert read_folder(make(tmp_path, "a/1.png", f"{name}/1.png")).class_names == sorted(["a", name])


def test_a_class_may_begin_with_two_underscores(tmp_path: Path) -> None:
    for name in ("__other", "a", "__MACOSX", "__pycache__"):
        for number in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("L", (20, 20), 99 * number).save(tmp_path / name / f"{number}.png")
    assert read_folder(tmp_path).class_names == ["__other", "a"]
