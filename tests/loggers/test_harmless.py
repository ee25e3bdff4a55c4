"""A logger that fails costs its own lines, and no training."""

import logging
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from pytorch_lightning.loggers import CSVLogger, Logger

from docclf.loggers.run import HarmlessLogger, RunInfo, RunLogger, RunLoggers
from docclf.train import train


def info(folder: Path) -> RunInfo:
    return RunInfo(folder=folder, name="run", group="search", config={"seed": 1})


class Broken(RunLogger):
    """Fails at what it is told to.

    Args:
        at: `begin`, `fold` or `finish`.
    """

    def __init__(self, run: RunInfo, at: str) -> None:
        super().__init__(run)
        self.at = at
        if at == "begin":
            raise OSError("disk full")

    def fold(self, fold: int) -> Logger | None:
        if self.at == "fold":
            raise OSError("disk full")
        return CSVLogger(self.run.folder, name="", version="broken")

    def finish(self, result: Any) -> None:
        if self.at == "finish":
            raise OSError("disk full")
        (self.run.folder / "finished").touch()


class Good(RunLogger):
    def finish(self, result: Any) -> None:
        (self.run.folder / "good").write_text(result["state"])


@pytest.mark.parametrize("at", ["begin", "fold", "finish"])
def test_one_that_fails_is_warned_of_and_the_others_go_on(
    at: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loggers = RunLoggers({"bad": lambda run: Broken(run, at), "good": Good}, info(tmp_path))
    assert len(loggers.fold(0)) == (at == "finish")
    loggers.finish({"state": "COMPLETE"})
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("logger=bad could not ") and "OSError: disk full" in record.getMessage()
    assert (tmp_path / "good").read_text() == "COMPLETE"


def test_a_fold_without_loggers_has_none(tmp_path: Path) -> None:
    loggers = RunLoggers({}, info(tmp_path))
    assert loggers.fold(0) == []
    loggers.finish({"state": "COMPLETE"})
    assert list(tmp_path.iterdir()) == []


def test_a_logger_of_a_fold_is_left_alone_after_its_first_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fold_0").touch()  # where it wants a folder
    logger = HarmlessLogger("csv", CSVLogger(tmp_path, name="", version="fold_0"))
    for step in range(3):
        logger.log_metrics({"val/loss": 1.0}, step)
    logger.save()
    logger.finalize("success")
    assert len(caplog.records) == 1 and "logger=csv could not log" in caplog.records[0].getMessage()


def test_a_logger_hands_on_what_it_is_given(tmp_path: Path) -> None:
    logger = HarmlessLogger("csv", CSVLogger(tmp_path, name="", version="fold_0"))
    assert (logger.name, logger.version, logger.save_dir) == ("", "fold_0", str(tmp_path))
    logger.log_hyperparams({"lr": 0.5})
    logger.log_metrics({"val/loss": 1.0}, 3)
    logger.finalize("success")
    assert (tmp_path / "fold_0" / "metrics.csv").read_text().split() == ["step,val/loss", "3,1.0"]
    assert "lr: 0.5" in (tmp_path / "fold_0" / "hparams.yaml").read_text()


def test_an_interruption_is_not_held_back(tmp_path: Path) -> None:
    class Interrupted(RunLogger):
        def finish(self, result: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RunLoggers({"it": Interrupted}, info(tmp_path)).finish({"state": "COMPLETE"})


@pytest.mark.slow
def test_a_disk_that_takes_no_metrics_loses_no_trained_run(
    cfg: DictConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg.logger = {"csv": {"_target_": "docclf.loggers.csv_files.CsvLogger", "_partial_": True}}
    plain = train(cfg, tmp_path / "plain")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "fold_1").touch()
    assert train(cfg, tmp_path / "run") == plain
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and warnings[0].startswith("logger=csv could not log, training goes on: ")
    assert (tmp_path / "run" / "fold_0" / "metrics.csv").is_file()
    assert "state: COMPLETE" in (tmp_path / "run" / "result.yaml").read_text()
