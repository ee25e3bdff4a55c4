"""Every page that is asked for has a row, readable or not, in the order of what asks."""

import csv
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image
from predict_files import read, shares
from small_models import TARGETS

from docclf.errors import ConfigError
from docclf.inference.predictor import Answers, Predictor
from docclf.inference.tables import classes_of
from docclf.predict import predict
from docclf.train import train


def test_a_page_that_cannot_be_read_has_a_row_with_the_reason(
    run_predict: Any, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound = run_predict(pages_root)
    root = tmp_path / "root"
    shutil.copytree(pages_root, root)
    names = [row[0] for row in sound]
    (root / "test" / names[1]).write_bytes(b"")
    (root / "test" / names[4]).write_text("no picture")
    (root / "test" / names[8]).unlink()
    rows = run_predict(root, "batch_size=2", unreadable=3)
    assert [row[0] for row in rows] == names
    for i, row in enumerate(rows):
        if i in (1, 4, 8):
            assert row[1:-1] == [""] * 5
        else:
            assert shares([row])[0] == pytest.approx(shares([sound[i]])[0], abs=2e-6) and row[-1] == ""
    reasons = [rows[i][-1] for i in (1, 4, 8)]
    assert reasons[0] == "ValueError: the file is empty" and reasons[1].startswith("UnidentifiedImageError")
    assert reasons[2].startswith("no such file in ")
    assert "3 of 9 pages could not be read" in caplog.text and f"{names[4]}: Unidentified" in caplog.text


@pytest.mark.parametrize("names", [["ID", "target", "confidence"], ["problem", "ID", "ID (class)"]])
def test_no_two_columns_are_called_alike(
    compose_config: Any, model: Path, pages_root: Path, tmp_path: Path, names: list[str]
) -> None:
    shutil.copytree(model, tmp_path / "run")
    path = tmp_path / "run" / "model" / "model.yaml"
    described = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**described, "class_names": names}), encoding="utf-8")
    given = (f"run='{tmp_path / 'run'}'", f"data.root='{pages_root}'", "device=cpu")
    predict(compose_config(*given, config="predict"), tmp_path)
    header, *rows = read(tmp_path / "predictions.csv")
    assert len(set(header)) == len(header) and classes_of(header[3:-1]) == names
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        named = [[row["ID"], row["target"], row["confidence"], row["problem"]] for row in csv.DictReader(file)]
    assert named == [[*row[:3], row[-1]] for row in rows]


