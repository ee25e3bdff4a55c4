"""Runs in W&B, offline and real, read back with W&B's own reader."""

import gc
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb
from omegaconf import DictConfig
from processes import children, command, descendants
from slowly import slowly
from wandb_files import only_wandb_run, wandb_runs

from docclf.errors import NonFiniteLossError
from docclf.loggers.choice import sync_command
from docclf.loggers.run import RunInfo, RunLoggers
from docclf.loggers.wandb_run import WandbRunLogger
from docclf.loggers.wandb_session import WandbSession
from docclf.train import train

WANDB = {"wandb": {"_target_": "docclf.loggers.wandb_run.WandbRunLogger", "_partial_": True}}


def info(folder: Path, **facts: Any) -> RunInfo:
    described = {"name": "trial 3", "group": "search", "config": {"seed": 1}, **facts}
    return RunInfo(folder, **described)


def wandb_processes() -> list[int]:
    """Those that this process has started."""
    return [pid for pid in descendants(os.getpid()) if "/wandb/bin/" in command(pid)]


def test_a_run_says_what_was_trained_and_kept_and_the_floors(tmp_path: Path) -> None:
    weights = {"name": "resnet18", "source": "timm hub: timm/resnet18"}
    result = {
        "state": "COMPLETE",
        "tune": "all",
        "kept": "net",
        "weights": weights,
        "floors": {"pixels": {"mean": 0.5}},
    }
    RunLoggers({"wandb": WandbRunLogger}, info(tmp_path)).finish(result)
    summary = only_wandb_run(tmp_path).summary
    assert (summary["tune"], summary["kept"], summary["floor_pixels"]) == ("all", "net", 0.5)
    assert summary["weights"]["source"] == "timm hub: timm/resnet18"


def test_a_run_has_the_config_the_folds_metrics_and_the_result(
    cfg: DictConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cfg.logger = WANDB
    cfg.study_name, cfg.validation.epochs, cfg.validation.folds = "서류", 2, 2
    score = train(cfg, tmp_path)
    run = only_wandb_run(tmp_path)
    assert (run.run["project"], run.run["run_group"], run.name) == ("docclf", "서류", tmp_path.name)
    assert run.run["job_type"] == "run" and run.tags == []
    assert run.config["optimizer"]["lr"] == cfg.optimizer.lr and run.config["data"]["batch_size"] == 8
    assert run.config["validation"]["seed"] == 42, "interpolations are resolved"

    for fold in (0, 1):
        values = [row[f"fold_{fold}/val/macro_f1"] for row in run.history if f"fold_{fold}/val/macro_f1" in row]
        assert len(values) == 2, "one an epoch"
        assert any(f"fold_{fold}/train/loss" in row for row in run.history)
    keys = {key for row in run.history for key in row}
    assert {key for key in keys if "macro_f1" in key} == {"fold_0/val/macro_f1", "fold_1/val/macro_f1"}
    globs = [metric for metric in run.every("metric") if metric.get("glob_name") == "*"]
    assert [metric["step_metric"] for metric in globs] == ["trainer/global_step"], "folds lie on each other"

    assert run.summary["state"] == "COMPLETE" and len(run.summary["folds"]) == 2
    assert run.summary["mean"] == run.summary["value"] == pytest.approx(score)
    assert run.exit_code == 0
    lines = "".join(record["line"] for record in run.every("output_logger"))
    assert "fold 1/2" in lines and "fold 2/2" in lines, "the run's own lines are W&B's log"


@pytest.mark.slow
def test_a_failed_run_is_closed_as_failed_and_the_next_has_nothing_of_it(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.logger = {"wandb": {**WANDB["wandb"], "project": "mine"}}
    cfg.optimizer.lr, cfg.validation.folds = 1e30, 2
    with pytest.raises(NonFiniteLossError):
        train(cfg, tmp_path / "failed")
    assert wandb_processes() == []
    cfg.optimizer.lr = 1e-3
    train(cfg, tmp_path / "good")
    failed, good = only_wandb_run(tmp_path / "failed"), only_wandb_run(tmp_path / "good")
    assert (failed.exit_code, good.exit_code) == (1, 0)
    assert failed.summary["state"] == "FAIL" and "NonFiniteLossError" in failed.summary["cause"]
    assert failed.run["run_id"] != good.run["run_id"] and {run.run["project"] for run in (failed, good)} == {"mine"}
    assert [run.config["optimizer"]["lr"] for run in (failed, good)] == [1e30, 1e-3]
    assert not any("val/macro_f1" in key for row in failed.history for key in row)
    assert "cause" not in good.summary


@pytest.mark.parametrize(
    ("state", "exit_code", "tags"),
    [("COMPLETE", 0, []), ("PRUNED", 0, ["pruned"]), *slowly(("FAIL", 1, []), ("INTERRUPTED", 255, ["interrupted"]))],
)
def test_how_a_run_ended_is_told_by_exit_code_and_tag(
    state: str, exit_code: int, tags: list[str], tmp_path: Path
) -> None:
    logger = WandbRunLogger(info(tmp_path, kind="trial", search=tmp_path, params={"lr": 0.1}))
    logger.finish({"state": state, "mean": 0.5})
    run = only_wandb_run(tmp_path)
    assert (run.exit_code, run.tags, run.summary["state"]) == (exit_code, tags, state)
    assert (run.name, run.run["job_type"], run.run["run_group"]) == ("trial 3", "trial", "search")


def test_runs_of_a_search_are_in_its_folder_and_leave_no_process_and_no_hook(tmp_path: Path) -> None:
    before = sys.exit, sys.excepthook
    for number in range(3):
        logger = WandbRunLogger(info(tmp_path / str(number), name=f"trial {number}", search=tmp_path))
        assert wandb_processes() != []
        assert wandb.run is None, "nothing of the next trial can land in it"
        logger.finish({"state": "COMPLETE"})
        assert wandb_processes() == [] and "WANDB_SERVICE" not in os.environ
    assert sorted(run.name for run in wandb_runs(tmp_path)) == ["trial 0", "trial 1", "trial 2"]
    assert (sys.exit, sys.excepthook) == before
    assert not any((tmp_path / str(number)).exists() for number in range(3))


def test_a_run_of_the_user_s_own_is_left_alone(tmp_path: Path) -> None:
    mine = wandb.init(project="mine", dir=tmp_path, mode="offline")
    try:
        logger = WandbRunLogger(info(tmp_path / "run"))
        logger.finish({"state": "COMPLETE"})
        mine.log({"x": 1})
        assert wandb.run is mine and wandb_processes() != []
    finally:
        mine.finish()
        wandb.teardown()
    assert [row["x"] for row in only_wandb_run(tmp_path).history] == [1]
    assert only_wandb_run(tmp_path / "run").history == []


# Offline and online


def test_without_an_api_key_a_run_is_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))  # no ~/.netrc with a key
    WandbRunLogger(info(tmp_path)).finish({"state": "PRUNED", "mean": 0.5})
    assert only_wandb_run(tmp_path).name == "trial 3"
    assert "WANDB_MODE" not in os.environ


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_costs_one_wait_and_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("docclf.loggers.wandb_session._BEGIN_S", 1.0)
    for number in range(2):
        WandbRunLogger(info(tmp_path, name=f"trial {number}", search=tmp_path)).finish({"state": "COMPLETE"})
    assert sorted(run.name for run in wandb_runs(tmp_path)) == ["trial 0", "trial 1"]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and "W&B does not take the run, what is logged stays here" in warnings[0]
    assert wandb_processes() == []


