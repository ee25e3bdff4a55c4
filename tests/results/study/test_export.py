"""What is exported of a search, and when, by one process at a time."""

import csv
import logging
import pickle
import re
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import OmegaConf
from optuna.trial import create_trial
from results.sweeps import BEST, TRIALS, Compose, Sweep
from slowly import slowly
from sqlalchemy.exc import OperationalError

from docclf.files import lock
from docclf.results.report import page
from docclf.results.study.export import ExportBest, export, export_best
from docclf.sweeper.storage import patience, places
from docclf.sweeper.storage.shared import SharedStorage
from docclf.sweeper.study.finalists import load_finalists, mark, open_finalists, own
from docclf.sweeper.study.process import this_process


def test_a_trial_that_still_runs_keeps_the_model_that_it_has_just_written(cwd: Path, compose_config: Compose) -> None:
    sweep = Sweep(cwd, compose_config, "data=csv", "data.root=pages")
    running = sweep.study.ask()
    models = [sweep.folder / str(number) / "model" for number in range(running.number + 1)]
    for model in models:
        model.mkdir(parents=True)
    export_best(sweep.study, sweep.folder, sweep.config)
    assert [model.exists() for model in models] == [False, False, True, False, True]
    sweep.study.tell(running, 0.95)
    (sweep.folder / str(running.number) / ".hydra").mkdir()
    OmegaConf.save(sweep.trial_config, sweep.folder / str(running.number) / ".hydra" / "config.yaml")
    export_best(sweep.study, sweep.folder, sweep.config)
    assert [model.exists() for model in models] == [False, False, False, False, True]
    assert (sweep.folder / "best" / "model").is_dir()


