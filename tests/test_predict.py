"""`python -m docclf.predict`: the numbers of training and of plain formulas, a row a page, and errors before work."""

import csv
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image
from sklearn.metrics import f1_score, precision_recall_fscore_support
from small_models import CLASS_NAMES, TARGETS, save_model
from torch import Tensor

from docclf.calibration import calibration_error, with_temperature
from docclf.data.augment import resize
from docclf.data.formats import read_page
from docclf.ensemble import Ensemble, load_ensemble
from docclf.errors import ConfigError, DocclfError
from docclf.predict import choose_device, predict
from docclf.prediction import Predictor
from docclf.train import train

Compose = Callable[..., DictConfig]
COLUMNS = ["ID", "target", "confidence", *CLASS_NAMES, "problem"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a model of two members."""
    run = tmp_path_factory.mktemp("run")
    save_model(run / "model")
    return run


@pytest.fixture
def run_predict(compose_config: Compose, model: Path, tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Predicts in process into `tmp_path`, expects a number of unreadable pages, and returns the rows."""

    def call(root: Path, *overrides: str, unreadable: int = 0, run: Path = model) -> list[list[str]]:
        cfg = compose_config(f"run='{run}'", f"data.root='{root}'", "device=cpu", *overrides, config="predict")
        assert predict(cfg, tmp_path) == unreadable
        header, *rows = read(tmp_path / cfg.output)
        assert header == COLUMNS
        return rows

    return call


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def shares(rows: list[list[str]]) -> NDArray[np.float64]:
    return np.array([row[3:-1] for row in rows], dtype=float)


def test_the_numbers_are_those_of_training(cfg: DictConfig, compose_config: Compose, tmp_path: Path) -> None:
    cfg.refit = "folds"
    run, here = tmp_path / "run", tmp_path / "here"
    train(cfg, run)
    asked = [f"run='{run}'", f"data.root='{cfg.data.root}'", "device=cpu", "batch_size=4"]
    assert predict(compose_config(*asked, config="predict"), here) == 0
    _, *own = read(run / "predictions_test.csv")
    _, *mine = read(here / "predictions.csv")
    assert [row[0] for row in mine] == [row[0] for row in own] and len(mine) == 9
    assert np.allclose(shares(mine), [[float(share) for share in row[-3:]] for row in own], atol=1e-5)
    assert len({row[1] for row in mine}) > 1, "or there is nothing to compare"


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("tta", ["none", "flips", "rotations"])
def test_probabilities_are_the_mean_over_members_and_views_and_calibrated_last(
    run_predict: Any, pages_root: Path, model: Path, tta: str, calibrated: bool
) -> None:
    rows = run_predict(pages_root, f"tta={tta}", f"calibrated={calibrated}")
    ensemble = load_ensemble(model / "model")
    views: dict[str, list[Callable[[Any], Any]]] = {
        "none": [lambda page: page],
        "flips": [lambda page: page, np.flipud, np.fliplr, lambda page: np.flipud(np.fliplr(page))],
        "rotations": [lambda page, n=n: np.rot90(page, n) for n in range(4)],
    }
    for row in rows:
        page = read_page(pages_root / "test" / row[0], 40)
        found = []
        for view in views[tta]:
            turned = np.array(view(page))  # before it is reduced, not after
            image = (resize(torch.from_numpy(turned)[None], 32) - ensemble.mean) / ensemble.std
            with torch.no_grad():
                found += [net(image).softmax(dim=1).numpy() for net in ensemble.nets]
        expected = np.mean(found, axis=0)
        if calibrated:
            expected = with_temperature(expected, 1.7)
        assert shares([row])[0] == pytest.approx(expected[0], abs=2e-3 if tta != "none" else 2e-6)
        best = int(expected[0].argmax())
        assert row[1] == TARGETS[best] and row[2] == row[3 + best] and row[-1] == ""


def test_every_view_makes_a_difference(run_predict: Any, pages_root: Path) -> None:
    found = [shares(run_predict(pages_root, f"tta={tta}")) for tta in ("none", "flips", "rotations")]
    assert min(abs(found[a] - found[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 0.01


def test_a_page_is_predicted_alike_in_any_batch(run_predict: Any, pages_root: Path) -> None:
    found = [shares(run_predict(pages_root, f"batch_size={size}")) for size in (64, 1, 5)]
    assert np.allclose(found[0], found[1], atol=2e-6) and np.allclose(found[0], found[2], atol=2e-6)


def test_a_grey_model_reads_grey_pages(run_predict: Any, pages_root: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "grey", channels=1, members=1, temperature=1.0)
    rows = run_predict(pages_root, run=tmp_path / "grey")
    page = read_page(pages_root / "test" / rows[0][0], 40, channels=1)
    with torch.no_grad():
        expected = load_ensemble(tmp_path / "grey")(resize(torch.tensor(page)[None], 32))
    assert shares(rows)[0] == pytest.approx(expected[0].numpy(), abs=1e-6)


# What cannot be read


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

    def interrupted(self: Predictor, pages: NDArray[np.uint8]) -> NDArray[np.float32]:
        calls.append(len(pages))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return np.full((len(pages), 3), 1 / 3, dtype=np.float32)

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


def test_a_submission_is_empty_where_a_page_is_missing(run_predict: Any, pages_root: Path, tmp_path: Path) -> None:
    name = next((pages_root / "test").iterdir()).name
    sample = tmp_path / "sample.csv"
    sample.write_text(f"ID,target\nlost.png,0\n{name},0", encoding="utf-8")
    rows = run_predict(pages_root, f"data.sample_submission='{sample}'", unreadable=1)
    assert read(tmp_path / "submission.csv")[1:] == [["lost.png", ""], [name, rows[1][1]]]
    assert rows[1][1] in TARGETS


# Labelled pages


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
    assert f"macro-F1 {score:.3f} (95 % interval " in caplog.text and f"accuracy {accuracy:.3f}" in caplog.text
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


def test_calibration_error_is_that_of_all_probabilities(
    run_predict: Any, pages_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    save_model(tmp_path / "unsure", temperature=30)
    rows = run_predict(pages_root, run=tmp_path / "unsure")
    assert shares(rows).max() < 0.5
    labels = np.array([TARGETS.index(row[1]) for row in read(pages_root / "test.csv")[1:]])
    assert f"calibration error {calibration_error(shares(rows), labels):.3f}" in caplog.text


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


# Memory


class Hungry(Ensemble):
    """Has memory for so many pages."""

    def __init__(self, ensemble: Ensemble, most: int) -> None:
        super().__init__(list(ensemble.nets), ensemble.description)
        self.most, self.tried = most, list[int]()

    def forward(self, images: Tensor) -> Tensor:
        self.tried.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(images)} pages.")
        return super().forward(images)


def test_where_memory_runs_out_the_batch_is_halved_and_stays_so(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    ensemble = load_ensemble(model / "model")
    hungry, pages = Hungry(ensemble, 3), np.random.default_rng(0).integers(0, 256, (11, 40, 40, 3), dtype=np.uint8)
    predictor = Predictor(hungry)
    found = predictor(pages)
    assert hungry.tried == [11, 5, 2, 2, 2, 2, 2, 1]
    assert np.allclose(found, Predictor(ensemble)(pages), atol=1e-6)
    hungry.tried.clear()
    predictor(pages[:4])
    assert hungry.tried == [2, 2] and "at most 2 pages at once" in caplog.text


def test_memory_for_no_page_at_all_is_an_error(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"memory for one page at a time on `device`, got: CUDA out of memory"):
        Predictor(Hungry(load_ensemble(model / "model"), 0))(np.zeros((2, 40, 40, 3), dtype=np.uint8))


# Mistakes, told before any work


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run=nowhere"], "Expected the folder of a run or search in `run`, got nowhere"),
        (["run='{root}'"], "Expected a trained model in"),
        (["run='{root}/damaged'"], "Expected a whole model in"),
        (["run=???"], "Expected `run`, got no value"),
        (["tta=turns"], "Expected `tta` to be one of none, flips, rotations, got turns"),
        (["batch_size=0"], "Expected `batch_size` to be at least 1, got 0"),
        (["calibrated=maybe"], "Expected `calibrated` to be true or false, got maybe"),
        (["device=abacus"], "Expected `device` to be auto or one of this machine, got abacus"),
        (["data.multi_page=some"], "Expected `data.multi_page` to be first or all, got some"),
        (["data.root=nowhere"], "Expected a folder or a CSV file at `data.root`, got nowhere"),
        (["data.root='{root}/empty'"], "Expected pages of .bmp, .gif"),
        (["data.root='{root}/wrong.csv'"], "out of the model's 0, 7, 10, got 11, x. Without the column target"),
        (["data.root='{root}/columns.csv'"], "Expected the columns ID in"),
        (["data.sample_submission='{root}/columns.csv'"], "Expected the columns ID,target in"),
        (["data.sample_submission=nowhere.csv"], "Expected a CSV file at `data.sample_submission`, got nowhere.csv"),
        (["data.root='{root}/elsewhere.csv'"], "got none of all 2; the first is lost.png: no such file"),
        (["output='{root}/right.csv'", "data.root='{root}/right.csv'"], "Expected an `output` beside other files"),
        (["output='{root}/empty'"], "Expected the name of a file in `output`"),
    ],
)
def test_mistakes_are_told_before_any_work(
    compose_config: Compose, model: Path, pages_root: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    here.mkdir()
    (root / "empty").mkdir(parents=True)
    shutil.copytree(model / "model", root / "damaged")
    next((root / "damaged").glob("*.safetensors")).write_bytes(b"x")
    name = next((pages_root / "test").iterdir()).name
    shutil.copytree(pages_root / "test", root / "test")
    (root / "wrong.csv").write_text(f"ID,target\n{name},0\n{name},x\n{name},11\n{name},11", encoding="utf-8")
    (root / "columns.csv").write_text(f"name\n{name}", encoding="utf-8")
    (root / "right.csv").write_text(f"ID\n{name}", encoding="utf-8")
    (root / "elsewhere.csv").write_text("ID\nlost.png\nlost.jpg", encoding="utf-8")
    before = sorted(root.rglob("*"))
    given = [override.format(root=root) for override in overrides]
    cfg = compose_config(f"run='{model}'", f"data.root='{root / 'test'}'", *given, config="predict")
    with pytest.raises(DocclfError) as caught:
        predict(cfg, here)
    assert message in str(caught.value)
    assert not list(here.iterdir()) and sorted(root.rglob("*")) == before


def test_devices_are_chosen_by_name() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without a GPU refuses one")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="Expected `device` to be auto or one of this machine, got cuda"):
        choose_device("cuda")


# The command

REPORT = "import atexit, json, sys; atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))"
RUN = "import runpy; runpy.run_module('docclf.predict', run_name='__main__', alter_sys=True)"


def command(cwd: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{REPORT}\n{RUN}", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )
    return done.returncode, done.stdout


def test_the_command_writes_where_it_is_called_and_nothing_else(model: Path, pages_root: Path, tmp_path: Path) -> None:
    status, output = command(tmp_path, f"run='{os.path.relpath(model, tmp_path)}'", f"data.root='{pages_root}'")
    assert status == 0, output
    assert "9 pages of" in output and "test_resnet, 2 members, on c" in output and "macro-F1 " in output
    assert {path.name for path in tmp_path.iterdir()} == {
        "predictions.csv", "predictions_classes.csv", "predictions_confusion.png"
    }  # fmt: skip
    assert len(read(tmp_path / "predictions.csv")) == 10


def test_the_exit_status_is_1_after_unreadable_pages_and_mistakes(model: Path, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "broken.png").touch()
    status, output = command(tmp_path, f"run='{model}'", "data.root=pages")
    assert status == 1 and "1 of 1 pages could not be read" in output and "Traceback" not in output
    assert read(tmp_path / "predictions.csv")[1][-1] == "ValueError: the file is empty"
    status, output = command(tmp_path, "run=nowhere", "data.root=pages")
    assert status == 1 and output.startswith("DataError: Expected the folder of a run") and "Traceback" not in output


@pytest.mark.parametrize(("arguments", "shown"), [(["--help"], "conf/predict.yaml"), (["--cfg", "job"], "tta: none")])
def test_help_and_config_load_nothing_heavy(tmp_path: Path, arguments: list[str], shown: str) -> None:
    status, output = command(tmp_path, *arguments)
    text, _, modules = output.rstrip("\n").rpartition("\n")
    assert status == 0 and shown in text
    heavy = {"torch", "timm", "pytorch_lightning", "torchvision", "optuna", "sklearn", "matplotlib", "numpy", "PIL"}
    assert not {name.partition(".")[0] for name in json.loads(modules)} & heavy
    assert not list(tmp_path.iterdir())


def test_the_winner_of_a_search_predicts(run_predict: Any, model: Path, pages_root: Path, tmp_path: Path) -> None:
    search = tmp_path / "multirun" / "search"
    shutil.copytree(model / "model", search / "best" / "model")
    described = yaml.safe_load((search / "best" / "model" / "model.yaml").read_text(encoding="utf-8"))
    assert described["backbone"] == "test_resnet"
    assert run_predict(pages_root, run=search) == run_predict(pages_root)
