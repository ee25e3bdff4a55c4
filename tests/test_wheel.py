"""The built wheel, unpacked where no checkout is near."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", "site", wheel]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "site"


def run(site: Path, cwd: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "docclf.train", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, capture_output=True, check=True)
    return done.stdout


def test_an_installed_docclf_has_its_config_and_its_sweeper_in_any_folder(site: Path, tmp_path: Path) -> None:
    assert str(site / "docclf" / "conf") in run(site, tmp_path, "hparams_search=optuna", "--info", "searchpath")
    assert "_target_: docclf.sweeper.plugin.DocclfSweeper" in run(
        site, tmp_path, "hparams_search=optuna", "--cfg", "all"
    )


def test_a_wheel_carries_neither_tests_nor_benchmarks(site: Path) -> None:
    top = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert top - {"bin", "__pycache__"} == {"docclf"}
    assert (site / "docclf" / "conf" / "train.yaml").is_file()


def test_a_source_distribution_has_all_that_its_readme_names_and_links(tmp_path: Path) -> None:
    (packed,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(packed) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = {str(parent) for name in names for parent in Path(name).parents}
    assert {"constraints.txt", "Makefile", "CONTRIBUTING.md"} <= names and "benchmarks" in folders
    for page in ("README.md", "README.ko.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))
        assert {link.rstrip("/") for link in links} <= names | folders, page


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_search_says_where_the_python_of_its_commands_is() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "--old-file=.venv/ready", "search"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True)
    search, said = done.stdout.splitlines()[-2:]
    assert search.startswith(".venv/bin/python -m docclf.train -m ") and ". .venv/bin/activate" in said
