"""A data set is checked as a whole: every problem named, or left out with all that belongs to it."""

import logging
import random
import shutil
from pathlib import Path

import pytest
from flat_pages import greys, opened, picture, write
from PIL import Image

from docclf.data.readers import read_folder
from docclf.errors import DataError


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 megapixels in a few kilobytes."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    return path


@pytest.fixture
def broken(root: Path, bomb: Path) -> Path:
    """The same pages among every kind of row and file that cannot be used."""
    (root / "empty.png").touch()
    (root / "text.jpg").write_text("Dear Sir or Madam")
    Image.effect_noise((200, 200), 90).save(root / "cut.jpg")
    (root / "cut.jpg").write_bytes((root / "cut.jpg").read_bytes()[:3000])
    shutil.copy(bomb, root / "bomb.png")
    (root / "link.png").symlink_to("nowhere.png")
    picture(root / "both.png", 30)
    picture(root / "odd.png", 40)
    rows = ["0.png,a", "lost.png,a", "1.png,b", "both.png,a", "empty.png,b", "text.jpg,a", "both.png,b", "2.png,a"]
    rows += ["0.png,a", "odd.png,", "odd.png", "odd.png,z", ",a", "cut.jpg,b", "bomb.png,b", "3.png,b", "link.png,a"]
    rows += [f"{'long' * 100}.png,a", "\0.png,a"]
    write(root / "train.csv", "ID,target", *rows)
    write(root / "test.csv", "ID,target", "t0.png,b", "lost.png,a", "t1.png,a", "empty.png,a", "t2.png,b", "t2.png,b")
    return root


PROBLEMS = [
    "train.csv, row 3, lost.png: no such file in ",
    "train.csv, row 5, both.png: the ID stands in several rows, with the targets a, b",
    "train.csv, row 8, both.png: the ID stands in several rows, with the targets a, b",
    "train.csv, row 10, 0.png: the ID stands in several rows",
    "train.csv, row 11, odd.png: no target",
    "train.csv, row 12, odd.png: no target",
    "train.csv, row 13, odd.png: target z is not in meta.csv",
    "train.csv, row 14: no ID",
    "train.csv, row 18, link.png: no such file in ",
    "train.csv, row 19, longlong",
    "train.csv, row 20, \0.png: no such file in ",
    "test.csv, row 3, lost.png: no such file in ",
    "test.csv, row 7, t2.png: the ID stands in several rows",
    "empty.png: ValueError: the file is empty",
    "text.jpg: UnidentifiedImageError: cannot identify image file",
    "cut.jpg: OSError: image file is truncated",
    "bomb.png: DecompressionBombError: Image size (400000000 pixels)",
    "empty.png: ValueError: the file is empty",
]


def test_every_problem_of_every_kind_is_named_at_once(broken: Path) -> None:
    with pytest.raises(DataError) as refused:
        opened(broken)
    first, *problems, last = str(refused.value).split("\n")
    assert first == f"Expected pages in {broken} that can all be used, got {len(PROBLEMS)} that cannot:"
    assert [line.strip()[: len(start)] for line, start in zip(problems, PROBLEMS, strict=True)] == PROBLEMS
    assert last == "Fix them, or leave them out with data.on_error=drop."


