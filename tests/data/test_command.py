"""`python -m docclf.data` says what there is and what is wrong with it, and draws examples."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forked import python
from PIL import Image
from rich.cells import cell_len
from slowly import slowly

SIZE = (60, 80)


def look(cwd: Path, *overrides: str) -> tuple[int, str]:
    """Exit status and all that is printed."""
    return python("docclf.data", *overrides, cwd=cwd, warn=False)


def test_a_root_that_is_not_given_is_asked_for(tmp_path: Path) -> None:
    status, output = look(tmp_path, "data=folder")
    assert status == 1 and output.startswith(
        "ConfigError: Expected `data.root`, the folder of the pages, got no value."
    )


def page(seed: int) -> Image.Image:
    """Coarse noise: as unlike any other as can be."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(SIZE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """3 classes of 6, 5 and 4 pages and 4 test pages, all of them sound and different."""
    root = tmp_path / "서류 📄"
    (root / "test").mkdir(parents=True)
    rows, meta = [], ["target,class_name"]
    for label, (name, n) in enumerate([("invoice", 6), ("계약서 ✍", 5), ("letter, of intent", 4)]):
        for i in range(n):
            page(100 * label + i).save(root / f"{label} 쪽 {i}.png")
            rows.append(f"{label} 쪽 {i}.png,{label}")
        meta.append(f'{label},"{name}"')
    for i in range(4):
        page(900 + i).save(root / "test" / f"t{i}.jpg")
    (root / "meta.csv").write_text("\n".join(meta), encoding="utf-8")
    (root / "train.csv").write_text("\n".join(["ID,target", *rows]), encoding="utf-8")
    (root / "test.csv").write_text("\n".join(["ID,target", *(f"t{i}.jpg,{i % 2}" for i in range(4))]), encoding="utf-8")
    return root


def pictures(cwd: Path) -> list[Path]:
    return list((cwd).rglob("examples.png"))


def test_a_sound_data_set_is_counted_and_drawn(root: Path, tmp_path: Path) -> None:
    cwd = tmp_path / "run"
    cwd.mkdir()
    status, output = look(cwd, "data=csv", f"data.root='{root}'")
    assert status == 0, output
    assert re.search(r"15 training pages of 3 classes, fingerprint [0-9a-f]{16}", output)
    assert "4 test pages, labelled" in output
    counts = [line for line in output.splitlines() if line.startswith("  ")]
    assert {cell_len(line) for line in counts} == {cell_len(counts[0])}, "in columns, where Hangul is twice as wide"
    rows = [re.split(r"\s{2,}", line.strip()) for line in output.splitlines() if line.startswith("  ")]
    assert rows == [
        ["class", "training", "test"],
        ["invoice", "6", "2"],
        ["계약서 ✍", "5", "2"],
        ["letter, of intent", "4", "0"],
    ]
    assert re.search(r"15 \.png, 4 \.jpg; 0\.\d MB, largest 0\.\d MB", output)
    assert "near-duplicate" not in output and "cannot be used" not in output
    (picture,) = pictures(cwd)
    assert str(picture.relative_to(cwd)) in output
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[0] > 200 and pixels.shape[1] > 400 and pixels.std() > 20
    assert not [path for path in root.rglob("*") if path.name == "examples.png"], "nothing is written to the data"


def test_pages_of_fewer_groups_than_a_comparison_takes_are_described_without_it(root: Path, tmp_path: Path) -> None:
    cwd = tmp_path / "run"
    cwd.mkdir()
    for i in range(24):
        page(i).save(root / f"{i}.png")
    for i in range(20):
        page(900 + i).save(root / "test" / f"t{i}.png")
    rows = [f"{i}.png,{i % 2},sender {i // 2 % 3}" for i in range(24)]
    (root / "train.csv").write_text("\n".join(["ID,target,group", *rows]), encoding="utf-8")
    (root / "test.csv").write_text("\n".join(["ID,group", *(f"t{i}.png,other" for i in range(20))]), encoding="utf-8")
    status, output = look(
        cwd, "data=csv", f"data.root='{root}'", "model.name=test_resnet", "model.pretrained=false", "validation.folds=3"
    )
    assert status == 0 and "24 training pages" in output and "20 test pages" in output, output
    assert "AUC" not in output and not list(cwd.rglob("test_pages.yaml"))


def test_problems_disagreements_and_leaks_are_named_and_the_exit_status_is_1(root: Path, tmp_path: Path) -> None:
    cwd = tmp_path / "run"
    cwd.mkdir()
    (root / "empty.png").touch()
    page(3).save(root / "same.jpg", quality=60)
    page(4).convert("L").save(root / "other.png")
    page(201).resize((30, 40)).save(root / "test" / "leak.png")
    page(102).save(root / "test" / "t0.jpg", quality=80)
    with (root / "train.csv").open("a", encoding="utf-8") as file:
        file.write("\nempty.png,0\nlost.png,1\nsame.jpg,0\nother.png,1\n")
    with (root / "test.csv").open("a", encoding="utf-8") as file:
        file.write("\nleak.png,2")
    status, output = look(cwd, "data=csv", f"data.root='{root}'")
    assert status == 1, output
    assert "17 training pages of 3 classes" in output and "5 test pages" in output
    assert "2 pages that cannot be used:\n  train.csv, row 18, lost.png: no such file" in output
    assert "  empty.png: ValueError: the file is empty" in output
    assert "2 pairs of near-duplicate training pages, kept in one fold:" in output
    assert "  0 쪽 3.png = same.jpg\n" in output
    assert "  0 쪽 4.png = other.png: labelled invoice and 계약서 ✍\n" in output
    leaks = "  1 쪽 2.png = t0.jpg (test)\n  2 쪽 1.png = leak.png (test)\n"
    assert f"2 near-duplicates between training and test pages:\n{leaks}" in output
    assert len(pictures(cwd)) == 1, "the pages that can be used are drawn all the same"
    assert "Traceback" not in output


def test_folders_grey_pages_and_pages_of_documents_are_described_too(root: Path, tmp_path: Path) -> None:
    folder, cwd = tmp_path / "folder", tmp_path / "run"
    cwd.mkdir()
    for name, seeds in {"영수증 🧾": range(3), "letter": range(10, 12)}.items():
        (folder / name).mkdir(parents=True)
        for seed in seeds:
            page(seed).save(folder / name / f"{seed}.webp", lossless=True)
    page(20).save(folder / "letter" / "three.tif", save_all=True, append_images=[page(21), page(22)])
    size = sum(path.stat().st_size for path in folder.rglob("*.*")) / 1e6
    status, output = look(cwd, "data=folder", f"data.root='{folder}'", "data.multi_page=all", "data.channels=1")
    assert status == 0, output
    assert "8 training pages of 2 classes" in output and "test pages" not in output
    assert f"5 .webp, 1 .tif; {size:,.1f} MB" in output, "a file counts once"
    assert len(pictures(cwd)) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=csv", "data.root=nowhere"], "DataError: Expected train.csv with columns ID,target"),
        *slowly(
            (["data=folder", "data.root=nowhere"], "DataError: Expected a folder at `data.root`"),
            (
                ["data=folder", "data.root=null"],
                "ConfigError: Expected `data.root`, the folder of the pages, got no value",
            ),
            (["data=folder", "data.root=2024"], "ConfigError: Expected `data.root` to be a path, got the number 2024"),
            (["data=csv", "data.root=nowhere", "data.channels=2"], "Expected `data.channels` to be 1 or 3, got 2"),
        ),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(tmp_path: Path, overrides: list[str], message: str) -> None:
    status, output = look(tmp_path, *overrides)
    assert status == 1 and message in output and "Traceback" not in output
    assert not pictures(tmp_path)


def test_help_comes_quickly(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "docclf.data", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "data" in done.stdout
    assert after.ru_utime - before.ru_utime < 1.5, "seconds of processor time"
    assert list(tmp_path.iterdir()) == []
