"""A data set is what its pages hold: the order of rows and the names of files change neither fingerprint nor folds."""

import hashlib
import random
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flat_pages import opened, picture, write
from omegaconf import DictConfig
from PIL import Image

from docclf.cli.preflight import preflight
from docclf.data.dataset import DataSet
from docclf.data.folds import split_pages
from docclf.data.readers import read_folder
from docclf.safety.targets import FORMER

N = 24


def make(root: Path, order: list[int], name: str = "{}.png", **columns: str) -> Path:
    """24 pages of two classes, of which the rows have this order."""
    root.mkdir(parents=True)
    rows = [f"{name.format(i)},{'ab'[i % 2]}" + "".join(f",{value.format(i // 4)}" for value in columns.values())
            for i in order]  # fmt: skip
    for i in range(N):
        picture(root / name.format(i), 3 * i)
    write(root / "train.csv", ",".join(["ID,target", *columns]), *rows)
    return root


def folds_of(data: DataSet) -> dict[str, int]:
    """Fold by the content of the page."""
    folds = split_pages(data.pages.train, n_folds=3, seed=42, class_names=["a", "b"], order=data.order)
    return dict(zip(data.digests, folds.tolist(), strict=False))


def shuffled(seed: int) -> list[int]:
    return random.Random(seed).sample(range(N), N)


@pytest.mark.parametrize("columns", [{}, {"group": "document {}"}])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_rows_changes_neither_fingerprint_nor_folds(
    tmp_path: Path, seed: int, columns: dict[str, str]
) -> None:
    first = opened(make(tmp_path / "a" / "root", list(range(N)), **columns))
    again = opened(make(tmp_path / "b" / "root", shuffled(seed), **columns))
    assert again.pages.train.ids != first.pages.train.ids
    assert again.fingerprint == first.fingerprint and folds_of(again) == folds_of(first)
    assert sorted(set(folds_of(first).values())) == [0, 1, 2]


def test_other_names_of_files_and_groups_change_neither(tmp_path: Path) -> None:
    first = opened(make(tmp_path / "a" / "root", list(range(N)), group="document {}"))
    other = opened(make(tmp_path / "b" / "root", shuffled(5), "쪽 {}.png", group="{}문서"))
    assert other.fingerprint == first.fingerprint and folds_of(other) == folds_of(first)


def test_near_duplicates_stay_together_in_whatever_order(tmp_path: Path) -> None:
    found = []
    for name, order in (("a", list(range(N))), ("b", shuffled(4))):
        root = make(tmp_path / name / "root", order)
        for i in range(N):
            noise = np.random.default_rng(i // 3).integers(0, 256, (12, 9), dtype=np.uint8)
            noise[0, 0] = i
            Image.fromarray(noise).resize((60, 80)).save(root / f"{i}.png")
        data = opened(root, near_duplicates=22)
        assert data.pages.train.groups is not None and len(set(data.pages.train.groups)) == N // 3
        found.append(folds_of(data))
    assert found[0] == found[1]


def test_the_same_page_twice_is_no_matter_of_order(tmp_path: Path) -> None:
    found = []
    for name, order in (("a", list(range(N))), ("b", shuffled(7))):
        root = make(tmp_path / name / "root", order)
        picture(root / "2.png", 0)
        data = opened(root)
        folds = split_pages(data.pages.train, n_folds=3, seed=42, class_names=["a", "b"], order=data.order)
        found.append((data.fingerprint, dict(zip(data.pages.train.ids, folds.tolist(), strict=True))))
    assert found[0] == found[1]


def test_the_fingerprint_of_earlier_releases_is_known_still(tmp_path: Path) -> None:
    data = opened(make(tmp_path / "root", shuffled(1)))
    assert data.pages.train.labels is not None
    lines = [f"{page} {'ab'[label]}\n" for page, label in zip(data.digests, data.pages.train.labels, strict=True)]
    assert data.fingerprint_of_rows == hashlib.sha256("".join(lines).encode()).hexdigest()[:16] != data.fingerprint


def test_the_fingerprint_of_earlier_releases_has_names_as_they_are_written(tmp_path: Path) -> None:
    names = [unicodedata.normalize("NFD", name) for name in ("서식", "편지")]
    for i, name in enumerate(names):
        (tmp_path / "root" / name).mkdir(parents=True)
        picture(tmp_path / "root" / name / "1.png", 50 * i)
    data = opened(tmp_path / "root", read_folder)
    lines = [f"{page} {name}\n" for page, name in zip(data.digests, names, strict=True)]
    assert data.fingerprint_of_rows == hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def test_a_search_is_told_of_both(cfg: DictConfig) -> None:
    facts: dict[str, Any] = preflight(cfg)
    before = facts.pop("before")
    cfg.validation.order = "rows"
    names = {"before": {"names": FORMER}}
    assert preflight(cfg) == facts | before["facts"] | names and before["overrides"] == ["++validation.order=rows"]
    assert facts["data"] != before["facts"]["data"] and facts["folds"] != before["facts"]["folds"]
