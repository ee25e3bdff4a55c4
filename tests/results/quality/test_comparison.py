"""Two runs compared, on the files that runs write."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from made_runs import CONFIG, LABELS, NAMES, TARGETS, make_run, make_two
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from docclf.errors import DataError
from docclf.results.quality.comparison import compare_predictions, compare_runs, table
from docclf.results.reading import read_run


def test_scores_differences_and_classes_are_those_of_scikit_learn(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    a, b = (read_run(folder) for folder in make_two(tmp_path, predicted))
    found = compare_predictions(a.predictions, b.predictions, a.classes, b.classes)
    expected = [f1_score(LABELS, classes, average="macro") for classes in predicted]
    assert found.scores == pytest.approx(expected)
    assert found.difference.value == pytest.approx(expected[1] - expected[0])
    assert found.difference.low < found.difference.value < found.difference.high
    assert found.f1 == pytest.approx(np.array([f1_score(LABELS, classes, average=None) for classes in predicted]))
    assert found.class_names == NAMES and found.pages.tolist() == [9, 8, 4] and found.more == (0, 0)


def test_the_text_says_it_all_with_columns_below_each_other(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    a, b = make_two(tmp_path, predicted, state="FAIL", folds=[0.25, 0.5, 0.9])
    lines = compare_runs(a, b).splitlines()
    scores = [f1_score(LABELS, classes, average="macro") for classes in predicted]
    assert lines[:4] == [
        f"A  {a}",
        f"   macro-F1 0.600, mean of 2 folds (0.500, 0.700, spread 0.141); pooled {scores[0]:.3f}",
        f"B  {b}",
        f"   macro-F1 0.550, mean of 3 folds (0.250, 0.500, 0.900, spread 0.328); pooled {scores[1]:.3f}; state FAIL",
    ]
    assert lines[5] == f"21 out-of-fold pages: macro-F1 of A {scores[0]:.3f}, of B {scores[1]:.3f}"
    assert lines[6].startswith(f"B - A: {scores[1] - scores[0]:+.3f} (95 % interval -0.")
    assert lines[7:11] == [
        "class             F1 of A  F1 of B   B - A  pages",
        "계약서              0.750    0.941  +0.191      8",
        "invoice             0.706    0.842  +0.136      9",
        "letter of intent    0.889    0.667  -0.222      4",
    ], "a syllable of Hangul is two cells wide"
    assert "The configs are the same." in lines


def test_what_differs_in_the_configs_is_listed_once(tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]) -> None:
    other = {
        **CONFIG,
        "study_name": "other",
        "seed": 7,
        "optimizer": {"lr": 1e-5, "_target_": "torch.optim.AdamW", "betas": [0.9, 0.99]},
        "validation": {"seed": "${seed}", "epochs": "${oc.select:nothing,3}"},
        "data": {"root": "/elsewhere"},
        "search": {"n_trials": 50},
        "hydra": {"job": {"num": 3}},
        "model": {"name": "모델"},
    }
    a, b = make_two(tmp_path, predicted, config=other)
    assert read_run(b).resolved["validation.seed"] == "7"
    text = compare_runs(a, b)
    assert text.split("\n\n")[2].splitlines() == [
        "config                 A      B",
        "seed                   42     7",
        "optimizer.lr           0.001  1e-05",
        "validation.split_file  null   -",
        "optimizer.betas        -      [0.9, 0.99]",
        "model.name             -      모델",
    ]
    (b / ".hydra" / "config.yaml").write_text("seed: 42\nx: ${theirs:%H}\n")
    assert "\nx  " in compare_runs(a, b) and "${theirs:%H}" in compare_runs(a, b), "what only another program resolves"
    (b / ".hydra" / "config.yaml").write_text("seed: 42\nx: ${oc.env:PATH}\ny: '${oc.env:${x}}'\n")
    assert "${oc.env:PATH}" in compare_runs(a, b) and os.environ["PATH"] not in compare_runs(a, b)
    (b / ".hydra" / "config.yaml").unlink()
    assert f"The configs are not compared: no .hydra/config.yaml in {b}." in compare_runs(a, b)


def test_other_data_are_refused_and_compared_anyway_on_the_pages_that_both_have(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    ids = [f"쪽, {i}.png" for i in range(5, 21)] + [f"new {i}" for i in range(5)]
    labels = np.concatenate([LABELS[5:], [0, 1, 2, 0, 1]])
    labels[0] = 2  # relabelled
    facts = {"fingerprint": "beef", "targets": TARGETS, "class_names": NAMES}
    a = make_run(tmp_path / "a", predicted[0])
    b = make_run(tmp_path / "b", labels, ids=ids, labels=labels, data=facts)
    with pytest.raises(
        DataError, match=r"Expected runs on the same data, got the fingerprints f00d of .*a and beef of"
    ):
        compare_runs(a, b)
    text = compare_runs(a, b, anyway=True)
    assert "15 out-of-fold pages that both have (A has 6 more, B 6): macro-F1 of A " in text
    expected = f1_score(LABELS[6:], predicted[0][6:], average="macro")
    assert f"macro-F1 of A {expected:.3f}, of B 1.000" in text
    c = make_run(tmp_path / "c", LABELS, ids=[str(i) for i in range(21)])
    with pytest.raises(DataError, match=r"Expected pages that .* both have, with the same target, got none"):
        compare_runs(a, c, anyway=True)


def test_a_run_whose_data_are_not_known_is_on_other_data(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    a, b = make_two(tmp_path, predicted, targets=NAMES)
    (b / "result.yaml").unlink()
    with pytest.raises(DataError, match=r"the fingerprints f00d of .* and unknown of"):
        compare_runs(a, b)
    with pytest.raises(DataError, match="and unknown of"):
        compare_runs(b, b)
    assert "state unknown" in compare_runs(b, b, anyway=True)


def test_other_folds_are_refused_with_the_override_that_takes_them_over(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    a, b = make_two(tmp_path, predicted, n_folds=4)
    with pytest.raises(DataError) as refused:
        compare_runs(a, b)
    moved = sum(i % 3 != i % 4 for i in range(21))
    assert f"Expected runs on the same folds, got others in {a} and {b} for {moved} pages." in str(refused.value)
    assert f" validation.split_file={a / 'folds.csv'} validation.folds=3. Or add --anyway " in str(refused.value)
    assert "21 out-of-fold pages: " in compare_runs(a, b, anyway=True)
    (b / "folds.csv").unlink()
    with pytest.raises(DataError, match="the same folds"):
        compare_runs(a, b)


def test_runs_of_the_same_pages_from_a_mac_and_from_linux_are_compared(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    ids = [unicodedata.normalize("NFD", f"쪽, {i}.png") for i in range(21)]
    a, b = make_two(tmp_path, predicted, ids=ids)
    assert "21 out-of-fold pages: " in compare_runs(a, b)
    make_run(b, predicted[1], ids=ids, n_folds=4)
    with pytest.raises(DataError, match=f"for {sum(i % 3 != i % 4 for i in range(21))} pages"):
        compare_runs(a, b)


def test_runs_with_one_fold_of_the_same_split_are_compared_on_its_pages(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    a, b = make_two(tmp_path, predicted)
    lines = (b / "oof.csv").read_text(encoding="utf-8").splitlines()
    (b / "oof.csv").write_text("\n".join([lines[0], *lines[1::3]]), encoding="utf-8")
    assert "7 out-of-fold pages that both have (A has 14 more, B 0)" in compare_runs(a, b)


def test_classes_are_the_same_by_their_targets_whatever_their_order(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", LABELS)
    shifted = (LABELS + 1) % 4
    order, targets = ["new", *NAMES], ["99", *TARGETS]
    b = make_run(tmp_path / "b", np.where(LABELS == 2, 0, LABELS + 1), names=order, targets=targets, labels=shifted)
    text = compare_runs(a, b, anyway=True)
    assert "21 out-of-fold pages: macro-F1 of A 1.000, of B 0.500" in text, "a class too many has an F1 of 0"
    assert "new                     -    0.000       -      0" in text
    assert "letter of intent    1.000    0.000  -1.000      4" in text


def test_a_class_is_called_as_a_calls_it(tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]) -> None:
    names = ["bill", *NAMES[1:]]
    facts = {"fingerprint": "f00d", "targets": TARGETS, "class_names": names}
    a, b = make_two(tmp_path, predicted, names=names, data=facts)
    assert "\ninvoice  " in compare_runs(a, b) and "\nbill  " in compare_runs(b, a)


def test_pages_without_a_target_are_in_no_score(tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]) -> None:
    a, b = make_two(tmp_path, predicted)
    text = (b / "oof.csv").read_text(encoding="utf-8").replace('"쪽, 3.png",0,', '"쪽, 3.png",,')
    (b / "oof.csv").write_text(text, encoding="utf-8")
    rest = np.arange(21) != 3
    pooled = f1_score(LABELS[rest], predicted[1][rest], average="macro")
    assert f"pooled {pooled:.3f}" in compare_runs(a, b)
    assert "20 out-of-fold pages that both have (A has 1 more, B 1)" in compare_runs(a, b)


def test_test_pages_are_a_section_of_their_own_where_both_runs_have_them(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    a, b = make_run(tmp_path / "a", predicted[0], test=True), make_run(tmp_path / "b", predicted[1])
    assert "test pages" not in compare_runs(a, b)
    make_run(b, predicted[1], test=True)
    expected = [f1_score(LABELS[:-5], classes[:-5], average="macro") for classes in predicted]
    scores = f"16 test pages: macro-F1 of A {expected[0]:.3f}, of B {expected[1]:.3f}\nB - A: "
    assert scores in compare_runs(a, b)
    text = (b / "predictions_test.csv").read_text(encoding="utf-8")
    for target in TARGETS:
        text = text.replace(f'",{target},', '",,')
    for run in (b, a):
        (run / "predictions_test.csv").write_text(text, encoding="utf-8")
        assert "The test pages are not compared. Expected pages that " in compare_runs(a, b), "no labels, no scores"
    (b / "predictions_test.csv").write_text("ID,target,x,y\np,x,0.5,0.5\n")
    assert "not compared. Expected the classes of oof.csv in " in compare_runs(a, b)


@pytest.mark.parametrize(
    ("cell", "cells"),
    [
        ("계약서", 6),
        (unicodedata.normalize("NFD", "계약서"), 6),  # as macOS writes it
        ("🧾", 2),
        ("é", 1),
        ("x\u0301", 1),  # an accent on a letter that never has one
        ("abc", 3),
        ("a\n b\t", 3),
        ("\x1b[1m", 4),
    ],
)
def test_cells_have_the_width_that_a_terminal_gives_them(cell: str, cells: int) -> None:
    (line,) = table([[cell, "x"]])
    padded, wide = table([[cell, "x"], ["w" * 10, "x"]])
    assert line.endswith("  x") and "\x1b" not in line and "\n" not in line
    assert padded.count(" ", len(line) - 3) == 10 - cells + 2 and wide == "wwwwwwwwww  x"
