"""Files with several pages: the first, or all of them as one group."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from flat_pages import greys, opened, write
from PIL import Image

from docclf.data.cache.decoded import load_pages
from docclf.data.reading.problems import write_problems
from docclf.errors import DataError


def several(path: Path, values: Sequence[int]) -> None:
    first, *others = [Image.new("L", (20, 30), grey) for grey in values]
    first.save(path, save_all=True, append_images=others)


@pytest.fixture
def documents(root: Path) -> Path:
    several(root / "0.tif", (10, 20, 30))
    several(root / "1.pdf", (60, 70))
    several(root / "t1.pdf", (220, 230))
    write(root / "train.csv", "ID,target", "0.tif,a", "3.png,b", "1.pdf,b", "2.png,a")
    write(root / "test.csv", "ID,target", "t0.png,b", "t1.pdf,a")
    return root


def test_the_first_page_of_a_file_stands_for_it_unless_all_are_asked_for(documents: Path) -> None:
    data = opened(documents)
    assert data.pages.train.ids == ["0.tif", "3.png", "1.pdf", "2.png"] and data.pages.train.groups is None
    assert greys(data.train_images) == [10, 160, 60, 110]


def test_all_pages_of_a_file_are_pages_of_one_group(documents: Path) -> None:
    data = opened(documents, multi_page="all")
    train, test = data.pages.train, data.pages.test
    assert train.labels is not None and test is not None and test.labels is not None
    assert train.ids == ["0.tif#1", "0.tif#2", "0.tif#3", "3.png", "1.pdf#1", "1.pdf#2", "2.png"]
    assert train.groups == ["0.tif"] * 3 + ["3.png"] + ["1.pdf"] * 2 + ["2.png"]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert np.abs(np.subtract(greys(data.train_images), [10, 20, 30, 160, 60, 70, 110])).max() <= 1
    assert (test.ids, test.labels.tolist()) == (["t0.png", "t1.pdf#1", "t1.pdf#2"], [1, 0, 0])
    assert len(set(data.digests)) == 10


def test_groups_that_the_user_gave_are_kept(documents: Path) -> None:
    write(documents / "train.csv", "ID,target,group", "0.tif,a,case 1", "3.png,b,case 1", "1.pdf,b,", "2.png,a,")
    groups = opened(documents, multi_page="all").pages.train.groups
    assert groups is not None
    assert groups[:4] == ["case 1"] * 4 and groups[4] == groups[5] and len(set(groups)) == 3


def test_a_file_whose_pages_cannot_be_counted_is_a_problem(documents: Path) -> None:
    (documents / "0.tif").write_bytes((documents / "0.tif").read_bytes()[:6])
    (documents / "1.pdf").write_bytes(b"")
    with pytest.raises(DataError, match=r"got 2 that cannot:\n  0\.tif: .*\n  1\.pdf: ValueError: the file is empty"):
        opened(documents, multi_page="all")
    data = opened(documents, multi_page="all", on_error="drop")
    assert data.pages.train.ids == ["3.png", "2.png"] and greys(data.train_images) == [160, 110]


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_page_within_a_file_is_left_out_alone(documents: Path, tmp_path: Path, number: int) -> None:
    path = documents / "0.tif"
    noise = [Image.effect_noise((40, 40), 90) for _ in range(3)]
    noise[0].save(path, save_all=True, append_images=noise[1:], compression="tiff_adobe_deflate")
    with Image.open(path) as image:
        image.seek(number)
        at, length = image.tag_v2[273][0], image.tag_v2[279][0]  # where the page's pixels are
    content = path.read_bytes()
    path.write_bytes(content[:at] + b"\xff" * length + content[at + length :])
    data = opened(documents, multi_page="all", on_error="drop")
    kept = [name for i, name in enumerate(("0.tif#1", "0.tif#2", "0.tif#3")) if i != number]
    assert data.pages.train.ids[:3] == [*kept, "3.png"]
    assert [problem.split(":")[0] for problem in data.dropped] == [f"0.tif#{number + 1}"]
    write_problems(tmp_path / "problems.csv", data.dropped)
    again = opened(documents, multi_page="all", exclude=tmp_path / "problems.csv")
    assert again.pages.train.ids[:3] == [*kept, "3.png"]


@pytest.mark.parametrize("named", ["test/3.tif", "the list of problems"])
def test_a_test_file_that_cannot_be_read_leaves_out_no_training_page_of_its_name(
    documents: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, named: str
) -> None:
    for split in ("train", "test"):
        (documents / split).mkdir()
        several(documents / split / "3.tif", (160, 170))
    (documents / "test" / "3.tif").write_bytes(b"")
    write(documents / "train.csv", "ID,target", "0.tif,a", "3.tif,b", "1.pdf,b", "2.png,a")
    write(documents / "test.csv", "ID,target", "t0.png,b", "3.tif,a")
    dropped = opened(documents, multi_page="all", on_error="drop").dropped
    assert [problem.split(":")[0] for problem in dropped] == ["test/3.tif"]
    write_problems(tmp_path / "out.csv", dropped)
    if named == "test/3.tif":
        write(tmp_path / "out.csv", "page", named)
    caplog.clear()
    data = opened(documents, multi_page="all", exclude=tmp_path / "out.csv")
    assert [name for name in data.pages.train.ids if name.startswith("3")] == ["3.tif#1", "3.tif#2"]
    assert data.dropped == [] and "not in the data set" not in caplog.text


def test_files_of_which_only_the_first_page_is_taken_are_counted_once(
    documents: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "docclf.data.reading.folders")
    opened(documents, multi_page="all")
    assert "only the first page" not in caplog.text
    for cache in ("one", "one", "two"):
        opened(documents, cache_dir=tmp_path / cache)
    (record,) = [record for record in caplog.records if "only the first page" in record.message]
    assert record.message.startswith("Of 3 files in ") and record.message.endswith("data.multi_page=all takes all.")
    assert record.levelno == logging.INFO


def test_the_cache_knows_how_many_files_have_more_pages(documents: Path, tmp_path: Path) -> None:
    paths = [documents / name for name in ("0.tif", "1.pdf", "2.png")]
    assert [load_pages(paths, 16, tmp_path).n_multi_page for _ in range(2)] == [2, 2]
    assert load_pages(paths, 16, tmp_path, numbers=[1, 1, 0]).n_multi_page == 0