def test_dropping_leaves_out_exactly_those_and_keeps_the_rest_aligned(
    broken: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        data = opened(broken, on_error="drop")
    train, test = data.pages.train, data.pages.test
    assert train.labels is not None and test is not None and test.labels is not None
    assert (train.ids, train.labels.tolist()) == (["0.png", "1.png", "2.png", "3.png"], [0, 1, 0, 1])
    assert [path.name for path in train.paths] == train.ids
    assert (test.ids, test.labels.tolist()) == (["t0.png", "t1.png", "t2.png"], [1, 0, 1])
    assert greys(data.train_images) == [10, 60, 110, 160] and greys(data.test_images) == [200, 220, 240]
    assert data.pages.problems == [] and len(data.dropped) == len(PROBLEMS) and len(data.digests) == 7
    assert f"Left out {len(PROBLEMS)} pages" in caplog.text and "bomb.png" in caplog.text
    opened(broken, on_error="drop")
    assert caplog.text.count("Left out") == 1, "not before every trial"


def test_what_is_left_is_the_data_set_without_them(broken: Path, root: Path, tmp_path: Path) -> None:
    dropped = opened(broken, on_error="drop")
    clean = tmp_path / "clean"
    shutil.copytree(root, clean, symlinks=True)
    write(clean / "train.csv", "ID,target", "0.png,a", "1.png,b", "2.png,a", "3.png,b")
    write(clean / "test.csv", "ID,target", "t0.png,b", "t1.png,a", "t2.png,b")
    assert opened(clean).fingerprint == dropped.fingerprint and opened(clean).digests == dropped.digests


def test_of_many_problems_the_log_shows_20_and_the_refusal_all(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root / "train.csv", "ID,target", "0.png,a", "1.png,b", *(f"lost {i},a" for i in range(30)))
    with pytest.raises(DataError) as refused:
        opened(root)
    assert str(refused.value).count("no such file") == 30
    with caplog.at_level(logging.WARNING):
        opened(root, on_error="drop")
    assert caplog.text.count("no such file") == 20 and "and 10 more" in caplog.text


def test_a_data_set_without_one_usable_page_is_refused(root: Path) -> None:
    write(root / "train.csv", "ID,target", "lost.png,a", "gone.png,b")
    with pytest.raises(DataError, match=r"Expected training pages in .*, got none that can be used"):
        opened(root, on_error="drop")


def test_a_folder_names_broken_links_damaged_files_and_names_that_no_csv_can_hold(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a/계약서.png", "a/📄 1.png", "b/1.png", "b/2.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(root / name, 100)
    (root / "a" / "broken.png").symlink_to("nowhere.png")
    (root / "b" / "text.pdf").write_text("no PDF")
    strange = b"\xb0\xe8\xbe\xe0.png".decode(errors="surrogateescape")  # 계약 in EUC-KR
    picture(root / "b" / strange, 100)
    with pytest.raises(DataError) as refused:
        opened(root, read_folder)
    message = str(refused.value)
    message.encode()  # so that it can be written into a log
    assert "got 3 that cannot" in message
    assert "a/broken.png: FileNotFoundError" in message and "b/text.pdf: UnidentifiedImageError" in message
    assert r"b/\udcb0\udce8\udcbe\udce0.png: the name is not UTF-8" in message
    assert opened(root, read_folder, on_error="drop").pages.train.ids == [
        "a/계약서.png",
        "a/📄 1.png",
        "b/1.png",
        "b/2.png",
    ]


# The fingerprint


def test_the_fingerprint_is_of_contents_and_labels_alone(root: Path, tmp_path: Path) -> None:
    fingerprint = opened(root).fingerprint
    moved = tmp_path / "moved"
    moved.mkdir()
    for i in range(4):
        shutil.copy(root / f"{i}.png", moved / f"쪽 {i}.png")
    write(moved / "train.csv", "target,ID", "a,쪽 0.png", "b,쪽 1.png", "a,쪽 2.png", "b,쪽 3.png")
    assert opened(moved).fingerprint == fingerprint
    for options in ({"channels": 1}, {"multi_page": "all"}, {"near_duplicates": 5}, {"on_error": "drop"}):
        assert opened(moved, **options).fingerprint == fingerprint
    names = list(random.Random(0).sample(["channels", "on_error", "multi_page"], 3))
    options = {"channels": 1, "on_error": "drop", "multi_page": "first"}
    assert opened(moved, **{name: options[name] for name in names}).fingerprint == fingerprint


@pytest.mark.parametrize("what", ["label", "pixel", "page less"])
def test_the_fingerprint_changes_with_contents_and_labels(root: Path, what: str) -> None:
    fingerprint = opened(root).fingerprint
    rows = ["0.png,a", "1.png,b", "2.png,a", "3.png,b"]
    if what == "label":
        rows[2] = "2.png,b"
    elif what == "page less":
        rows.pop()
    else:
        picture(root / "2.png", 111)
    write(root / "train.csv", "ID,target", *rows)
    assert opened(root).fingerprint != fingerprint