def test_an_api_key_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "0123456789abcdef" * 3
    monkeypatch.setenv("WANDB_API_KEY", key)
    config = {"mine": {"key": key, "list": [f"Bearer {key}"]}}
    session = WandbSession(tmp_path, config, project="docclf")
    session.finish(0)
    assert only_wandb_run(tmp_path).config["mine"] == {"key": "***", "list": ["Bearer ***"]}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3 and not any(key.encode() in path.read_bytes() for path in files)


def test_a_folder_that_cannot_be_written_costs_the_log_and_no_run(
    cfg: DictConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wandb").touch()
    cfg.logger = WANDB
    assert train(cfg, tmp_path) is not None
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and warnings[0].startswith("logger=wandb could not begin, training goes on: ")


def test_wandb_that_dies_in_a_training_costs_the_rest_of_its_log_and_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers, others = list(logging.getLogger().handlers), children(os.getpid())
    loggers = RunLoggers({"wandb": WandbRunLogger}, info(tmp_path))
    (fold,) = loggers.fold(0)
    fold.log_metrics({"x": 1.0}, 0)
    (service,) = set(children(os.getpid())) - set(others)
    os.kill(service, signal.SIGKILL)
    for step in range(3):
        fold.log_metrics({"x": 1.0}, step)
    loggers.finish({"state": "COMPLETE"})
    logging.getLogger("docclf").warning("and on it goes")
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("docclf")]
    assert warnings[-2].startswith("logger=wandb could not finish the run, training goes on: ")
    assert "Traceback" not in capfd.readouterr().err
    assert logging.getLogger().handlers == handlers
    assert wandb_processes() == [] and "WANDB_SERVICE" not in os.environ
    for process in [found for found in gc.get_objects() if type(found) is subprocess.Popen and found.pid == service]:
        process.wait()  # which W&B, whose connection is gone, does not


# The command that uploads


def test_the_command_that_uploads_names_the_offline_runs_that_wait_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "my search's"
    assert sync_command(folder) is None
    runs = [folder / "wandb" / f"{kind}-20260101_000000-{kind[:3]}" for kind in ("offline-run", "run")]
    for path in runs:
        path.mkdir(parents=True)
        (path / f"run-{path.name[-3:]}.wandb").touch()
    found = sync_command(folder)
    assert found is not None
    shown = subprocess.run(["bash", "-c", f"printf '%s\\n' {found}"], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["wandb", "sync", str(folder / "wandb")], "as a shell reads it"
    (runs[0] / "run-off.wandb.synced").touch()
    assert sync_command(folder) is None


def test_the_command_is_told_at_the_end_of_a_run_alone_and_not_of_a_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "docclf")
    WandbRunLogger(info(tmp_path, search=tmp_path)).finish({"state": "COMPLETE"})
    WandbRunLogger(info(tmp_path / "my run")).finish({"state": "COMPLETE"})
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("docclf")]
    assert lines == [f"Upload the run to W&B: wandb sync '{tmp_path}/my run/wandb'"]
