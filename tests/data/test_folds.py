"""Folds are the same for every trial, balanced, and respect groups."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from docclf.data.folds import assign_folds, read_folds, split_pages
from docclf.data.pages import Pages, PageSet
from docclf.errors import ConfigError, DataError
from docclf.results.run import write_folds, write_predictions

NAMES = ["invoice", "계약서", "letter of intent"]


def fold(labels: NDArray[np.int64], n_folds: int = 3, seed: int = 42, **options: list[str]) -> NDArray[np.int64]:
    return assign_folds(labels, n_folds=n_folds, seed=seed, class_names=NAMES, **options)


def test_folds_are_identical_across_calls_and_change_with_the_seed() -> None:
    labels = np.repeat([0, 1, 2], 20)
    assert np.array_equal(fold(labels), fold(labels))
    assert not np.array_equal(fold(labels), fold(labels, seed=43))


def test_every_fold_has_its_share_of_every_class() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [30, 13, 4]))
    assignment = fold(labels)
    for label, n in enumerate([30, 13, 4]):
        counts = np.bincount(assignment[labels == label], minlength=3)
        assert counts.sum() == n and np.ptp(counts) <= 1


def test_groups_never_straddle_folds_and_classes_stay_about_balanced() -> None:
    groups = [f"document {i // 4}" for i in range(96)]
    labels = np.array([(i // 4) % 3 for i in range(96)])
    assignment = fold(labels, groups=groups)
    by_group = {g: {int(f) for f, h in zip(assignment, groups, strict=True) if g == h} for g in groups}
    assert all(len(folds) == 1 for folds in by_group.values())
    assert set(assignment) == {0, 1, 2}
    assert all(np.bincount(assignment[labels == label], minlength=3).min() >= 4 for label in range(3))
    assert np.array_equal(assignment, fold(labels, groups=groups))


def test_a_class_with_fewer_pages_than_folds_is_refused_by_name_and_count() -> None:
    with pytest.raises(DataError) as refused:
        fold(np.array([0] * 5 + [1] * 2 + [2] * 3))
    assert str(refused.value).startswith(
        "Expected at least 3 pages of every class for validation.folds=3, got fewer of 계약서 (2)."
    )


def test_a_class_with_fewer_groups_than_folds_is_refused_by_name_and_count() -> None:
    labels = np.repeat([0, 1, 2], 9)
    groups = [f"{label} {i % (2 if label == 1 else 3)}" for i, label in enumerate(labels)]
    with pytest.raises(
        DataError, match=r"at least 3 groups \(near-duplicates are one\) of every class .* got fewer of 계약서 \(2\)\."
    ):
        fold(labels, groups=groups)


def test_a_group_of_several_classes_counts_for_each_of_them() -> None:
    # Three documents that each begin with a letter and go on with an invoice.
    labels, groups = np.array([2, 0, 2, 0, 2, 0]), ["a", "a", "b", "b", "c", "c"]
    assert sorted(fold(labels, groups=groups).tolist()) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DataError, match=r"got fewer of invoice \(1\)"):
        fold(np.array([2, 0, 2, 2, 2, 2]), groups=groups)


def test_a_class_without_any_page_is_no_reason_to_refuse() -> None:
    assert set(fold(np.array([0, 0, 0, 2, 2, 2]))) == {0, 1, 2}


def test_the_refusal_of_too_few_groups_says_how_to_have_no_near_duplicates() -> None:
    with pytest.raises(DataError) as refused:
        fold(np.repeat([0, 1], 3), groups=["a", "b", "c", "d", "d", "e"])
    assert str(refused.value) == (
        "Expected at least 3 groups (near-duplicates are one) of every class for validation.folds=3, got fewer of "
        "계약서 (2). Add pages, merge classes, use fewer folds, or say data.rare_classes=drop to leave these classes "
        "out, or data.rare_classes=train to have them in training only. With data.near_duplicates=null, "
        "near-duplicates are pages of their own."
    )


# A split that is given

IDS = ["영수증 1.png", "a, b.png", "📄.png", "with space.png"]


def test_the_folds_of_another_run_can_be_given(tmp_path: Path) -> None:
    folds = np.array([1, 0, 0, 1])
    write_folds(tmp_path, IDS, folds)
    assert read_folds(tmp_path / "folds.csv", IDS, 2).tolist() == [1, 0, 0, 1]
    assert read_folds(tmp_path / "folds.csv", IDS[::-1], 2).tolist() == [1, 0, 0, 1][::-1], "whatever the order"
    pages = Pages(IDS, [Path(name) for name in IDS], np.array([0, 0, 1, 1]))
    given = split_pages(pages, n_folds=2, seed=0, class_names=NAMES, split_file=str(tmp_path / "folds.csv"))
    assert given.dtype == np.int64 and given.tolist() == [1, 0, 0, 1]
    drawn = split_pages(pages, n_folds=2, seed=0, class_names=NAMES)
    assert drawn.tolist() == fold(np.array([0, 0, 1, 1]), n_folds=2, seed=0).tolist()


@pytest.mark.slow  # its picture
def test_the_predictions_of_another_run_can_be_given(tmp_path: Path) -> None:
    pages = Pages(IDS, [Path(name) for name in IDS], np.array([0, 0, 1, 1]))
    write_predictions(
        tmp_path, PageSet(["a", "b"], ["a", "b"], pages), np.array([1, 0, 0, 1]), np.full((4, 2), 0.5, dtype=np.float32)
    )
    assert read_folds(tmp_path / "oof.csv", IDS, 2).tolist() == [1, 0, 0, 1]


ROWS = ["ID,fold", "1,0", "2,1", "3,0"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["ID,fold", "1,0", "2,1"], "in {path}, got others for 1 of 3: 3 (none)."),
        (
            ["ID,fold", "1,0", "2,1", "3,2"],
            "Expected a fold from 0 to 1 for every page in {path}, got others for 1 of 3",
        ),
        (["ID,fold", "1,0", "2,1", "3"], "got others for 1 of 3: 3 (none)."),
        (["ID,fold", "1,0", "2,1", "3,0.5"], "got others for 1 of 3: 3 (0.5)."),
        (["fold,ID", "0,1", "1,2", "0"], "got others for 1 of 3: 3 (none)."),
        (["ID,fold"], "got others for 3 of 3: 1 (none), 2 (none), 3 (none)."),
        (["ID,fold", "1,-1", "2,1", "3,"], "got others for 2 of 3: 1 (-1), 3 (none)."),
        (
            ["ID,fold", "1,0", "2,0", "3,0"],
            "of 2 folds of {path}, got none in 1. Number two folds or more from 0, without gaps.",
        ),
        (["ID,fold", "1,1", "2,1", "3,1"], "got none in 0. Number two folds or more from 0, without gaps."),
        ([*ROWS, "1,1"], "Expected every page once in {path}, got 1 with the folds 0 and 1."),
    ],
)
def test_a_split_that_does_not_fit_the_pages_is_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    path = tmp_path / "folds.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(DataError) as refused:
        read_folds(path, ["1", "2", "3"], 2)
    assert message.format(path=path) in str(refused.value)


@pytest.mark.parametrize("content", ["ID,group\n1,0", "name,fold\n1,0", None, "ID,fold\n영수증,0", ""])
def test_a_split_file_that_is_none_is_refused_by_its_key(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "folds.csv"
    if content is not None:
        path.write_text(content, encoding="cp949")
    with pytest.raises(ConfigError) as refused:
        read_folds(path, ["1"], 2)
    assert str(refused.value).startswith(
        f"Expected `validation.split_file` to be a CSV file with the columns ID and fold, got {path}: "
    )


def test_a_split_may_have_a_bom_spare_pages_and_spare_columns(tmp_path: Path) -> None:
    path = tmp_path / "folds.csv"
    path.write_text("\n".join(["fold,ID,note", "0,1,x", "1,2,", "7,9,y"]), encoding="utf-8-sig")
    assert read_folds(path, ["1", "2"], 2).tolist() == [0, 1]


def test_pages_whose_ids_are_composed_alike_keep_the_folds_of_a_run(tmp_path: Path) -> None:
    composed, decomposed = (f"{unicodedata.normalize(form, '서식')}/0.png" for form in ("NFC", "NFD"))
    write_folds(tmp_path, [composed, decomposed, " b/0.png"], np.array([1, 0, 1]))
    assert read_folds(tmp_path / "folds.csv", [decomposed, composed, " b/0.png"], 2).tolist() == [0, 1, 1]
    write_folds(tmp_path, [composed, "b/0.png"], np.array([1, 0]))
    assert read_folds(tmp_path / "folds.csv", [f"train/{decomposed}", "b/0.png"], 2).tolist() == [1, 0]


def test_a_split_may_be_written_as_other_csv_files(tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text("ID; fold\ntrain/1.png;0.0\n2.png; 1.0\n\n3.png;1", encoding="utf-8")
    assert read_folds(tmp_path / "folds.csv", ["1.png", "train/2.png", "3.png"], 2).tolist() == [0, 1, 1]


def test_a_class_that_no_model_has_trained_on_is_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = Pages(IDS, [Path(name) for name in IDS], np.array([0, 1, 1, 0]))
    for folds, rare in (([0, 1, 1, 1], "raise"), ([0, 0, 1, 1], "raise"), ([0, -1, -1, 1], "train")):
        write_folds(tmp_path, IDS, np.array(folds))
        split_pages(pages, n_folds=2, seed=0, class_names=NAMES, split_file=tmp_path / "folds.csv", rare=rare)
        assert ("has not trained on the class: 계약서. Divide" in caplog.text) is (folds == [0, 1, 1, 1])
        caplog.clear()


@pytest.mark.parametrize(
    ("groups", "folds", "n", "example"),
    [
        ("a a b b", [0, 1, 1, 0], 2, f"{IDS[0]} (fold 0) and {IDS[1]} (fold 1)"),
        ("a b c b", [0, 0, 1, 1], 1, f"{IDS[1]} (fold 0) and {IDS[3]} (fold 1)"),
        ("a b c b", [0, -1, 1, 1], 1, f"{IDS[1]} (fold -1) and {IDS[3]} (fold 1)"),
        ("a a b b", [0, 0, 1, 1], 0, ""),
        ("a a b c", [-1, -1, 0, 1], 0, ""),
    ],
)
def test_groups_that_a_split_divides_are_spoken_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, groups: str, folds: list[int], n: int, example: str
) -> None:
    pages = Pages(IDS, [Path(name) for name in IDS], np.array([0, 1, 0, 1]), groups.split())
    write_folds(tmp_path, IDS, np.array(folds))
    given = split_pages(pages, n_folds=2, seed=0, class_names=NAMES, split_file=tmp_path / "folds.csv", rare="train")
    assert given.tolist() == folds
    assert (f"has {n} groups (near-duplicates are one) in several folds" in caplog.text) is (n > 0)
    assert ("in several folds" in caplog.text) is (n > 0) and example in caplog.text
