"""`python -m docclf.predict`: what it loads, writes and refuses."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from forked import python
from omegaconf import DictConfig
from predict_files import read

from docclf.errors import ConfigError, DocclfError
from docclf.inference.predictor import choose_device
from docclf.predict import predict

Compose = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run=nowhere"], "Expected the folder of a run or search in `run`, got nowhere"),
        (["run='{root}'"], ", where there is none"),
        (["run='{root}/damaged'"], "Expected a whole model in"),
        (["run=???"], "Expected `run`, got no value"),
        (["tta=turns"], "Expected `tta` to be one of none, flips, rotations, got turns"),
        (["batch_size=0"], "Expected `batch_size` to be at least 1, got 0"),
        (["calibrated=maybe"], "Expected `calibrated` to be true or false, got maybe"),
        (["device=abacus"], "Expected `device` to be auto or one of this machine, got abacus"),
        (["data.multi_page=some"], "Expected `data.multi_page` to be first or all, got some"),
        (["data.root=nowhere"], "Expected a folder or a CSV file at `data.root`, got nowhere"),
        (["data.root='{root}/empty'"], "Expected pages of .avif, .bmp"),
        (["data.root='{root}/wrong.csv'"], "out of the model's 0, 7, 10, got 11, x. Without the column target"),
        (["data.root='{root}/columns.csv'"], "Expected the columns ID in"),
        (["data.sample_submission='{root}/columns.csv'"], "Expected the columns ID,target in"),
        (["data.sample_submission=nowhere.csv"], "Expected a CSV file at `data.sample_submission`, got nowhere.csv"),
        (["data.root='{root}/elsewhere.csv'"], "got none of all 2; the first is lost.png: no such file"),
        (["output='{root}/right.csv'", "data.root='{root}/right.csv'"], "Expected an `output` beside other files"),
        (["output='{root}/empty'"], "Expected the name of a file in `output`"),
        (["output=some.xlsx"], "is named as a CSV file, which it is, got some.xlsx. Say output=some.csv"),
        (["output='{root}/labels.csv'"], "labels.csv, which is another file. Say output="),
        (["output='{root}/test/{name}'"], ", which is another file. Say "),
        (["output='{root}/own.csv'"], "own_classes.csv, which is another file. Say output="),
        (["output='{root}/drawn.csv'"], "drawn_confusion.png, which is another file. Say output="),
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
    (root / "labels.csv").write_text(f"ID,target\n{name},0", encoding="utf-8")
    (root / "own_classes.csv").write_text("class,mine\n0,x", encoding="utf-8")
    (root / "drawn_confusion.png").touch()
    before = sorted(root.rglob("*"))
    given = [override.format(root=root, name=name) for override in overrides]
    cfg = compose_config(f"run='{model}'", f"data.root='{root / 'test'}'", *given, config="predict")
    with pytest.raises(DocclfError) as caught:
        predict(cfg, here)
    assert message in str(caught.value)
    assert not list(here.iterdir()) and sorted(root.rglob("*")) == before


def test_predictions_of_before_are_replaced_those_for_excel_too(
    compose_config: Compose, model: Path, pages_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = compose_config(f"run='{model}'", f"data.root='{pages_root / 'test'}'", "output=june.csv", config="predict")
    for excel in ("1", ""):
        monkeypatch.setenv("DOCCLF_EXCEL", excel)
        predict(cfg, tmp_path)
    assert (tmp_path / "june.csv").read_text(encoding="utf-8").startswith("ID,target,confidence,")


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
    status, output = python(
        "docclf.predict", f"run='{os.path.relpath(model, tmp_path)}'", f"data.root='{pages_root}'", cwd=tmp_path
    )
    assert status == 0, output
    assert "9 pages of" in output and "test_resnet, 2 members, on c" in output and "macro-F1 " in output
    assert {path.name for path in tmp_path.iterdir()} == {
        "predictions.csv", "predictions_classes.csv", "predictions_confusion.png"
    }  # fmt: skip
    assert len(read(tmp_path / "predictions.csv")) == 10


def test_the_exit_status_is_1_after_unreadable_pages_and_mistakes(model: Path, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "broken.png").touch()
    status, output = python("docclf.predict", f"run='{model}'", "data.root=pages", cwd=tmp_path)
    assert status == 1 and "1 of 1 pages could not be read" in output and "Traceback" not in output
    assert "1 page of pages with" in output
    assert read(tmp_path / "predictions.csv")[1][-1] == "ValueError: the file is empty"
    status, output = python("docclf.predict", "run=nowhere", "data.root=pages", cwd=tmp_path)
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
