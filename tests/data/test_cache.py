"""Pages are decoded once for what the files hold, and never in part."""

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from docclf.data.cache import contents, store
from docclf.data.cache.decoded import DecodedPages, cache_size, load_pages
from docclf.data.cache.store import default_cache_dir, finish, load_array, open_array, remember
from docclf.errors import DataError
from docclf.files import lock

OLD = 1_000_000_000_000_000_000  # a time of change in nanoseconds, long enough ago to be believed


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    (tmp_path / "pages").mkdir()
    for i, suffix in enumerate(("png", "jpg", "webp", "bmp", "tif")):
        found.append(tmp_path / "pages" / f"{i}.{suffix}")
        Image.new("RGB", (30, 40), (50 * i, 10, 20)).save(found[-1])
        os.utime(found[-1], ns=(OLD, OLD))
    return found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def arrays(cache: Path) -> dict[str, int]:
    """Decoded arrays and their inodes: an array that was decoded again has another one."""
    return {path.name: path.stat().st_ino for path in cache.glob("pages-*.npy")}


def unused(cache: Path) -> None:
    """Have it that nobody has used an array since yesterday; the times of change stay."""
    for path in cache.glob("*.npy"):
        os.utime(path, ns=(time.time_ns() - 24 * 3600 * 10**9, path.stat().st_mtime_ns))


def same(a: DecodedPages, b: DecodedPages) -> bool:
    return np.array_equal(a.images, b.images) and (a.digests, a.problems) == (b.digests, b.problems)


def test_pages_come_as_one_read_only_array_in_the_order_of_the_files(paths: list[Path], cache: Path) -> None:
    pages = load_pages(paths, 16, cache)
    assert pages.images.shape == (5, 16, 16, 3) and pages.images.dtype == np.uint8
    assert np.abs(pages.images[:, 8, 8].astype(int) - [[50 * i, 10, 20] for i in range(5)]).max() <= 4
    assert isinstance(pages.images, np.memmap) and not pages.images.flags.writeable
    assert pages.problems == {} and len(set(pages.digests)) == 5


def test_a_second_call_decodes_nothing(paths: list[Path], cache: Path) -> None:
    first = load_pages(paths, 16, cache)
    written = arrays(cache)
    assert same(load_pages(paths, 16, cache), first)
    assert arrays(cache) == written and len(written) == 1


def test_a_copy_elsewhere_uses_the_same_array(paths: list[Path], cache: Path, tmp_path: Path) -> None:
    first = load_pages(paths, 16, cache)
    written = arrays(cache)
    shutil.copytree(tmp_path / "pages", tmp_path / "복사본")
    copies = [path.rename(path.with_name(f"{i} 📄")) for i, path in enumerate(sorted((tmp_path / "복사본").iterdir()))]
    assert same(load_pages(copies, 16, cache), first)
    assert arrays(cache) == written


def test_a_new_time_of_change_alone_decodes_nothing(paths: list[Path], cache: Path) -> None:
    load_pages(paths, 16, cache)
    written = arrays(cache)
    for path in paths:
        path.touch()
    load_pages(paths, 16, cache)
    assert arrays(cache) == written


@pytest.mark.parametrize("what", ["time", "inode", "size", "content alone"])
def test_a_changed_file_is_decoded_anew(paths: list[Path], cache: Path, what: str) -> None:
    load_pages(paths, 16, cache)
    bitmap = paths[3]
    before = bitmap.stat()
    if what == "inode":
        bitmap.rename(bitmap.with_name("kept.bmp"))  # so that its inode is not given again
    Image.new("RGB", (30, 60) if what == "size" else (30, 40), "white").save(bitmap)
    changed = OLD + (what == "time")
    os.utime(bitmap, ns=(changed, changed))
    now = bitmap.stat()
    differs = {
        "time": now.st_mtime_ns != OLD,
        "inode": now.st_ino != before.st_ino,
        "size": now.st_size != before.st_size,
    }
    assert [key for key, value in differs.items() if value] == [key for key in differs if key == what]
    assert load_pages(paths, 16, cache).images[3].min() == 255
    assert len(arrays(cache)) == 2


