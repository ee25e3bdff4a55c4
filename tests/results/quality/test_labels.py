"""Labels that look wrong are found among simulated out-of-fold probabilities, listed and shown."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import LABELS, NAMES, TARGETS, make_run
from numpy.typing import NDArray
from PIL import Image

from docclf.data.cache.decoded import PageArray
from docclf.errors import DataError
from docclf.results.quality.labels import find_wrong_labels, read_label_issues, suspects_of, write_label_issues
from docclf.results.reading import read_run

Simulated = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def simulate(n: int, n_classes: int, share: float, sure: float = 5.0, seed: int = 0) -> Simulated:
    """True labels, those given, a share of which are wrong, and what a model says that knows the true ones."""
    random = np.random.default_rng(seed)
    true = random.integers(n_classes, size=n)
    wrong = random.random(n) < share
    given = np.where(wrong, (true + random.integers(1, n_classes, size=n)) % n_classes, true)
    logits = random.normal(size=(n, n_classes))
    logits[np.arange(n), true] += sure
    shares = np.exp(logits)
    return true, given, (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


COLUMNS = ["ID", "given", "suggested", "score", "same_as", "given_name", "suggested_name"]


def blank(n: int, channels: int = 3) -> PageArray:
    return PageArray(np.full((n, 16, 16, channels), 200, dtype=np.uint8))


def write(folder: Path, given: NDArray[np.int64], probabilities: NDArray[np.float32]) -> list[list[str]]:
    """The rows of the table, for pages and classes that are called by their numbers."""
    n, n_classes = probabilities.shape
    names = [f"class {label}" for label in range(n_classes)]
    targets = [str(label) for label in range(n_classes)]
    ids = [f"{i}.png" for i in range(n)]
    found = write_label_issues(folder, ids, given, names, targets, probabilities, blank(n))
    header, *rows = table(folder)
    assert header == COLUMNS and len(rows) == found
    return rows


def table(folder: Path) -> list[list[str]]:
    with (folder / "label_issues.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


# What is found


@pytest.mark.parametrize(
    ("n", "n_classes", "share", "recall", "precision"),
    [(10000, 17, 0.03, 0.75, 0.95), (2000, 12, 0.1, 0.75, 0.95), (1000, 2, 0.05, 0.7, 0.9), (300, 3, 0.05, 0.7, 0.9)],
)
def test_planted_wrong_labels_are_found_and_few_others(
    n: int, n_classes: int, share: float, recall: float, precision: float
) -> None:
    true, given, probabilities = simulate(n, n_classes, share)
    pages, scores = find_wrong_labels(given, probabilities)
    planted = true != given
    assert planted[pages].sum() / planted.sum() >= recall
    assert planted[pages].mean() >= precision
    assert len(set(pages.tolist())) == len(pages) == len(scores)


def test_the_score_is_the_margin_of_the_given_label_and_the_worst_comes_first() -> None:
    _, given, probabilities = simulate(1000, 5, 0.1)
    pages, scores = find_wrong_labels(given, probabilities)
    shares = probabilities[pages].astype(np.float64)
    own = shares[np.arange(len(pages)), given[pages]]
    shares[np.arange(len(pages)), given[pages]] = -1
    assert scores == pytest.approx((1 + own - shares.max(axis=1)) / 2)
    assert len(scores) > 50 and (np.diff(scores) >= 0).all()
    assert scores.min() >= 0 and scores.max() < 0.5, "another class is likelier"


def test_pages_that_no_fold_predicted_are_left_out_and_change_nothing() -> None:
    _, given, probabilities = simulate(600, 4, 0.1)
    kept = np.random.default_rng(1).random(600) < 0.5
    holes = probabilities.copy()
    holes[~kept] = np.nan
    pages, scores = find_wrong_labels(given, holes)
    expected, expected_scores = find_wrong_labels(given[kept], probabilities[kept])
    assert len(pages) > 5
    assert pages.tolist() == np.flatnonzero(kept)[expected].tolist() and scores.tolist() == expected_scores.tolist()


@pytest.mark.parametrize(
    ("given", "predicted"),
    [
        ([], []),
        ([1], [0]),
        ([0, 0, 0], [1, 2, 0]),
        ([2, 2, 2], [0, 1, 2]),
        ([0, 1, 2], [0, 1, 2]),
        ([0, 1, 2], [1, 2, 0]),
        ([0, 0, 1, 1], [0, 0, 1, 1]),
    ],
    ids=str,
)
def test_few_pages_or_classes_are_no_reason_to_suspect_anything(given: list[int], predicted: list[int]) -> None:
    probabilities = np.eye(3, dtype=np.float32)[np.array(predicted, dtype=np.int64)]
    pages, scores = find_wrong_labels(np.array(given, dtype=np.int64), probabilities)
    assert pages.tolist() == scores.tolist() == []


def test_a_class_without_pages_and_one_with_a_single_page_hide_no_other_issue() -> None:
    _, given, probabilities = simulate(400, 3, 0.1)
    alone = find_wrong_labels(given, probabilities)[0]
    wider = np.hstack([probabilities, np.zeros((400, 2), dtype=np.float32)])
    single = np.append(given, 3)
    # The only page of class 3, which no model could learn and all take for class 0, and none of class 4.
    pages, _ = find_wrong_labels(single, np.vstack([wider, np.eye(5)[:1]]))
    assert set(pages.tolist()) == set(alone.tolist()) and len(alone) > 20


def test_probabilities_of_0_and_of_a_rounding_error_above_1_are_taken() -> None:
    given = np.tile([0, 1], 50)
    probabilities = np.eye(2, dtype=np.float32)[given] * np.float32(1.0000001)
    probabilities[4] = probabilities[5]
    pages, scores = find_wrong_labels(given, probabilities)
    assert pages.tolist() == [4] and scores.tolist() == [0]


# What is written


def test_the_table_has_what_the_user_calls_pages_and_classes(tmp_path: Path) -> None:
    given = np.tile([0, 1], 20)
    probabilities = np.where(given[:, None] == [0, 1], 0.9, 0.1)
    probabilities[3] = [0.95, 0.05]
    probabilities[6] = [0.02, 0.98]
    ids = [f"훈련/쪽 {i}, 앞.png" for i in range(40)]
    names = ["영수증, 작은 🧾", '$the$ "other"']
    assert write_label_issues(tmp_path, ids, given, names, ["10", "계약서"], probabilities, blank(40)) == 2
    assert table(tmp_path) == [
        COLUMNS,
        ["훈련/쪽 6, 앞.png", "10", "계약서", "0.020000", "", *names],
        ["훈련/쪽 3, 앞.png", "계약서", "10", "0.050000", "", *names[::-1]],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["label_issues.csv", "label_issues.png"]


def test_excel_is_told_of_hangul_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCCLF_EXCEL", "1")
    given = np.tile([0, 1], 20)
    probabilities = np.where(given[:, None] == [0, 1], 0.9, 0.1)
    probabilities[3] = [0.95, 0.05]
    ids = [f"쪽 {i}.png" for i in range(40)]
    assert write_label_issues(tmp_path, ids, given, ["a", "b"], ["계약서", "영수증"], probabilities, None) == 1
    assert (tmp_path / "label_issues.csv").read_bytes().startswith(b"\xef\xbb\xbfID,given")
    assert [(one.page, one.given) for one in read_label_issues(tmp_path)] == [("쪽 3.png", "영수증")]


def test_pages_that_are_the_same_with_two_labels_are_listed_whatever_is_predicted(tmp_path: Path) -> None:
    given = np.tile([0, 1], 20)
    probabilities = np.where(given[:, None] == [0, 1], 0.9, 0.1)
    ids = [f"={i}.png" for i in range(40)]
    pairs = [(2, 4), (4, 5), (5, 6)]  # of one label, and of two
    assert write_label_issues(tmp_path, ids, given, ["a", "b"], ["0", "1"], probabilities, blank(40), pairs) == 3
    assert [row[:3] + row[4:5] for row in table(tmp_path)[1:]] == [
        ["'=4.png", "0", "0", "'=5.png"],
        ["'=5.png", "1", "1", "'=4.png"],
        ["'=6.png", "0", "0", "'=5.png"],
    ]
    assert [one.page for one in read_label_issues(tmp_path)] == ["=4.png", "=5.png", "=6.png"]


def test_where_all_is_right_the_table_is_empty_and_an_older_picture_leaves(tmp_path: Path) -> None:
    true, given, probabilities = simulate(200, 3, 0.2)
    assert write(tmp_path, given, probabilities)
    assert (tmp_path / "label_issues.png").exists()
    assert write(tmp_path, true, np.eye(3, dtype=np.float32)[true]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["label_issues.csv"]
    assert (tmp_path / "label_issues.csv").read_bytes() == ",".join(COLUMNS).encode() + b"\r\n"


def test_nothing_predicted_is_nothing_wrong(tmp_path: Path) -> None:
    assert write(tmp_path, np.arange(6) % 3, np.full((6, 3), np.nan, dtype=np.float32)) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_shows_the_worst_pages_in_their_order(tmp_path: Path, channels: int) -> None:
    """Every page has a grey of its own, which is looked up in the picture."""
    _, given, probabilities = simulate(200, 3, 0.3, seed=3)
    greys = np.arange(200, dtype=np.uint8) + 20
    images = PageArray(np.broadcast_to(greys[:, None, None, None], (200, 16, 16, channels)).copy())
    names = ["영수증", "계약서", "a"]
    found = write_label_issues(tmp_path, [f"{i}" for i in range(200)], given, names, names, probabilities, images)
    worst = [int(row[0]) for row in table(tmp_path)[1:26]]
    assert found > 25
    with Image.open(tmp_path / "label_issues.png") as picture:
        shown = np.asarray(picture.convert("L"))
    rows, columns = (((np.arange(5) + 0.4) / 5 * length).astype(int) for length in shown.shape)
    seen = shown[np.ix_(rows, columns)].ravel()
    assert seen.tolist() == pytest.approx(greys[worst].tolist(), abs=1)  # Matplotlib rounds


def test_fewer_issues_than_places_leave_the_rest_of_the_picture_empty(tmp_path: Path) -> None:
    given = np.tile([0, 1], 50)
    probabilities = np.eye(2, dtype=np.float32)[given]
    heights = []
    for n in (1, 5, 6):
        probabilities[:n] = np.eye(2)[1 - given[:n]]
        assert len(write(tmp_path, given, probabilities)) == n
        with Image.open(tmp_path / "label_issues.png") as picture:
            heights.append(picture.height)
    assert heights[0] == heights[1] < heights[2] <= 2 * heights[0] + 1


def test_neither_torch_nor_at_its_import_cleanlab_is_loaded(tmp_path: Path) -> None:
    code = """
