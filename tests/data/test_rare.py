"""Classes of too few pages are refused with the way out, left out, or in training only."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flat_pages import opened, picture, write
from forked import python
from omegaconf import DictConfig

from docclf.cli.preflight import preflight
from docclf.data.folds import assign_folds, read_folds, split_pages
from docclf.data.pages import Pages
from docclf.data.readers import read_folder
from docclf.data.reading.folders import warn_once
from docclf.errors import DataError
from docclf.training.validation import Validation

NAMES = ["a", "b", "c", "d"]


def fold(labels: list[int], n_folds: int = 3, **options: object) -> list[int]:
    given = {"n_folds": n_folds, "seed": 0, "class_names": NAMES, **options}
    return assign_folds(np.array(labels), **given).tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize(("few", "helps"), [(1, False), (2, True)])
def test_the_refusal_names_the_option_and_fewer_folds_only_where_they_help(few: int, helps: bool) -> None:
    with pytest.raises(DataError) as refused:
        fold([0, 0, 0, 1, 1, 1, *[2] * few])
    message = str(refused.value)
    assert f"got fewer of c ({few})" in message
    assert "data.rare_classes=drop" in message and "data.rare_classes=train" in message
    assert ("use fewer folds" in message) is helps


@pytest.mark.parametrize("few", [1, 2])
def test_pages_of_rare_classes_are_in_no_fold_and_the_others_as_without_them(few: int) -> None:
    labels = [0, 1, 0, 1, 0, 1, 0, 1]
    folds = fold([*labels, *[2] * few], rare="train")
    assert folds[len(labels) :] == [-1] * few and folds[: len(labels)] == fold(labels)


def test_what_is_grouped_with_a_rare_page_is_in_training_too() -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 2]
    groups = ["k", "l", "m", "n", "o", "p", "q", "n"]
    folds = fold(labels, groups=groups, rare="train")
    assert [i for i, number in enumerate(folds) if number < 0] == [3, 7]
    with pytest.raises(DataError, match="at least 2 classes with 3 pages each"):
        fold([0, 0, 0, 1, 1, 1, 2], groups=["k", "l", "m", "o", "p", "q", "q"], rare="train")


def test_where_nothing_is_left_to_validate_it_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2 classes with 3 pages each"):
        fold([0, 0, 0, 1, 2], rare="train")


def test_a_warning_names_them_once(caplog: pytest.LogCaptureFixture) -> None:
    pages = Pages(list("pqrstuv"), [Path(name) for name in "pqrstuv"], np.array([0, 0, 0, 1, 1, 1, 2]))
    for _ in range(2):
        split_pages(pages, n_folds=3, seed=9, class_names=NAMES, rare="train")
    (message,) = caplog.messages
    assert "In training only, and never scored" in message and "c (1)" in message


def test_a_split_file_may_say_so_too(tmp_path: Path) -> None:
    write(tmp_path / "folds.csv", "ID,fold", "p,0", "q,1", "r,-1")
    assert read_folds(tmp_path / "folds.csv", ["p", "q", "r"], 2, "train").tolist() == [0, 1, -1]
    with pytest.raises(DataError, match=r"r \(-1\)"):
        read_folds(tmp_path / "folds.csv", ["p", "q", "r"], 2)


@pytest.fixture
def scarce(root: Path) -> Path:
    """3 pages of a and of b, one of c, and test pages of all three."""
    picture(root / "c.png", 5)
    for name in ("4.png", "5.png"):
        picture(root / name, 20 * int(name[0]) + 7)
    rows = ("0.png,a", "c.png,c", "1.png,b", "2.png,a", "3.png,b", "4.png,a", "5.png,b")
    write(root / "train.csv", "ID,target", *rows)
    write(root / "test.csv", "ID,target", "t0.png,c", "t1.png,b", "t2.png,a")
    (root / "meta.csv").unlink()
    return root


def test_dropped_classes_are_in_no_part_of_the_data_set(scarce: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = opened(scarce, rare_classes="drop", n_folds=3)
    train, test = data.pages.train, data.pages.test
    assert data.pages.targets == data.pages.class_names == ["a", "b"]
    assert train.labels is not None and test is not None and test.labels is not None
    assert "c.png" not in train.ids and train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert (test.ids, test.labels.tolist()) == (["t1.png", "t2.png"], [1, 0])
    assert len(data.train_images) == 6 and data.test_images is not None and len(data.test_images) == 2
    assert len(data.digests) == 8
    assert "Left out the classes with fewer pages than validation.folds=3, in the test too: c (1)." in caplog.text
    rows = (scarce / "train.csv").read_text(encoding="utf-8").replace("c.png,c\n", "")
    write(scarce / "train.csv", rows)
    write(scarce / "test.csv", "ID,target", "t1.png,b", "t2.png,a")
    assert opened(scarce).fingerprint == data.fingerprint, "as if they had never been there"


def test_nothing_is_dropped_where_all_have_enough(scarce: Path) -> None:
    assert opened(scarce, rare_classes="drop", n_folds=1).pages.targets == ["a", "b", "c"]


def test_dropping_all_but_one_is_refused(scarce: Path) -> None:
    write(scarce / "train.csv", "ID,target", "0.png,a", "1.png,b", "2.png,a", "c.png,c")
    with pytest.raises(DataError, match=r"at least 2 classes with 2 pages each.*b \(1\), c \(1\)"):
        opened(scarce, rare_classes="drop", n_folds=2)


def _exclude(root: Path) -> dict[str, Path]:
    write(root / "exclude.csv", "ID", "c.png")
    return {"exclude": root / "exclude.csv"}


def _correct(root: Path) -> dict[str, Path]:
    write(root / "corrections.csv", "ID,old,new", "c.png,c,")
    return {"corrections": root / "corrections.csv"}


def _relabel(root: Path) -> dict[str, Path]:
    write(root / "corrections.csv", "ID,old,new", "c.png,c,a")
    return {"corrections": root / "corrections.csv"}


def _damage(root: Path) -> dict[str, str]:
    (root / "c.png").write_bytes(b"")
    return {"on_error": "drop"}


def _lose(root: Path) -> dict[str, str]:
    (root / "c.png").unlink()
    return {"on_error": "drop"}


def _never_have(root: Path) -> dict[str, str]:
    rows = (root / "train.csv").read_text(encoding="utf-8").replace("c.png,c\n", "")
    write(root / "train.csv", rows)
    write(root / "meta.csv", "target,class_name", "a,a", "b,b", "c,c")
    return {}


EMPTIED = pytest.mark.parametrize("empty", [_exclude, _correct, _relabel, _damage, _lose, _never_have])


@EMPTIED
@pytest.mark.parametrize("split_file", [False, True])
def test_a_class_that_has_lost_all_its_pages_is_rare(
    scarce: Path, empty: Callable[[Path], dict[str, Any]], split_file: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_once.cache_clear()
    data = opened(scarce, **empty(scarce))
    assert data.pages.targets == ["a", "b", "c"] and "c.png" not in [*data.pages.train.ids][6:]
    write(scarce / "folds.csv", "ID,fold", *(f"{name},{i // 2 % 3}" for i, name in enumerate(data.pages.train.ids)))
    validation = Validation(folds=3, split_file=str(scarce / "folds.csv") if split_file else None)
    with pytest.raises(DataError, match=r"got none that can be used of c\. .*data\.rare_classes=drop"):
        validation.assign(data)
    assert sorted(set(validation.assign(data, "train").tolist())) == [0, 1, 2]
    assert "Never predicted, since no training page of the class can be used: c." in caplog.text


@EMPTIED
def test_a_class_that_has_lost_all_its_pages_is_dropped(
    scarce: Path, empty: Callable[[Path], dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    warn_once.cache_clear()
    data = opened(scarce, rare_classes="drop", n_folds=3, **empty(scarce))
    assert data.pages.targets == ["a", "b"] and data.pages.emptied == []
    assert data.pages.test is not None and data.pages.test.ids == ["t1.png", "t2.png"]
    assert "in the test too: c (0)." in caplog.text
    assert len(Validation(folds=3).assign(data)) == len(data.pages.train)


def test_a_class_of_meta_csv_that_no_page_has_is_told_and_allowed(
    scarce: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _never_have(scarce)
    write(scarce / "test.csv", "ID,target", "t1.png,b", "t2.png,a")
    data = opened(scarce)
    assert "meta.csv has classes of which train.csv has no page: c." in caplog.text
    assert Validation(folds=3).assign(data).tolist() and data.pages.emptied == []


def test_a_folder_whose_pages_are_all_excluded_is_rare(tmp_path: Path) -> None:
    for i, place in enumerate(["a/0.png", "a/1.png", "b/0.png", "b/1.png", "c/0.png"]):
        (tmp_path / "root" / place).parent.mkdir(parents=True, exist_ok=True)
        picture(tmp_path / "root" / place, 40 * i)
    write(tmp_path / "exclude.csv", "ID", "c/0.png")
    data = opened(tmp_path / "root", read_folder, exclude=tmp_path / "exclude.csv")
    with pytest.raises(DataError, match="none that can be used of c"):
        Validation(folds=2).assign(data)


def test_classes_too_rare_for_finalists_alone_are_refused_without_the_advice_that_was_followed(
    cfg: DictConfig, pages_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "few"
    shutil.copytree(pages_root, root)
    rows = (root / "train.csv").read_text(encoding="utf-8").splitlines()
    (root / "train.csv").write_text("\n".join(rows[:-4]), encoding="utf-8")
    cfg.data.root, cfg.data.rare_classes, cfg.validation.folds = str(root), "drop", 3
    finalist = cfg.copy()
    finalist.validation.folds, finalist.validation.seed = 5, cfg.validation.seed + 1
    with pytest.raises(DataError) as refused:
        preflight(cfg, finalist)
    assert str(refused.value).endswith(
        "got fewer of letter of intent (4). Add pages, merge classes, use fewer folds, or say data.rare_classes=train "
        "to have them in training only. This concerns the finalists only: finalists.validation=null scores them as the "
        "trials are."
    )


@pytest.mark.slow
def test_the_look_at_a_data_set_refuses_what_a_training_would(scarce: Path, tmp_path: Path) -> None:
    given = ("data=csv", f"data.root={scarce}", "data.near_duplicates=null")
    status, output = python("docclf.data", *given, cwd=tmp_path, warn=False)
    assert status == 1 and "of every class for validation.folds=3, got fewer of c (1)" in output
    for rare in ("drop", "train"):
        status, output = python("docclf.data", *given, f"data.rare_classes={rare}", cwd=tmp_path, warn=False)
        assert status == 0, output
    write(scarce / "exclude.csv", "ID", "c.png")
    status, output = python("docclf.data", *given, f"data.exclude={scarce / 'exclude.csv'}", cwd=tmp_path, warn=False)
    assert status == 1 and "none that can be used of c" in output
