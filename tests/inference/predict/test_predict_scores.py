"""Labelled pages are scored."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from predict_files import read, shares
from sklearn.metrics import f1_score, precision_recall_fscore_support
from small_models import CLASS_NAMES, TARGETS, save_model

from docclf.metrics.calibration import calibration_error


def test_labelled_pages_are_scored_as_scikit_learn_scores_them(
    run_predict: Any, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows = run_predict(pages_root / "train.csv", "output=mine/all.csv", "batch_size=5")
    truth = [row[1] for row in read(pages_root / "train.csv")[1:]]
    predicted = [row[1] for row in rows]
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=TARGETS, zero_division=np.nan
    )
    header, *table = read(tmp_path / "mine" / "all_classes.csv")
    assert header == ["class_name", "precision", "recall", "f1", "pages"]
    assert [row[0] for row in table] == CLASS_NAMES and [int(row[4]) for row in table] == support.tolist()
    for column, expected in ((1, precision), (2, recall), (3, f1)):
        found = [float(row[column]) if row[column] else np.nan for row in table]
        assert np.allclose(found, expected, atol=1e-6, equal_nan=True)
    accuracy = np.mean([a == b for a, b in zip(truth, predicted, strict=True)])
    score = f1_score(truth, predicted, average="macro")
    assert f"macro-F1 {score:.3f} (no interval: all pages" in caplog.text and f"accuracy {accuracy:.3f}" in caplog.text
    assert "Scored on 24 of 24 pages:" in caplog.text
    with Image.open(tmp_path / "mine" / "all_confusion.png") as image:
        assert np.asarray(image).std() > 10


def test_some_labelled_pages_are_scored_and_counted(
    run_predict: Any, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = tmp_path / "root"
    shutil.copytree(pages_root / "test", root / "test")
    names = sorted(path.name for path in (root / "test").iterdir())
    targets = ["0", "계약서", "", "10", "", "letter of intent", "0", "0", "0"]
    rows = [f"{name},{target}" for name, target in zip(names, targets, strict=True)]
    (root / "some.csv").write_text("\n".join(["ID,target", *rows]), encoding="utf-8")
    (root / "test" / names[8]).write_bytes(b"")
    run_predict(root / "some.csv", unreadable=1)
    assert "Scored on 6 of 9 pages, 2 without a label, 1 not readable:" in caplog.text
    table = read(tmp_path / "predictions_classes.csv")[1:]
    assert [row[4] for row in table] == ["3", "1", "2"], "both targets and names of classes were understood"


def test_few_pages_have_no_interval(
    run_predict: Any, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    names = [f"{path.name},0" for path in sorted((pages_root / "test").iterdir())[:1]]
    shutil.copytree(pages_root / "test", tmp_path / "root" / "test")
    (tmp_path / "root" / "one.csv").write_text("\n".join(["ID,target", *names]), encoding="utf-8")
    run_predict(tmp_path / "root" / "one.csv")
    assert "(no interval: all pages of a class are predicted alike), accuracy" in caplog.text


def test_calibration_error_is_that_of_all_probabilities(
    run_predict: Any, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    save_model(tmp_path / "unsure", temperature=30)
    rows = run_predict(pages_root, run=tmp_path / "unsure")
    assert shares(rows).max() < 0.5
    labels = np.array([TARGETS.index(row[1]) for row in read(pages_root / "test.csv")[1:]])
    assert f"calibration error {calibration_error(shares(rows), labels):.3f}" in caplog.text
