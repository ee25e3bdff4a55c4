"""Several processes share a cache, may be killed in it, and say what to do where it cannot be written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import wait_until

from docclf.data.cache.decoded import load_pages
from docclf.errors import DataError

# Waits for the others, loads the pages, and says what it decoded and saw.
LOAD = """
import json, os, pathlib, sys, time, zlib
from docclf.data.cache import decoded as cache
from docclf.errors import DataError
folder, target, start, limit, slow = sys.argv[1:]
read, decoded = cache.read_with_grey, []
def count(path, *arguments, **options):
    decoded.append(path.name)
    time.sleep(float(slow))
    return read(path, *arguments, **options)
cache.read_with_grey = count
if int(limit):
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
if start:  # when all have imported
    meeting, n = start.rsplit(":", 1)
    pathlib.Path(meeting, str(os.getpid())).touch()
    while len(list(pathlib.Path(meeting).iterdir())) < int(n):
        time.sleep(0.005)
try:
    pages = cache.load_pages(sorted(pathlib.Path(folder).iterdir()), 64, pathlib.Path(target))
    print(json.dumps([len(decoded), len(pages.images), zlib.crc32(pages.images), len(pages.problems)]))
except DataError as error:
    print(json.dumps(str(error)))
"""
N = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    random = np.random.default_rng(0)
    for i in range(N):
        Image.fromarray(random.integers(0, 256, (90, 70, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    return folder


def start(folder: Path, cache: Path, meet: str = "", limit: int = 0, slow: float = 0.0) -> subprocess.Popen[str]:
    arguments = [str(folder), str(cache), meet, str(limit), str(slow)]
    return subprocess.Popen([sys.executable, "-c", LOAD, *arguments], stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> object:
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    return json.loads(output)


@pytest.mark.parametrize("n", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_that_build_at_once_decode_once_and_agree(folder: Path, tmp_path: Path, n: int) -> None:
    (meeting := tmp_path / "meeting").mkdir()
    answers = [answer(process) for process in [start(folder, tmp_path, f"{meeting}:{n}", slow=0.01) for _ in range(n)]]
    decoded = [numbers[0] for numbers in answers]  # type: ignore[index]
    assert sorted(decoded) == [0] * (n - 1) + [N]
    assert len({tuple(numbers[1:]) for numbers in answers}) == 1  # type: ignore[index]
    assert answers[0][1:] == [N, answers[0][2], 0]  # type: ignore[index]
    assert not list(tmp_path.glob("*.partial-*"))


def test_what_a_killed_process_leaves_is_not_used_and_goes_after_a_day(folder: Path, tmp_path: Path) -> None:
    killed = start(folder, tmp_path, slow=5)
    wait_until(lambda: list(tmp_path.glob("pages-*.npy.partial-*")))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (left,) = tmp_path.glob("pages-*.partial-*")
    assert not list(tmp_path.glob("pages-*.npy"))
    pages = load_pages(sorted(folder.iterdir()), 64, tmp_path)
    assert pages.images.any(axis=(1, 2, 3)).all() and pages.problems == {}
    assert left.exists(), "it might be at work"
    os.utime(left, (0, 0))
    load_pages(sorted(folder.iterdir())[1:], 64, tmp_path)
    assert not left.exists()


@pytest.mark.slow
def test_the_later_process_waits_for_the_lock_and_takes_over_from_a_killed_one(folder: Path, tmp_path: Path) -> None:
    first = start(folder, tmp_path, slow=5)
    wait_until(lambda: list(tmp_path.glob("pages-*.npy.partial-*")))
    second = start(folder, tmp_path)
    time.sleep(2)
    assert second.poll() is None
    first.kill()
    first.communicate()
    numbers = answer(second)
    assert isinstance(numbers, list) and numbers[:2] == [N, N]


# Where it cannot be written

MESSAGE = (
    r"Expected a folder for about \d+ MB of decoded pages, got {folder}: .+, [\d,]+ MB free\. Set data\.cache_dir or"
)


@pytest.mark.parametrize("what", ["a file", "below a file", "a broken link", "unwritable", "procfs"])
def test_a_folder_that_cannot_be_one_is_refused_with_the_way_out(folder: Path, tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere/at/all")
    (tmp_path / "closed").mkdir(mode=0o500)
    if what == "unwritable" and os.geteuid() == 0:
        pytest.skip("permissions do not bind root")
    if what == "procfs" and not Path("/proc/self").exists():
        pytest.skip("there is no /proc, which nobody can write")
    cache = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "cache",
        "a broken link": tmp_path / "link",
        "unwritable": tmp_path / "closed",
        "procfs": Path("/proc/docclf"),
    }[what]
    with pytest.raises(DataError, match=MESSAGE.format(folder=cache)):
        load_pages(sorted(folder.iterdir()), 64, cache)
    assert (tmp_path / "file").read_text() == "mine"


def test_no_room_is_refused_before_anything_is_decoded_and_nothing_is_left(folder: Path, tmp_path: Path) -> None:
    message = answer(start(folder, tmp_path, limit=150_000))  # the array has 491,648 bytes
    assert isinstance(message, str) and message.startswith(
        f"Expected a folder for about 0 MB of decoded pages, got {tmp_path}: "
    )
    assert "File too large" in message and "DOCCLF_CACHE" in message
    assert not list(tmp_path.glob("pages-*.npy*"))


def test_a_full_disk_is_refused_and_nothing_is_left(folder: Path, tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system of a fixed size can be mounted here")
    try:
        with pytest.raises(DataError, match=MESSAGE.format(folder=tmp_path)) as refused:
            load_pages(sorted(folder.iterdir()), 64, tmp_path)
        assert "No space left on device" in str(refused.value)
        assert not list(tmp_path.glob("pages-*.npy*"))
        assert len(load_pages(sorted(folder.iterdir()), 16, tmp_path).images) == N, "which fits"
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
