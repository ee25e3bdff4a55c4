"""Files of a run."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml
from PIL import Image

from docclf.data.pages import Pages, PageSet
from docclf.results.run import write_predictions, write_result

NAMES = ["영수증, 작은", 'the "other"']


def pages(n: int) -> PageSet:
    ids = [f"쪽 {i}.png" for i in range(n)]
    return PageSet(["10", "2"], NAMES, Pages(ids, [Path(name) for name in ids], np.arange(n) % 2))


def test_a_result_is_readable_by_people_and_programs(tmp_path: Path) -> None:
    result = {"state": "FAIL", "params": {"optimizer.lr": 1e-5, "model": "스윈"}, "cause": "a: b\nc", "folds": [0.5]}
    write_result(tmp_path, result)
    text = (tmp_path / "result.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == result
    assert text.startswith("state: FAIL\n") and "스윈" in text


def test_predictions_have_a_row_a_page_with_what_the_user_calls_it(tmp_path: Path) -> None:
    probabilities = np.array([[0.9, 0.1], [np.nan, np.nan], [1 / 3, 2 / 3]], dtype=np.float32)
    write_predictions(tmp_path, pages(3), np.array([1, 2, 0]), probabilities)
    with (tmp_path / "oof.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["ID", "target", "fold", *NAMES],
        ["쪽 0.png", "10", "1", "0.900000", "0.100000"],
        ["쪽 2.png", "10", "0", "0.333333", "0.666667"],
    ], "a page that no fold predicted is left out"
    with Image.open(tmp_path / "confusion.png") as picture:
        picture.load()


def test_predictions_need_the_labels_of_predicted_pages_alone(tmp_path: Path) -> None:
    data = SimpleNamespace(targets=["a", "b"], class_names=["a", "b"], train=pages(2).train)
    write_predictions(tmp_path, data, np.zeros(2, dtype=np.int64), np.full((2, 2), np.nan, dtype=np.float32))
    assert (tmp_path / "oof.csv").read_text().splitlines() == ["ID,target,fold,a,b"]
