"""Two runs compared, on the files that runs write."""

import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from docclf.data.pages import Pages
from docclf.errors import DataError
from docclf.results.comparison import compare_predictions, compare_runs, table
from docclf.results.reading import read_predictions, read_run
from docclf.results.run import write_folds, write_predictions, write_result

NAMES = ["invoice", "계약서", "letter of intent"]
TARGETS = ["0", "7", "10"]
LABELS = np.repeat([0, 1, 2], [9, 8, 4])
CONFIG = {
    "study_name": "search",
    "seed": 42,
    "optimizer": {"lr": 1e-3, "_target_": "torch.optim.AdamW"},
    "validation": {"seed": "${seed}", "epochs": 3, "split_file": None},
    "data": {"root": "pages"},
    "search": {"n_trials": 20},
}


def shares_of(predicted: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Probabilities with these classes on top."""
    shares = np.full((len(predicted), n_classes), 0.1 / n_classes, dtype=np.float32)
    shares[np.arange(len(predicted)), predicted] += 0.9
    return shares


def make_run(
    folder: Path,
    predicted: NDArray[np.int64],
    *,
    names: list[str] = NAMES,
    targets: list[str] = TARGETS,
    labels: NDArray[np.int64] = LABELS,
    ids: list[str] | None = None,
    n_folds: int = 3,
    test: bool = False,
    data: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **result: Any,
) -> Path:
    """What a run leaves, written as a run writes it; its test pages are its training pages but the last 5."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = ids or [f"쪽, {i}.png" for i in range(len(labels))]
    pages = Pages(ids, [Path(name) for name in ids], labels)
    folds = np.arange(len(labels)) % n_folds
    facts = {"fingerprint": "f00d", "targets": targets, "class_names": names} if data is None else data
    write_result(folder, {"state": "COMPLETE", "data": facts, "folds": [0.5, 0.7], **result})
    write_folds(folder, ids, folds)
    data_set: Any = SimpleNamespace(targets=targets, class_names=names, train=pages, test=None)
    write_predictions(folder, data_set, folds, shares_of(predicted, len(names)))
    if test:
        rows = [line.split('",') for line in (folder / "oof.csv").read_text(encoding="utf-8").splitlines()[1:-5]]
        without_fold = [f'{page}",{more.split(",")[0]},{",".join(more.split(",")[2:])}' for page, more in rows]
        text = "\n".join([",".join(["ID", "target", *names]), *without_fold])
        (folder / "predictions_test.csv").write_text(text, encoding="utf-8")
    (folder / ".hydra").mkdir(exist_ok=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config or CONFIG, sort_keys=False), encoding="utf-8")
    return folder