def test_a_file_that_is_changed_twice_within_the_same_tick_is_looked_at_again(paths: list[Path], cache: Path) -> None:
    now = time.time_ns()
    for grey in (10, 200):
        Image.new("RGB", (30, 40), (grey,) * 3).save(paths[3])
        os.utime(paths[3], ns=(now, now))
        assert (load_pages(paths, 16, cache).images[3] == grey).all()


def test_another_order_size_page_or_number_of_channels_is_another_array(paths: list[Path], cache: Path) -> None:
    pages = load_pages(paths, 16, cache).images
    assert np.array_equal(load_pages(paths[::-1], 16, cache).images, pages[::-1])
    assert load_pages(paths, 24, cache).images.shape == (5, 24, 24, 3)
    assert load_pages(paths, 16, cache, channels=1).images.shape == (5, 16, 16, 1)
    Image.new("L", (9, 9), 0).save(paths[4], save_all=True, append_images=[Image.new("L", (9, 9), 255)])
    two = load_pages([paths[4]] * 2, 16, cache, numbers=[0, 1])
    assert [image.mean() for image in two.images] == [0, 255] and len(set(two.digests)) == 2
    assert len(arrays(cache)) == 5


def test_every_unreadable_file_has_its_reason_and_is_black(paths: list[Path], cache: Path) -> None:
    empty, truncated, text, gone = paths[0], paths[1], paths[3], paths[4]
    empty.write_bytes(b"")
    Image.effect_noise((200, 200), 90).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:4000])
    text.write_text("not an image")
    gone.unlink()
    gone.symlink_to("nowhere.tif")
    for _ in range(2):  # decoded, and from the cache
        pages = load_pages(paths, 16, cache)
        assert sorted(pages.problems) == [0, 1, 3, 4]
        assert "empty" in pages.problems[0] and "truncated" in pages.problems[1]
        assert "cannot identify" in pages.problems[3] and "No such file" in pages.problems[4]
        assert pages.images[2].max() > 0 and pages.images[0].max() == 0
    Image.new("RGB", (30, 40), "white").save(empty, format="PNG")
    assert sorted(load_pages(paths, 16, cache).problems) == [1, 3, 4]
    assert load_pages(paths, 16, cache).images[0].min() == 255


def test_no_pages_are_an_empty_array(cache: Path) -> None:
    for _ in range(2):
        assert load_pages([], 16, cache).images.shape == (0, 16, 16, 3)


def test_names_need_not_be_utf_8(paths: list[Path], cache: Path) -> None:
    strange = paths[0].with_name(os.fsdecode("영수증.png".encode("euc-kr")))
    paths[0].rename(strange)
    assert load_pages([strange, *paths[1:]], 16, cache).problems == {}


