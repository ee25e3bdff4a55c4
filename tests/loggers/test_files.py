"""Metrics in files: tables, and events read back with TensorBoard's own reader."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

from docclf.loggers.csv_files import CsvLogger
from docclf.loggers.run import RunInfo, RunLoggers
from docclf.loggers.tensorboard_events import TensorBoardRunLogger
from docclf.train import train

CSV = {"csv": {"_target_": "docclf.loggers.csv_files.CsvLogger", "_partial_": True}}
TENSORBOARD = {"tensorboard": {"_target_": "docclf.loggers.tensorboard_events.TensorBoardRunLogger", "_partial_": True}}


def test_each_fold_has_a_csv_file_with_a_row_an_epoch(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = CSV
    cfg.validation.epochs, cfg.validation.folds = 3, 2
    train(cfg, tmp_path)
    for fold in (0, 1):
        with (tmp_path / f"fold_{fold}" / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        for name in ("val/macro_f1", "val/accuracy", "val/loss", "train/loss"):
            assert [row["epoch"] for row in rows if row[name]] == ["0", "1", "2"], name
            assert all(float(row[name]) >= 0 for row in rows if row[name])


def test_a_config_of_before_logs_as_it_did(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = {"_target_": "docclf.loggers.CsvLogger", "_partial_": True}
    train(cfg, tmp_path)
    assert (tmp_path / "fold_0" / "metrics.csv").is_file()


def test_logging_nothing_leaves_no_files(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = {"none": True}
    train(cfg, tmp_path)
    assert not list(tmp_path.glob("fold_*"))


def hparams(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Parameters and metrics of a run, as TensorBoard's HParams tab has them."""
    events = EventAccumulator(str(folder)).Reload()
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    started = parse_session_start_info_plugin_data(content)
    assert isinstance(started, plugin_data_pb2.SessionStartInfo)
    params = {key: getattr(value, str(value.WhichOneof("kind"))) for key, value in started.hparams.items()}
    return params, {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_a_run_with_parameters_and_scores_and_a_run_a_fold(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = {**TENSORBOARD, **CSV}
    cfg.validation.epochs, cfg.validation.folds = 3, 2
    score = train(cfg, tmp_path / "0")
    assert score is not None
    assert set(EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Runs()) == {"0", "0/fold_0", "0/fold_1"}
    folds = []
    for fold in (0, 1):
        events = EventAccumulator(str(tmp_path / "0" / f"fold_{fold}")).Reload()
        assert {"val/macro_f1", "val/accuracy", "val/loss", "train/loss"} <= set(events.Tags()["scalars"])
        curve = events.Scalars("val/macro_f1")
        assert len(curve) == 3 and curve[0].step < curve[1].step < curve[2].step
        folds.append(max(point.value for point in curve))
    params, metrics = hparams(tmp_path / "0")
    assert metrics["macro_f1"] == pytest.approx(score) == pytest.approx(sum(folds) / 2)
    assert params["optimizer/lr"] == cfg.optimizer.lr and params["state"] == "COMPLETE"
    assert not any(key.startswith(("search", "logger")) for key in params)
    assert (tmp_path / "0" / "fold_1" / "metrics.csv").is_file(), "both in one folder"


@pytest.mark.parametrize("state", ["PRUNED", "FAIL", "INTERRUPTED"])
def test_of_a_trial_tensorboard_shows_the_parameters_that_are_tried(state: str, tmp_path: Path) -> None:
    params = {"optimizer.lr": 0.5, "model.name": "resnet18", "data.draw": None, "augment.scale": [1, 2]}
    run = RunInfo(tmp_path, "trial 3", "search", {"seed": 1}, kind="trial", params=params)
    TensorBoardRunLogger(run).finish({"state": state, **({"mean": 0.25} if state == "PRUNED" else {})})
    found, metrics = hparams(tmp_path)
    assert found == {
        "optimizer.lr": 0.5,
        "model.name": "resnet18",
        "data.draw": "None",
        "augment.scale": "[1, 2]",
        "state": state,
    }
    assert metrics["macro_f1"] == 0.25 if state == "PRUNED" else math.isnan(metrics["macro_f1"])


def test_tensorboard_shows_what_was_trained_and_kept_and_the_floors(tmp_path: Path) -> None:
    facts = {"tune": "all", "kept": "average", "weights": {"name": "resnet18", "source": "random"}}
    result = {"state": "COMPLETE", "mean": 0.9, "floors": {"features": {"mean": 0.5}}, **facts}
    TensorBoardRunLogger(RunInfo(tmp_path, "run", "search", {"seed": 1})).finish(result)
    params, metrics = hparams(tmp_path)
    assert params == {"seed": 1, "tune": "all", "kept": "average", "weights": "random", "state": "COMPLETE"}
    assert metrics == {"macro_f1": pytest.approx(0.9), "floor_features": 0.5}


def test_several_loggers_get_the_same_metrics(tmp_path: Path) -> None:
    run = RunInfo(tmp_path, "run", "search", {})
    loggers = RunLoggers({"csv": CsvLogger, "tensorboard": TensorBoardRunLogger}, run)
    for logger in loggers.fold(0):
        logger.log_metrics({"val/loss": 0.5}, 7)
        logger.finalize("success")
    (point,) = EventAccumulator(str(tmp_path / "fold_0")).Reload().Scalars("val/loss")
    assert (point.step, point.value) == (7, 0.5)
    assert (tmp_path / "fold_0" / "metrics.csv").read_text().split() == ["step,val/loss", "7,0.5"]