@pytest.fixture
def predicted() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of A, which is often wrong, and of B, which is better for two classes and worse for one."""
    a, b = LABELS.copy(), LABELS.copy()
    a[[0, 1, 2, 9, 10]] = [1, 1, 2, 0, 0]
    b[[3, 17, 18]] = [1, 0, 0]
    return a, b


def make_two(folder: Path, predicted: tuple[NDArray[np.int64], ...], **options: Any) -> tuple[Path, Path]:
    return make_run(folder / "a", predicted[0]), make_run(folder / "b", predicted[1], **options)


# Reading


def test_predictions_are_read_as_they_were_written(tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]) -> None:
    found = read_predictions(make_run(tmp_path, predicted[0]) / "oof.csv")
    assert found.ids == [f"쪽, {i}.png" for i in range(21)] and found.class_names == NAMES
    assert found.targets == [TARGETS[label] for label in LABELS]
    assert found.folds is not None and found.folds.tolist() == [i % 3 for i in range(21)]
    assert found.probabilities == pytest.approx(shares_of(predicted[0], 3), abs=1e-6)
    assert (found.predicted == predicted[0]).all()
    assert read_run(tmp_path).classes == dict(zip(TARGETS, NAMES, strict=True))


@pytest.mark.parametrize("names", [["fold", "ID", "target"], ["ID", "target", "fold"], ["target", "fold", "ID"]])
def test_a_class_may_be_called_as_a_column_is(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...], names: list[str]
) -> None:
    a = read_run(make_run(tmp_path / "a", predicted[0], names=names, test=True))
    assert a.predictions.class_names == names and a.predictions.folds is not None
    assert a.test is not None and a.test.class_names == names and a.test.folds is None
    assert (a.test.predicted == predicted[0][:-5]).all()
    b = make_run(tmp_path / "b", predicted[1], names=names, test=True)
    text = compare_runs(tmp_path / "a", b)
    assert "21 out-of-fold pages:" in text and "16 test pages:" in text


def test_whole_numbers_as_a_spreadsheet_writes_them_are_probabilities(tmp_path: Path) -> None:
    (tmp_path / "oof.csv").write_text("\ufeffID,target,a,b\r\nx,a,0,1\r\n\r\ny,b,1,0\r\n", encoding="utf-8")
    found = read_predictions(tmp_path / "oof.csv")
    assert found.class_names == ["a", "b"] and found.folds is None and found.predicted.tolist() == [1, 0]


def test_classes_are_their_targets_where_a_result_does_not_name_these(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    run = read_run(make_run(tmp_path / "a", predicted[0], targets=NAMES, data={"fingerprint": "f00d"}))
    assert run.classes == {name: name for name in NAMES}
    facts: dict[str, Any] = {"fingerprint": "f00d"}
    for more in ({}, {"targets": TARGETS, "class_names": NAMES[::-1]}, {"targets": ["0"], "class_names": NAMES}):
        older = make_run(tmp_path / "older", predicted[0], data={**facts, **more})
        with pytest.raises(DataError, match=r"Expected targets out of invoice, .* got 0, 10, 7. `data.targets` in res"):
            compare_runs(older, older)


BROKEN = {
    "": "begin with ID,target, got ''",
    "state: COMPLETE\n": "begin with ID,target, got 'state: COMPLETE'",
    "ID,target,fold,a,b\n": "a row for each page in .*, got none",
    "ID,target,fold\nx,a,0\n": "a column for each class",
    "ID,target,fold,a,a\nx,a,0,0.5,0.5\n": "a column for each class in .*, each with another name",
    "ID,target,fold,a,b\nx,a,0,0.5\n": "5 values in each row of .*, got 4 in row 2",
    "ID,target,fold,a,b\nx,a,0,0.5,much\n": "could not convert string to float: '?much",
    "ID,target,fold,a,b\nx,a,0,0.5,nan\n": "from 0 to 1 in .*, got others for x",
    "ID,target,fold,a,b\nx,a,0,0.5,0.5\ny,a,0,1.5,0.5\n": "from 0 to 1 in .*, got others for y",
    f"ID,target,fold,a,b\nx,a,{10**30},0.5,0.5\n": "from 0 to 1 in .*, got others for x",
    "ID,target,fold,a,b\nx,a,0,0.5,0.5\nx,a,1,0.5,0.5\n": "each ID once in .*, got x several times",
    'ID,target,fold,a,b\n"x,a,0,0.5,0.5\n' + "y" * 200_000: "as CSV in UTF-8, got something else: field larger",
    "ID,target,fold,a,b\nx,a,0,0.5,0.5\n\0": "values in each row|line contains NUL",
}


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_what_are_no_predictions_is_refused_with_the_file_and_the_reason(tmp_path: Path, text: str) -> None:
    path = tmp_path / "oof.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=BROKEN[text]) as refused:
        read_predictions(path)
    assert str(path) in str(refused.value)


def test_a_picture_and_a_missing_file_are_no_predictions(tmp_path: Path) -> None:
    (tmp_path / "oof.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match=r"Expected .*oof.csv as CSV in UTF-8, got something else"):
        read_predictions(tmp_path / "oof.csv")
    with pytest.raises(DataError, match=r"Expected .*other.csv, got no such file"):
        read_predictions(tmp_path / "other.csv")


def test_a_search_stands_for_its_best_run(tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]) -> None:
    make_run(tmp_path / "best", predicted[1])
    (tmp_path / "best" / ".hydra" / "config.yaml").rename(tmp_path / "best" / "config.yaml")  # as it is exported
    run = read_run(tmp_path)
    assert run.folder == tmp_path / "best" and run.config["optimizer.lr"] == "0.001"


def test_runs_that_are_none_or_did_not_finish_are_refused_with_what_they_are(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    with pytest.raises(DataError, match=r"Expected the folder of a run or of a search, got .*nowhere, which is none"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"got neither result.yaml nor oof.csv. Wait for its end"):
        read_run(tmp_path)
    for number in ("12", "3"):
        make_run(tmp_path / number, predicted[0])
    with pytest.raises(DataError, match=r"or the best one in .*best, got none. Name one inside: 12, 3"):
        read_run(tmp_path)
    write_result(tmp_path, {"state": "FAIL", "cause": "NonFiniteLossError: lr\nsecond line"})
    with pytest.raises(DataError, match=r"got state FAIL \(NonFiniteLossError: lr second line\) and no oof.csv"):
        read_run(tmp_path)


@pytest.mark.parametrize("name", ["result.yaml", "folds.csv", ".hydra/config.yaml", "predictions_test.csv"])
@pytest.mark.parametrize("content", [b"[1, 2", b"- 1\n- 2\n", b"\xff\xfe\x00", b"42", b"a: {b: ${a.b}}", b""])
def test_a_damaged_file_is_named(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...], name: str, content: bytes
) -> None:
    a, b = make_two(tmp_path, predicted)
    (b / name).write_bytes(content)
    try:
        text = compare_runs(a, b)
    except DataError as error:
        assert name in str(error) or content in (b"a: {b: ${a.b}}", b"")
    else:
        assert name == ".hydra/config.yaml" and content in (b"a: {b: ${a.b}}", b""), "an odd config is a config"
        assert "config" in text


# Comparing


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
        "validation": {"seed": "${seed}", "epochs": "${oc.decode:'3'}"},
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
    (b / ".hydra" / "config.yaml").write_text("seed: 42\nx: ${now:%H}\n")
    assert "\nx  " in compare_runs(a, b) and "${now:%H}" in compare_runs(a, b), "what only Hydra resolves"
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
    assert f"validation.split_file='{a / 'folds.csv'}'".replace("'", "'\"'\"'") in str(refused.value)
    assert "validation.folds=3" in str(refused.value) and "--anyway" in str(refused.value)
    assert "21 out-of-fold pages: " in compare_runs(a, b, anyway=True)
    (b / "folds.csv").unlink()
    with pytest.raises(DataError, match="the same folds"):
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
