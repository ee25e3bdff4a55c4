"""A process that opens a data set again."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from docclf.data.cache.decoded import make_options
from docclf.data.dataset import DataSet, open_data_set
from docclf.data.readers import read_csv, read_folder
from docclf.errors import DataError


def age(*folders: Path) -> None:
    """Make everything an hour old, as it is in a search."""
    then = time.time() - 3600
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            os.utime(path, (then, then))


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., DataSet]:
    """Opens two classes of two pages each, below `tmp_path / "pages"`."""
    root, cache = tmp_path / "pages", tmp_path / "cache"
    for i, name in enumerate(("a/1", "a/2", "b/1", "b/2")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), 60 * i).save(root / f"{name}.png")
    reader = partial(read_folder)

    def open_pages(reader: Callable[..., object] = reader, **options: object) -> DataSet:
        return open_data_set(root, reader, make_options(16, 1.0, cache_dir=cache, **options))  # type: ignore[arg-type]

    open_pages()
    age(root, cache)
    return open_pages


def test_it_gets_the_one_that_it_has(opened: Callable[..., DataSet]) -> None:
    first = opened()
    assert opened() is first
    assert opened(near_duplicates=10) is not first


def test_it_gets_the_same_where_another_process_has_used_the_decoded_pages(
    opened: Callable[..., DataSet], tmp_path: Path
) -> None:
    first = opened()
    (array,) = (tmp_path / "cache").glob("pages-*.npy")
    before = array.stat()
    time.sleep(0.02)
    os.utime(array, ns=(time.time_ns(), before.st_mtime_ns))
    assert array.stat().st_ctime_ns != before.st_ctime_ns and opened() is first


def test_its_decoded_pages_count_as_used_then(opened: Callable[..., DataSet], tmp_path: Path) -> None:
    opened()
    (array,) = (tmp_path / "cache").glob("pages-*.npy")
    os.utime(array, ns=(0, array.stat().st_mtime_ns))
    opened()
    assert array.stat().st_atime_ns > time.time_ns() - 60 * 10**9


@pytest.mark.parametrize("changed", ["content", "new page", "page gone", "decoded pages gone"])
def test_but_not_where_a_file_has_changed(opened: Callable[..., DataSet], tmp_path: Path, changed: str) -> None:
    first, page = opened(), tmp_path / "pages" / "a" / "1.png"
    if changed == "content":
        Image.new("L", (20, 20), 250).save(page)
    elif changed == "new page":
        Image.new("L", (20, 20), 250).save(page.with_name("3.png"))
    elif changed == "page gone":
        page.unlink()
    else:
        next((tmp_path / "cache").glob("pages-*.npy")).unlink()
    again = opened()
    assert again is not first
    assert (again.fingerprint == first.fingerprint) == (changed == "decoded pages gone")
    assert again.train_images[range(1)].mean() == {"content": 250, "page gone": 60}.get(changed, 0)


def test_nor_where_a_tool_put_the_time_of_change_back(opened: Callable[..., DataSet], tmp_path: Path) -> None:
    page = tmp_path / "pages" / "a" / "1.png"

    def write(grey: int) -> os.stat_result:
        Image.new("L", (20, 20), grey).save(page)
        page.write_bytes(page.read_bytes().ljust(200, b"\0"))
        os.utime(page, (1e9, 1e9))
        return page.stat()

    before, first = write(0), opened()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    after = write(250)
    assert (before.st_size, before.st_mtime_ns, before.st_ino) == (after.st_size, after.st_mtime_ns, after.st_ino)
    again = opened()
    assert first.train_images[range(1)].mean() == 0 and again.train_images[range(1)].mean() == 250


def test_nor_where_a_file_changed_a_moment_ago(opened: Callable[..., DataSet], tmp_path: Path) -> None:
    os.utime(tmp_path / "pages" / "a" / "1.png")
    assert opened() is not opened()


def test_nor_with_a_reader_that_may_look_elsewhere(opened: Callable[..., DataSet]) -> None:
    reader = lambda root: read_folder(root)  # noqa: E731
    assert opened(reader) is not opened(reader)


def test_such_a_reader_may_have_a_file_for_its_root(opened: Callable[..., DataSet], tmp_path: Path) -> None:
    pages = opened().pages
    (tmp_path / "pages.jsonl").write_text("")
    options = make_options(16, 1.0, cache_dir=tmp_path / "cache")
    data = open_data_set(tmp_path / "pages.jsonl", lambda root: pages, options)
    assert data.fingerprint == opened().fingerprint


def test_pages_of_a_table_are_as_the_table_says(tmp_path: Path) -> None:
    root, options = tmp_path / "pages", make_options(16, 1.0, cache_dir=tmp_path / "cache")
    (root / "train").mkdir(parents=True)
    for i in range(4):
        Image.new("L", (20, 20), 60 * i).save(root / "train" / f"{i}.png")
    table = root / "train.csv"
    table.write_text("ID,target\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(4)))
    open_data_set(root, read_csv, options)
    age(tmp_path)
    first = open_data_set(root, read_csv, options)
    assert open_data_set(root, read_csv, options) is first
    table.write_text(table.read_text().replace("3.png,1", "3.png,0"))
    again = open_data_set(root, read_csv, options)
    assert again.pages.train.labels is not None and again.pages.train.labels.tolist() == [0, 1, 0, 0]
    (root / "train" / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png"):
        open_data_set(root, read_csv, options)
