"""Where metrics land: CSV files, and real W&B runs that are offline."""

import csv
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from omegaconf import DictConfig
from wandb.proto import wandb_internal_pb2 as proto

from docclf.errors import NonFiniteLossError
from docclf.loggers import CsvLogger, RunLogger, WandbRunLogger
from docclf.train import train


def read_wandb(folder: Path) -> list[Any]:
    """Records of the one W&B run below a folder; its last record is written a moment after the run is finished."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(100):
        records = list(parse(file.read_bytes()))
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{file} has no end")


def parse(content: bytes) -> Iterator[Any]:
    """W&B's file is LevelDB's log: blocks of 32 KiB, chunks of checksum, length, type (whole, first, middle, last)."""
    position, record = 7, b""
    while position + 7 <= len(content):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4) and position <= len(content):
            yield proto.Record.FromString(record)
            record = b""


def items(updates: Any) -> Iterator[tuple[str, Any]]:
    for item in updates:
        yield item.key or ".".join(item.nested_key), json.loads(item.value_json)


def history(records: list[Any]) -> list[dict[str, Any]]:
    return [dict(items(record.history.item)) for record in records if record.WhichOneof("record_type") == "history"]


def exit_code(records: list[Any]) -> int:
    (code,) = [record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit"]
    return int(code)


def test_a_wandb_run_has_the_config_the_folds_metrics_and_the_result(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = {"_target_": "docclf.loggers.WandbRunLogger", "_partial_": True}
    cfg.study_name, cfg.validation.epochs, cfg.validation.folds = "서류", 2, 2
    score = train(cfg, tmp_path)
    assert wandb.run is None, "closed, so that nothing of the next trial lands in it"
    records = read_wandb(tmp_path)

    (run,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert (run.project, run.run_group, run.display_name) == ("docclf", "서류", tmp_path.name)
    config = dict(items(run.config.update))
    assert config["optimizer"]["lr"] == cfg.optimizer.lr and config["data"]["batch_size"] == 8
    assert config["validation"]["seed"] == 42, "interpolations are resolved"

    for fold in (0, 1):
        values = [row[f"fold_{fold}-val/macro_f1"] for row in history(records) if f"fold_{fold}-val/macro_f1" in row]
        assert len(values) == 2, "one an epoch"
        assert any(f"fold_{fold}-train/loss" in row for row in history(records))
    keys = {key for row in history(records) for key in row}
    assert {key for key in keys if "macro_f1" in key} == {"fold_0-val/macro_f1", "fold_1-val/macro_f1"}

    summaries = [record.summary for record in records if record.WhichOneof("record_type") == "summary"]
    summary = {key: value for update in summaries for key, value in items(update.update)}
    assert summary["state"] == "COMPLETE" and summary["mean"] == pytest.approx(score)
    assert len(summary["folds"]) == 2
    assert exit_code(records) == 0


def test_a_failed_run_is_closed_as_failed_and_the_next_has_nothing_of_it(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = {"_target_": "docclf.loggers.WandbRunLogger", "_partial_": True, "project": "mine"}
    cfg.optimizer.lr, cfg.validation.folds = 1e30, 2
    with pytest.raises(NonFiniteLossError):
        train(cfg, tmp_path / "failed")
    assert wandb.run is None
    cfg.optimizer.lr = 1e-3
    train(cfg, tmp_path / "good")
    failed, good = read_wandb(tmp_path / "failed"), read_wandb(tmp_path / "good")
    assert (exit_code(failed), exit_code(good)) == (1, 0)
    runs = [next(r.run for r in records if r.WhichOneof("record_type") == "run") for records in (failed, good)]
    assert runs[0].run_id != runs[1].run_id and {run.project for run in runs} == {"mine"}
    assert [dict(items(run.config.update))["optimizer"]["lr"] for run in runs] == [1e30, 1e-3]
    assert not any("val/macro_f1" in key for row in history(failed) for key in row)


def test_without_an_api_key_a_run_is_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))  # no ~/.netrc with a key
    logger = WandbRunLogger(folder=tmp_path, name="trial 3", group="search", config={"seed": 1})
    logger.finish({"state": "PRUNED", "mean": 0.5})
    records = read_wandb(tmp_path)
    assert next(r.run.display_name for r in records if r.WhichOneof("record_type") == "run") == "trial 3"
    assert exit_code(records) == 0, "a pruned trial is not a failure"


def test_each_fold_has_a_csv_file_with_a_row_an_epoch(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = {"_target_": "docclf.loggers.CsvLogger", "_partial_": True}
    cfg.validation.epochs, cfg.validation.folds = 3, 2
    train(cfg, tmp_path)
    for fold in (0, 1):
        with (tmp_path / f"fold_{fold}" / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        for name in ("val/macro_f1", "val/accuracy", "val/loss", "train/loss"):
            assert [row["epoch"] for row in rows if row[name]] == ["0", "1", "2"], name
            assert all(float(row[name]) >= 0 for row in rows if row[name])


def test_logging_nothing_leaves_no_files(tmp_path: Path) -> None:
    logger = RunLogger(folder=tmp_path, name="run", group="search", config={})
    assert logger.fold(0) is False
    logger.finish({"state": "COMPLETE"})
    assert list(tmp_path.iterdir()) == []
    assert isinstance(CsvLogger(folder=tmp_path, name="run", group="search", config={}), RunLogger)