DAMAGES = {
    "cut": lambda array, note: os.truncate(array, array.stat().st_size // 2),
    "emptied": lambda array, note: os.truncate(array, 0),
    "overwritten": lambda array, note: array.write_bytes(array.read_bytes()[:-700] + b"\x55" * 700),
    "header": lambda array, note: array.write_bytes(b"\0" * 64 + array.read_bytes()[64:]),
    "garbage note": lambda array, note: note.write_bytes(b"\xff\x00garbage"),
    "other note": lambda array, note: note.write_text("[1, 2]"),
    "cut note": lambda array, note: note.write_text(note.read_text()[:20]),
    "no note": lambda array, note: note.unlink(),
    "other shape": lambda array, note: note.write_text(json.dumps(json.loads(note.read_text()) | {"shape": [9]})),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_array_is_noticed_and_decoded_again(
    paths: list[Path], cache: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = load_pages(paths, 16, cache).images.copy()
    (array,) = cache.glob("pages-*.npy")
    DAMAGES[damage](array, array.with_suffix(".json"))
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(load_pages(paths, 16, cache).images, whole)
    assert caplog.messages == [f"The cache {array} is damaged, decoding its pages again"]
    written = arrays(cache)
    assert np.array_equal(load_pages(paths, 16, cache).images, whole) and arrays(cache) == written


def test_a_damaged_list_of_contents_is_noticed_and_begun_anew(
    paths: list[Path], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_pages(paths, 16, cache)
    written = arrays(cache)
    (cache / "contents.db").write_bytes(b"no database" * 1000)
    with caplog.at_level(logging.WARNING):
        assert same(load_pages(paths, 16, cache), first)
    assert "contents.db is damaged" in caplog.text
    caplog.clear()
    load_pages(paths, 16, cache)
    assert caplog.text == "" and arrays(cache) == written


def test_a_damaged_list_of_contents_that_another_process_has_begun_anew_is_left_as_it_is(
    paths: list[Path], cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, listed = load_pages(paths, 16, cache), cache / "contents.db"
    sound = listed.rename(tmp_path / "contents.db")
    listed.write_bytes(b"no database" * 1000)
    with ThreadPoolExecutor(1) as pool:
        with lock(cache / "contents.lock"):  # as the other process has it
            waiting = pool.submit(load_pages, paths, 16, cache)
            time.sleep(0.5)
            inode = sound.rename(listed).stat().st_ino
        assert same(waiting.result(), first)
    assert listed.stat().st_ino == inode and caplog.text == ""


def test_an_array_is_checked_once_a_process_for_each_state_of_it(paths: list[Path], cache: Path) -> None:
    for _ in range(3):
        load_pages(paths, 16, cache)
    before = store._checksum.cache_info()
    for _ in range(3):
        load_pages(paths, 16, cache)
    after = store._checksum.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (0, 3)


def test_the_array_that_was_not_used_for_longest_goes_first_and_never_the_new_one(
    paths: list[Path], cache: Path
) -> None:
    def size(pixels: int) -> int:
        (path,) = cache.glob(f"pages-*-{pixels}px-*.npy")
        return path.stat().st_size

    for pixels in (16, 24, 32):
        load_pages(paths, pixels, cache)
    unused(cache)
    for pixels in (32, 16):
        load_pages(paths, pixels, cache)  # used again
    limit = (size(16) + size(32) + 5 * 40 * 40 * 3 + 1000) / 1e9
    load_pages(paths, 40, cache, limit_gb=limit)
    assert sorted(name.split("-")[2] for name in arrays(cache)) == ["16px", "32px", "40px"]
    unused(cache)
    kept = load_pages(paths, 48, cache, limit_gb=0)
    assert [name.split("-")[2] for name in arrays(cache)] == ["48px"]
    assert [path.suffix for path in cache.glob("pages-*.json")] == [".json"], "and its note"
    assert kept.images[4, 24, 24].tolist()[1:] == [10, 20]


def test_an_array_that_is_removed_stays_with_those_who_have_it(paths: list[Path], cache: Path) -> None:
    pages = load_pages(paths, 16, cache).images
    copy = pages.copy()
    unused(cache)
    load_pages(paths, 24, cache, limit_gb=0)
    assert len(arrays(cache)) == 1 and np.array_equal(pages, copy)


def test_arrays_in_use_stay_beyond_the_limit_and_it_is_said_once_what_they_need(
    paths: list[Path], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_pages(paths, 16, cache)
    unused(cache)
    limit = 15_000 / 1e9  # of 24 pixels one fits, of 24 and 32 both take not quite twice as much
    for _ in range(3):
        for pixels in (24, 32):
            load_pages(paths, pixels, cache, limit_gb=limit)
    assert sorted(name.split("-")[2] for name in arrays(cache)) == ["24px", "32px"]
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith(f"The cache {cache} has 0 MB that were used")
    assert "more than data.cache_gb=1.5e-05. Say data.cache_gb=1, or" in caplog.text
    load_pages(paths, 64, cache, limit_gb=limit)
    assert [name.split("-")[2] for name in arrays(cache)] == ["64px"], "beyond twice the limit none stays"


def test_arrays_in_use_go_where_the_disk_has_no_room_for_as_much_again(paths: list[Path], cache: Path) -> None:
    load_pages(paths, 16, cache)
    array = next(cache.glob("pages-*.npy"))
    try:
        os.truncate(array, shutil.disk_usage(cache).free * 2)  # a hole, which takes no room
    except OSError:
        pytest.skip("no file may be as large here")
    load_pages(paths, 24, cache, limit_gb=shutil.disk_usage(cache).free * 1.5 / 1e9)
    assert [name.split("-")[2] for name in arrays(cache)] == ["24px"]


def test_an_array_that_another_process_removes_while_it_is_opened_is_made_again(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.mkdir()
    target, partial, made = cache / "values-v1.npy", cache / "values-v1.npy.partial", list[int]()

    def make() -> None:
        np.save(partial.with_suffix(".npy"), np.arange(4))
        partial.with_suffix(".npy").rename(partial)
        finish(target, partial, (4,))
        made.append(4)

    def lose(note: Mapping[str, Any]) -> bool:
        if len(made) == 1:
            target.unlink()
        return True

    open_array(target, (4,), make, limit_gb=1)
    values, note = open_array(target, (4,), make, limit_gb=1, is_final=lose)
    assert values.tolist() == [0, 1, 2, 3] and note["shape"] == [4] and made == [4, 4] and caplog.text == ""


def test_in_a_folder_of_several_users_links_are_not_written_through(paths: list[Path], cache: Path) -> None:
    mine = cache.parent / "mine"
    mine.write_text("mine")
    load_pages(paths, 16, cache)
    (array,) = cache.glob("pages-*.npy")
    array.unlink()
    array.with_name(f"{array.name}.partial-{os.getpid()}").symlink_to(mine)
    for end in (".partial", ".partial-done"):
        (cache / f"features-v1.npy{end}").symlink_to(mine)
    load_pages(paths, 16, cache)
    load_array("features-v1", (5, 2), lambda rows: np.ones((len(rows), 2)), dtype=np.float32, cache_dir=cache)
    assert mine.read_text() == "mine" and array.is_file() and (cache / "features-v1.npy").is_file()


@pytest.mark.parametrize(
    "name", ["features-v1.json", "features-v1.npy", "features-v1.npy.partial", "features-v1.npy.partial-done"]
)
def test_a_pipe_in_the_cache_is_not_waited_for(name: str, cache: Path) -> None:
    def load() -> None:
        load_array("features-v1", (5, 2), lambda rows: np.ones((len(rows), 2)), dtype=np.float32, cache_dir=cache)

    cache.mkdir()
    if name.endswith((".json", ".npy")):
        load()
    (cache / "features-v1.npy.partial-done").write_text("2")
    (cache / name).unlink(missing_ok=True)
    os.mkfifo(cache / name)
    with pytest.raises(DataError, match="Expected a file in"):
        load()
    if name.endswith(".json"):
        with pytest.raises(DataError, match="Expected a file in"):
            remember(cache, "features-v1", int)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCCLF_CACHE", "/somewhere")
    assert default_cache_dir() == Path("/somewhere")
    monkeypatch.setenv("DOCCLF_CACHE", "")
    assert default_cache_dir() == tmp_path / "docclf"
    monkeypatch.delenv("DOCCLF_CACHE")
    assert default_cache_dir() == tmp_path / "docclf"


@pytest.mark.parametrize(
    ("image_size", "margin", "size"), [(96, 1.15, 112), (96, 1.0, 96), (1, 1.0, 8), (32, 1.15, 40)]
)
def test_pages_are_kept_a_margin_larger(image_size: int, margin: float, size: int) -> None:
    assert cache_size(image_size, margin) == size


def test_a_log_says_now_and_then_how_far_a_pass_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="docclf")
    assert list(contents.with_progress(range(4), "Features", 4)) == [0, 1, 2, 3]
    assert not caplog.messages
    monkeypatch.setattr(contents, "_SILENCE_S", -1.0)
    assert list(contents.with_progress(range(4), "Features", 4)) == [0, 1, 2, 3]
    assert caplog.messages == ["Features: 25 %", "Features: 50 %", "Features: 75 %", "Features: 100 %"]
