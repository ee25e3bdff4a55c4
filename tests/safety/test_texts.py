"""Pages, files and texts of others: what they hold does no harm, and what is shown of them is plain."""

import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import save_model

from docclf.data.folds import read_folds
from docclf.data.formats import count_pages, has_more_pages
from docclf.data.reading.tables import PageFinder, read_table
from docclf.errors import DataError
from docclf.models.state import save_state
from docclf.results.reading import read_predictions
from docclf.results.report.page import read_thumbnail
from docclf.safety.cells import cell, write_csv
from docclf.safety.interpolations import escape_interpolations, require_bounded, unsafe_interpolation
from docclf.safety.untrusted import plain, read_config, read_yaml

# Pages


@pytest.mark.parametrize(
    "name", ["../private.png", "{tmp}/private.png", "train/../../private.png", "link.png", "sub/x.png"]
)
def test_a_page_that_an_id_names_is_below_the_root(name: str, tmp_path: Path) -> None:
    root = tmp_path / "pages"
    (root / "train").mkdir(parents=True)
    private = Image.fromarray(np.zeros((8, 8), np.uint8))
    for path in (tmp_path / "private.png", root / "own.png"):
        private.save(path)
    (tmp_path / "elsewhere").mkdir()
    private.save(tmp_path / "elsewhere" / "x", "PNG")
    (root / "link.png").symlink_to(tmp_path / "private.png")
    (root / "sub").symlink_to(tmp_path / "elsewhere")
    assert read_thumbnail(root, "own.png", 8).shape == (8, 8, 3)
    with pytest.raises(FileNotFoundError):
        read_thumbnail(root, name.format(tmp=tmp_path), 8)


# Files and texts


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}'])}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "content",
    [bomb(20), "[" * 200, "a: " + "{" * 100, "!!python/object/apply:os.system [x]", "a: [", b"\xed\xa0\x80"],
)
def test_a_file_that_is_no_plain_yaml_is_refused(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (read_yaml, read_config):
        with pytest.raises(DataError):
            read(path)


@pytest.mark.parametrize(
    "content",
    [
        bomb(10),
        "a: &a [*a]",
        f"a: [{'1, ' * 300_000}]",
        f"a: 1{':1' * 1000}",
        f"a: 0x{'f' * 10_000}",
        "\n".join(["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: *a{i - 1}, x{i}: [*a{i - 1}]}}" for i in range(1, 30))]),
    ],
    ids=["aliases", "circle", "values", "base 60", "base 16", "merged"],
)
def test_yaml_that_is_small_as_a_text_alone_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(DataError, match=r"Expected plain YAML in .* too many values or digits"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("part", ["oc.select:", "${now:", "${oc.select:a"])
def test_a_long_text_of_interpolations_is_soon_looked_at(part: str) -> None:
    text, began = part * (200_000 // len(part)), time.monotonic()
    unsafe_interpolation(text)
    escape_interpolations(text)
    with suppress(ValueError):  # it is too large
        require_bounded({"a": text})
    assert time.monotonic() - began < 2


def test_yaml_that_repeats_itself_a_little_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: &x 1, y: [*x, 2001-12-14]}\nb: {<<: *a, z: *x, w: 1:30}\n")
    assert read_yaml(tmp_path / "a.yaml")["b"] == {"x": 1, "y": [1, date(2001, 12, 14)], "z": 1, "w": 90}


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(10_000_000_000)  # of holes
    with pytest.raises(DataError, match="Expected at most 64,000,000 bytes"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("read", [read_predictions, lambda path: read_table(path, ["ID"])])
def test_a_table_of_terabytes_of_holes_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("wb") as file:
        file.write(b"ID,target,0,1\n")
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"field limit|at most 1,000,000,000 bytes"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "\x1b[2J", "\x9b31m", "\r", "\b", "\u202e", "\u2066", "\x00", "\x7f"])
def test_a_terminal_gets_nothing_to_obey(text: str) -> None:
    shown = plain(f"a{text}b")
    assert shown.isprintable() and shown.startswith("a\\")
    assert plain("보통 글 — é\n\t") == "보통 글 — é\n\t"


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(1)", "\t=1", "\r=1", "=HYPERLINK(1)"])
def test_a_spreadsheet_gets_no_formula(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert [cell(value) for value in ("a=1", "-1.5", "+1e-3", -1, None)] == ["a=1", "-1.5", "+1e-3", -1, None]


def test_tables_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    names = ["=1+1.png", "'=2.png", "@x", "-1", "plain", "+a", "''=3"]
    rows = ([name, "=class", "0.500000", "0.500000"] for name in names)
    write_csv(tmp_path / "oof.csv", ["ID", "target", "=class", "other"], rows)
    assert not re.search(r"(^|,)[=@+]", (tmp_path / "oof.csv").read_text(encoding="utf-8"), re.M)
    found = read_predictions(tmp_path / "oof.csv")
    assert found.ids == names and set(found.targets) == {"=class"} and found.class_names == ["=class", "other"]
    write_csv(tmp_path / "folds.csv", ["ID", "fold"], ([name, i % 2] for i, name in enumerate(names)))
    assert read_folds(tmp_path / "folds.csv", names, 2).tolist() == [i % 2 for i in range(len(names))]


def test_messages_are_escaped_for_who_reads_them_on_a_terminal() -> None:
    code = (
        "import logging, sys; from docclf.safety.untrusted import escape_logs; escape_logs(); escape_logs()\n"
        "logging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
        "logging.warning('a %s', '\\x1b[2J'); logging.warning('%d', 'x\\x1b')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("a \\x1b[2J\n") and "\x1b" not in done.stdout


@pytest.mark.parametrize("name", ["../x.png", "{}/x.png", "a/../../x.png", "..\\x.png", "train/../../x"])
def test_lists_of_pages_name_none_outside_of_their_folder(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "pages" / "train" / "a..b" / "x.png"
    inside.parent.mkdir(parents=True)
    for path in (inside, tmp_path / "x.png"):
        path.write_bytes(b"")
    finder = PageFinder(tmp_path / "pages", ["train"])
    assert finder.find(name.format(tmp_path)) is None
    assert finder.find("a..b/x.png") == inside


@pytest.mark.slow
def test_a_file_of_very_many_pages_is_refused_without_going_through_them(tmp_path: Path) -> None:
    page = Image.new("L", (1, 1))
    page.save(tmp_path / "many.tif", save_all=True, append_images=2000 * [page])
    page.save(tmp_path / "some.tif", save_all=True, append_images=[page])
    with pytest.raises(ValueError, match="more than 2000 pages"):
        count_pages(tmp_path / "many.tif")
    assert count_pages(tmp_path / "some.tif") == 2
    assert has_more_pages(tmp_path / "many.tif") and has_more_pages(tmp_path / "some.tif")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_of_weights_are_as_readable_as_others(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        model = save_model(tmp_path / "model", members=1)
        save_state(tmp_path / "state.safetensors", {"a": 1})
    finally:
        os.umask(before)
    for path in (model / "fold_0.safetensors", model / "model.yaml", tmp_path / "state.safetensors"):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
