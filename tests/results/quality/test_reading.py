"""What a run left in its folder, read back and checked."""

import csv
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import CONFIG, LABELS, NAMES, TARGETS, make_run, make_two, shares_of
from numpy.typing import NDArray
from slowly import slowly

import docclf
from docclf.compare import main as compare
from docclf.errors import DataError
from docclf.inference.folder import find_model
from docclf.results.quality.comparison import compare_runs
from docclf.results.reading import baseline_run, read_predictions, read_run
from docclf.results.run import write_result


def test_predictions_are_read_as_they_were_written(tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]) -> None:
    found = read_predictions(make_run(tmp_path, predicted[0]) / "oof.csv")
    assert found.ids == [f"쪽, {i}.png" for i in range(21)] and found.class_names == NAMES
    assert found.targets == [TARGETS[label] for label in LABELS]
    assert found.folds is not None and found.folds.tolist() == [i % 3 for i in range(21)]
    assert found.probabilities == pytest.approx(shares_of(predicted[0], 3), abs=1e-6)
    assert (found.predicted == predicted[0]).all()
    assert read_run(tmp_path).classes == dict(zip(TARGETS, NAMES, strict=True))


def test_the_config_of_a_run_is_resolved_where_nothing_else_was_imported(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    config = CONFIG | {"finalists": {"seed": "${docclf.other_seed:${seed}}"}, "copy": "${data.root}"}
    make_run(tmp_path, predicted[0], config=config)
    code = "import sys; from pathlib import Path; from docclf.results.reading import read_run as r; "
    code += "found = r(Path(sys.argv[1])).resolved; print(found['finalists.seed'], found['copy'])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "1042 pages\n", done.stderr


@pytest.mark.parametrize(
    "names",
    [
        ["fold", "ID", "target"],
        ["ID", "target", "fold"],
        ["target", "fold", "ID"],
        ["ID", "ID (class)", "ID (class) (class)"],
        ["problem", "confidence (class)", "confidence"],
    ],
)
def test_a_class_may_be_called_as_a_column_is(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...], names: list[str]
) -> None:
    a = read_run(make_run(tmp_path / "a", predicted[0], names=names, test=True))
    assert a.predictions.class_names == names and a.predictions.folds is not None
    assert list(a.classes.values()) == names
    with (tmp_path / "a" / "oof.csv").open(encoding="utf-8", newline="") as file:
        assert max(Counter(next(csv.reader(file))).values()) == 1, "no two columns are called alike"
    assert a.test is not None and a.test.class_names == names and a.test.folds is None
    assert (a.test.predicted == predicted[0][:-5]).all()
    b = make_run(tmp_path / "b", predicted[1], names=names, test=True)
    text = compare_runs(tmp_path / "a", b)
    assert "21 out-of-fold pages:" in text and "16 test pages:" in text


def test_a_file_of_an_earlier_release_whose_class_is_called_as_a_column_is_read(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    names = ["fold", "ID", "target"]
    make_run(tmp_path, predicted[0], names=names)
    path = tmp_path / "oof.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(" (class)", ""), encoding="utf-8")
    assert path.read_text(encoding="utf-8").startswith("ID,target,fold,fold,ID,target\n")
    run = read_run(tmp_path)
    assert list(run.classes.values()) == names and (run.predictions.predicted == predicted[0]).all()


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


def test_a_search_knows_where_its_baseline_was_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"Expected two runs, or a search .* without one in best/verdict\.yaml"):
        baseline_run(tmp_path)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "verdict.yaml").write_text("baseline: {folder: finalists/1}", encoding="utf-8")
    assert baseline_run(tmp_path) == tmp_path / "finalists" / "1"
    same = "exported: winner\nwinner: {folder: finalists/1}\nbaseline: {folder: finalists/1}"
    (tmp_path / "best" / "verdict.yaml").write_text(same, encoding="utf-8")
    assert baseline_run(tmp_path) is None
    assert compare([str(tmp_path)]) == 0
    assert "is its baseline: there is nothing to compare" in capsys.readouterr().out


@pytest.mark.parametrize(
    "look",
    [
        read_run,
        baseline_run,
        find_model,
        docclf.best_config,
        docclf.read_search,
        docclf.load_model,
        lambda folder: compare_runs(folder, folder),
    ],
)
def test_a_search_that_was_stopped_in_its_first_trial_is_called_so(tmp_path: Path, look: Callable[[Path], Any]) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "multirun.yaml").write_text("hydra: {}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a search with a finished trial in .*Give the command of the search again"):
        look(tmp_path)


def test_runs_that_are_none_or_did_not_finish_are_refused_with_what_they_are(
    tmp_path: Path, predicted: tuple[NDArray[np.int64], ...]
) -> None:
    with pytest.raises(
        DataError, match=r"Expected the folder of a run or of a search, got .*nowhere: no such folder\."
    ):
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


@pytest.mark.parametrize("name", ["result.yaml", "folds.csv", *slowly(".hydra/config.yaml", "predictions_test.csv")])
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