def test_a_batch_of_nothing_but_unreadable_pages_is_no_obstacle(run_predict: Any, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for i in range(3):
        (root / f"{i}.png").touch()
    assert [row[0] for row in run_predict(root, "batch_size=2", unreadable=3)] == ["0.png", "1.png", "2.png"]


def test_predictions_of_before_stay_until_the_new_ones_are_whole(
    run_predict: Any, pages_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_predict(pages_root)
    before = (tmp_path / "predictions.csv").read_bytes()
    calls: list[int] = []

    def interrupted(self: Predictor, pages: list[NDArray[np.uint8]], aspects: NDArray[np.float32]) -> Answers:
        calls.append(len(aspects))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return Answers(np.full((len(aspects), 3), 1 / 3, dtype=np.float32))

    monkeypatch.setattr(Predictor, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_predict(pages_root, "batch_size=4")
    assert calls == [4, 4]
    assert (tmp_path / "predictions.csv").read_bytes() == before
    assert not list(tmp_path.glob("*partial*")) + list(tmp_path.glob(".*"))


# Sample submissions


def test_a_submission_has_the_rows_of_the_sample(run_predict: Any, pages_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(pages_root, root)
    names = sorted((path.name for path in (root / "test").iterdir()), reverse=True)
    names = [names[3], *names, names[0]]
    sample = ["note,ID,target", *(f'"a, {i}",{name},-1' for i, name in enumerate(names))]
    (root / "sample_submission.csv").write_text("\n".join(sample), encoding="utf-8")
    rows = run_predict(root)
    assert [row[0] for row in rows] == names
    expected = [[f"a, {i}", row[0], row[1]] for i, row in enumerate(rows)]
    assert read(tmp_path / "submission.csv") == [["note", "ID", "target"], *expected]
    assert not (tmp_path / "predictions_classes.csv").exists(), "place-holders are no labels"


def test_a_submission_has_the_targets_as_train_csv_writes_them_and_scores_other_spellings(
    cfg: DictConfig, compose_config: Any, pages_root: Path, tmp_path: Path
) -> None:
    root, run, here = tmp_path / "pages", tmp_path / "run", tmp_path / "here"
    shutil.copytree(pages_root, root)
    (root / "meta.csv").unlink()
    written = {"0": unicodedata.normalize("NFD", "영수증"), "7": "id  card", "10": "letter"}
    for split, names in (("train", written), ("test", {"0": "영수증", "7": "id card", "10": "letter"})):
        rows = [line.split(",") for line in (root / f"{split}.csv").read_text(encoding="utf-8").splitlines()[1:]]
        lines = ["ID,target", *(f"{page},{names[target]}" for page, target in rows)]
        (root / f"{split}.csv").write_text("\n".join(lines), encoding="utf-8")
    cfg.data.root, cfg.refit = str(root), "folds"
    train(cfg, run)
    for sampled in ([f"data.sample_submission='{root / 'test.csv'}'"], []):
        asked = (f"run='{run}'", f"data.root='{root}'", "device=cpu", *sampled)
        assert predict(compose_config(*asked, config="predict"), here) == 0
    targets = {row[1] for row in read(here / "submission.csv")[1:]}
    assert len(targets) > 1 and targets <= set(written.values())
    assert {row[1] for row in read(here / "predictions.csv")[1:]} == targets
    header, *rows = read(here / "predictions_classes.csv")
    assert sum(int(row[header.index("pages")]) for row in rows) == 9, "all pages are scored"


def test_a_submission_is_empty_where_a_page_is_missing(run_predict: Any, pages_root: Path, tmp_path: Path) -> None:
    name = next((pages_root / "test").iterdir()).name
    sample = tmp_path / "sample.csv"
    sample.write_text(f"ID,target\nlost.png,0\n{name},0", encoding="utf-8")
    rows = run_predict(pages_root, f"data.sample_submission='{sample}'", unreadable=1)
    assert read(tmp_path / "submission.csv")[1:] == [["lost.png", ""], [name, rows[1][1]]]
    assert rows[1][1] in TARGETS


def test_a_submission_has_the_delimiter_of_its_sample(run_predict: Any, pages_root: Path, tmp_path: Path) -> None:
    name = next((pages_root / "test").iterdir()).name
    sample = tmp_path / "sample.csv"
    sample.write_text(f"ID;target\n{name};0\n", encoding="utf-8")
    ((_, target, *_),) = run_predict(pages_root, f"data.sample_submission='{sample}'")
    assert (tmp_path / "submission.csv").read_text(encoding="utf-8") == f"ID;target\n{name};{target}\n"


@pytest.mark.parametrize("held", ["mine", "ID,target\nx,0\n"])
def test_no_submission_replaces_another_one(
    run_predict: Any, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, held: str
) -> None:
    caplog.set_level("INFO")
    names = sorted(path.name for path in (pages_root / "test").iterdir())[:2]
    sample = tmp_path / "sample.csv"
    sample.write_text("\n".join(["ID,target", *(f"{name},0" for name in names)]), encoding="utf-8")
    sampled = f"data.sample_submission='{sample}'"
    (tmp_path / "submission.csv").write_text(held, encoding="utf-8")
    run_predict(pages_root, sampled, "output=other.csv")
    assert (tmp_path / "submission.csv").read_text(encoding="utf-8") == held
    assert len(read(tmp_path / "other_submission.csv")) == 3
    run_predict(pages_root, sampled)
    assert (tmp_path / "submission_1.csv").read_text(encoding="utf-8") == held
    assert "The submission.csv that was there is submission_1.csv now" in caplog.text
    first = (tmp_path / "submission.csv").read_bytes()
    run_predict(pages_root, sampled)
    assert not (tmp_path / "submission_2.csv").exists(), "the same again"
    (tmp_path / "submission.csv").write_text("edited", encoding="utf-8")
    run_predict(pages_root, sampled)
    assert (tmp_path / "submission_2.csv").read_text(encoding="utf-8") == "edited"
    assert (tmp_path / "submission.csv").read_bytes() == first


def test_the_list_of_the_pages_is_not_what_is_written(run_predict: Any, pages_root: Path, tmp_path: Path) -> None:
    (name, *_) = (path.name for path in (pages_root / "test").iterdir())
    sample = tmp_path / "mine_submission.csv"
    sample.write_text(f"ID,target\n{name},0\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"Expected an `output` beside other files than .*mine_submission"):
        run_predict(pages_root, f"data.sample_submission='{sample}'", "output=mine.csv")


def test_what_is_no_prediction_stays_and_the_name_that_is_named_instead_is_free(
    run_predict: Any, pages_root: Path, tmp_path: Path
) -> None:
    for name in ("submission.csv", "submission_1.csv"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"got \S*/submission\.csv, which .* Say output=submission_2\.csv$"):
        run_predict(pages_root, "output=submission.csv")
    for _ in range(2):  # predictions of before are replaced
        run_predict(pages_root / "train.csv", "output=submission_2.csv")
    assert (tmp_path / "submission.csv").read_text(encoding="utf-8") == "mine"


# Several pages a file


def test_every_page_of_a_file_has_a_row(run_predict: Any, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    pages = [Image.new("L", (40, 50), grey) for grey in (0, 120, 255)]
    pages[0].save(root / "a.tif", save_all=True, append_images=pages[1:])
    for i, page in enumerate(pages):
        page.save(root / f"b{i}.png")
    rows = run_predict(root, "data.multi_page=all")
    assert [row[0] for row in rows] == ["a.tif#1", "a.tif#2", "a.tif#3", "b0.png", "b1.png", "b2.png"]
    assert np.allclose(shares(rows[:3]), shares(rows[3:]), atol=2e-6)
    assert abs(shares(rows)[0] - shares(rows)[2]).max() > 0.01
    assert [row[0] for row in run_predict(root)] == ["a.tif", "b0.png", "b1.png", "b2.png"]


def test_pages_that_are_not_predicted_are_spoken_of(
    run_predict: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    root = tmp_path / "root"
    root.mkdir()
    pages = [Image.new("L", (40, 50), grey) for grey in (0, 120)]
    for name in ("a.tif", "b.pdf", "c.png", "d.tif"):
        several = {"save_all": True, "append_images": pages[1:]} if name in ("a.tif", "b.pdf") else {}
        pages[0].save(root / name, **several)
    run_predict(root, "batch_size=2")
    text = "Of 2 files only the first page is predicted, such as a.tif; data.multi_page=all predicts all."
    assert caplog.messages.count(text) == 1
    caplog.clear()
    run_predict(root, "data.multi_page=all")
    assert "only the first page" not in caplog.text