@pytest.mark.parametrize(("typed", "shown"), [(None, True), ("model.name", False), ("data.root", True)])
def test_a_report_shows_no_pages_that_a_folder_of_configs_names(
    typed: str | None, shown: bool, cwd: Path, compose_config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, given = Sweep(cwd, compose_config, "data=csv", "data.root=pages"), []
    monkeypatch.setattr(page, "write_report", lambda *_, pages, **__: given.append(pages))
    monkeypatch.delenv("DOCCLF_TYPED", raising=False)
    if typed is not None:
        monkeypatch.setenv("DOCCLF_TYPED", typed)
    export(sweep.config, sweep.folder)
    assert given == [cwd / "pages" if shown else None]


@pytest.mark.parametrize(("keep", "kept"), [("winner", ["model"]), *slowly(("finalists", ["model"])), ("none", [])])
def test_without_finalists_their_winner_stays_until_another_run_has_a_model(
    cwd: Path, compose_config: Compose, keep: str, kept: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(cwd, compose_config, "data=csv", "data.root=pages", "finalists.top_k=0", f"keep_checkpoints={keep}")
    best = sweep.folder / "best"
    (best / "model").mkdir(parents=True)
    (best / "verdict.yaml").write_text("{is_final: true, trial: 1, files: [model]}")
    with caplog.at_level(logging.INFO):
        export(sweep.config, sweep.folder)
    assert [path.name for path in best.glob("model")] == kept
    assert ("the run of trial 2 has no model any more" in caplog.text) is bool(kept)
    assert yaml.safe_load((best / "verdict.yaml").read_text())["trial"] == (1 if kept else BEST)
    (sweep.folder / str(BEST) / "model").mkdir()
    export(sweep.config, sweep.folder)
    assert yaml.safe_load((best / "verdict.yaml").read_text())["trial"] == BEST and (best / "model").is_dir()


def test_the_files_say_where_they_come_from(
    compose_config: Compose, cwd: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(cwd, compose_config)
    with caplog.at_level(logging.INFO):
        export(sweep.config, sweep.folder)
    params = (sweep.folder / "best" / "params.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(params) == {"optimizer.lr": 4.5678901234567e-3, "data.batch_size": 64}
    for text in (params, (sweep.folder / "best" / "config.yaml").read_text(encoding="utf-8")):
        study, score, *_ = text.splitlines()
        assert study == "# study: 서류 1, trial 2 of 4"
        assert score == "# score: 0.9000, spread over folds 0.1414 (0.8000, 1.0000), on the folds that it was chosen by"
        assert re.search(r"^# versions: docclf \d\S*, hydra-core 1\.4\S*, optuna 5\.", text, re.M)
        assert re.search(r"^# written: \d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}$", text, re.M)
        assert f"--config-dir '{sweep.folder / 'best'}' --config-name config" in text, "a command to copy, quoted"
    with (sweep.folder / "trials.csv").open(encoding="utf-8") as file:
        assert [row["value"] for row in csv.DictReader(file)] == ["0.5", "0.6", "0.9", "0.7"]
    assert "best macro-F1 0.900 (folds 0.800, 1.000), trial 2" in caplog.text
    assert "+0.400 macro-F1 over the baseline, trial 0" in caplog.text


def test_without_a_finished_trial_there_is_a_table_and_no_config(
    compose_config: Compose, cwd: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(cwd, compose_config, values=False)
    with caplog.at_level(logging.INFO):
        export(sweep.config, sweep.folder)
    assert (sweep.folder / "trials.csv").is_file() and not (sweep.folder / "best").exists()
    assert "No trial finished" in caplog.text


def test_exporting_again_replaces_the_files(compose_config: Compose, cwd: Path, elsewhere: Path) -> None:
    sweep = Sweep(cwd, compose_config)
    export(sweep.config, sweep.folder)
    trial = sweep.study.ask(sweep.study.trials[0].distributions)
    (sweep.folder / "2").rename(sweep.folder / str(trial.number))
    sweep.study.tell(trial, 0.95)
    export(sweep.config, sweep.folder)
    assert "trial 4 of 5" in (sweep.folder / "best" / "config.yaml").read_text(encoding="utf-8")
    names = {path.name for path in (sweep.folder / "best").iterdir()}
    assert names == {"config.yaml", "params.yaml", "verdict.yaml", *(p.name for p in (sweep.folder / "4").iterdir())}


# Several processes in one folder


def rescore(sweep: Sweep) -> None:
    """Have the best trial re-evaluated by this process."""
    finalists = open_finalists(sweep.study, race=False)
    name = mark(BEST, ["validation.seed=1042"])
    trial = sweep.study.trials[BEST]
    finalists.add_trial(
        create_trial(value=0.8, params=trial.params, distributions=trial.distributions, user_attrs={"finalist": name})
    )
    finalists.set_user_attr("current", [name])
    (sweep.folder / "finalists" / "0").mkdir(parents=True)
    own(finalists, this_process())


@pytest.mark.parametrize("has_finalists", [False, True], ids=["the best trial", "the winner of finalists"])
def test_one_process_at_a_time_writes_best(
    cwd: Path, compose_config: Compose, has_finalists: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(cwd, compose_config, f"finalists.top_k={int(has_finalists)}")
    if has_finalists:
        rescore(sweep)
    verdict = sweep.folder / "best" / "verdict.yaml"
    with ThreadPoolExecutor(1) as pool:
        with lock(sweep.folder / ".best.lock"):
            done = pool.submit(export, sweep.config, sweep.folder)
            wait([done], timeout=1)  # longer than it takes
            assert not done.done() and not verdict.exists()
        done.result(timeout=60)
    assert yaml.safe_load(verdict.read_text(encoding="utf-8"))["is_final"] is has_finalists


class AwaitBeat(logging.Handler):
    """Holds up the export at its last line until the owner of the finalists has said once more that it lives."""

    def __init__(self, finalists: optuna.Study) -> None:
        super().__init__()
        self.finalists, self.beats = finalists, [finalists.user_attrs["heartbeat"]]

    def emit(self, record: logging.LogRecord) -> None:
        deadline = time.monotonic() + 5
        while "What next:" in record.getMessage() and len(self.beats) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
            self.beats = sorted({*self.beats, self.finalists.user_attrs["heartbeat"]})


def test_who_has_the_finalists_says_that_it_lives_until_the_export_has_ended(
    cwd: Path, compose_config: Compose, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(cwd, compose_config, "finalists.top_k=1")
    rescore(sweep)
    monkeypatch.setattr("docclf.sweeper.study.finalists.BEAT_S", 0.05)
    finalists = load_finalists(sweep.study)
    assert finalists is not None
    waiting = AwaitBeat(finalists)
    log = logging.getLogger("docclf.results.study.export")
    monkeypatch.setattr(log, "handlers", [waiting])
    with caplog.at_level(logging.INFO):
        export(sweep.config, sweep.folder)
    assert len(waiting.beats) == 3
    assert finalists.user_attrs["owner"] == "", "and then leaves them to others"


# The callback


def test_the_callback_exports_a_docclf_search(compose_config: Compose, cwd: Path, elsewhere: Path) -> None:
    sweep = Sweep(cwd, compose_config)
    ExportBest().on_multirun_end(sweep.config)
    assert (sweep.folder / "best" / "config.yaml").is_file()


def test_the_callback_leaves_other_sweeps_and_refused_searches_alone(
    compose_config: Compose, cwd: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(cwd, compose_config)
    (sweep.folder / "multirun.yaml").unlink()
    ExportBest().on_multirun_end(sweep.config)
    (sweep.folder / "multirun.yaml").touch()
    sweep.config.hydra.sweeper = compose_config(hydra=True).hydra.sweeper
    ExportBest().on_multirun_end(sweep.config)
    assert not (sweep.folder / "best").exists() and "Could not export" not in caplog.text


def test_an_export_that_fails_is_told_and_leaves_the_study(
    compose_config: Compose, cwd: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(cwd, compose_config)
    (sweep.folder / "2" / ".hydra" / "config.yaml").unlink()
    with pytest.raises(SystemExit) as end:
        ExportBest().on_multirun_end(sweep.config)
    assert end.value.code == 1
    assert "Could not export the best trial" in caplog.text and "config.yaml" in caplog.text
    assert "Traceback" not in caplog.text
    assert len(sweep.study.trials) == 4


class Gone:
    """A storage whose server is away for good."""

    def __getattr__(self, name: str) -> Any:
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))


def test_the_export_of_a_search_that_was_ended_does_not_wait_for_a_server_that_is_away(
    compose_config: Compose, cwd: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = Sweep(cwd, compose_config)
    gone: Any = Gone()
    storage = SharedStorage(gone, is_remote=True)  # type: ignore[abstract]
    monkeypatch.setattr(places, "study_storage", lambda hydra: storage)
    waited = [0.0]
    monkeypatch.setattr(patience.time, "sleep", waited.append)
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(waited))
    with pytest.raises(SystemExit) as end:
        try:
            raise SystemExit(130)
        finally:
            ExportBest().on_multirun_end(sweep.config)
    assert end.value.code == 130 and sum(waited) < 10
    assert "The database is away; once it is back" in caplog.text and "Could not export" not in caplog.text


@pytest.mark.parametrize("wanted", [True, *slowly(False)])
def test_the_study_is_pickled_when_asked_for(
    compose_config: Compose, cwd: Path, elsewhere: Path, caplog: pytest.LogCaptureFixture, wanted: bool
) -> None:
    sweep = Sweep(cwd, compose_config, f"results.pickle={wanted}")
    ExportBest().on_multirun_end(sweep.config)
    assert (sweep.folder / "study.pkl").is_file() is wanted
    assert ("A pickle runs code" in caplog.text) is wanted
    if wanted:
        assert pickle.loads((sweep.folder / "study.pkl").read_bytes()).best_value == TRIALS[BEST][0]