import json, sys
import numpy as np
from pathlib import Path
from docclf.results.quality.labels import write_label_issues
before = "cleanlab" in sys.modules
given = np.arange(20) % 2
shares = np.eye(2)[given][::-1].copy()
shares[:10] = shares[:10, ::-1]
pages = np.zeros((20, 8, 8, 1), dtype=np.uint8)
n = write_label_issues(Path(), [str(i) for i in range(20)], given, ["a", "b"], ["a", "b"], shares, pages)
print(json.dumps([before, "cleanlab" in sys.modules, "torch" in sys.modules, n]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.stderr == "", "not a word to the user either"
    before, after, torch, found = json.loads(done.stdout)
    assert (before, after, torch) == (False, True, False) and found > 0


@pytest.mark.parametrize("wrong", [[], [2], [2, 12]])
def test_without_the_table_they_are_found_from_the_predictions(tmp_path: Path, wrong: list[int]) -> None:
    predicted = LABELS.copy()
    predicted[wrong] = (predicted[wrong] + 1) % 3
    run = read_run(make_run(tmp_path, predicted))
    found = suspects_of(run)
    assert [(one.page, one.given) for one in found] == [(f"쪽, {i}.png", TARGETS[LABELS[i]]) for i in wrong]
    shares = run.predictions.probabilities
    write_label_issues(tmp_path, run.predictions.ids, LABELS, NAMES, TARGETS, shares, None)
    assert suspects_of(run) == found == read_label_issues(tmp_path)


def test_where_nobody_knows_what_the_targets_mean_no_label_is_called_right(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, LABELS, data={}))
    with pytest.raises(DataError, match=r"or a result\.yaml that names the targets.*: 0 is none\. Train again"):
        suspects_of(run)
