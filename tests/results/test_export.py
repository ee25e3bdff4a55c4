"""The exported config trains what the winning trial trained, from any folder, with any override after it."""

import csv
import logging
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState, create_trial
from slowly import slowly
from sqlalchemy.exc import OperationalError

import docclf
from docclf.errors import DataError
from docclf.files import lock
from docclf.results.study.export import ExportBest, export, export_best
from docclf.results.study.trial_config import _reference_config
from docclf.sweeper.storage import patience, places
from docclf.sweeper.storage.shared import SharedStorage
from docclf.sweeper.study.finalists import load_finalists, mark, open_finalists, own
from docclf.sweeper.study.process import this_process
from docclf.train import train

Compose = Callable[..., DictConfig]

# Score, learning rate and batch size.
TRIALS = [(0.5, 1e-3, 32), (0.6, 3e-3, 16), (0.9, 4.5678901234567e-3, 64), (0.7, 1e-5, 128)]
BEST = 2


class Sweep:
    """A finished search: its folder, its study in SQLite, the config of its best trial as Hydra leaves it."""

    def __init__(self, cwd: Path, compose: Compose, *overrides: str, values: bool = True) -> None:
        self.overrides = ["hparams_search=optuna", "study_name='서류 1'", *overrides]
        self.config = compose(*self.overrides, hydra=True)
        OmegaConf.set_readonly(self.config, False)
        OmegaConf.update(self.config, "hydra.runtime.cwd", str(cwd), force_add=True)
        self.folder = cwd / "multirun" / "서류 1"
        self.folder.mkdir(parents=True)
        (self.folder / "multirun.yaml").touch()
        self.study = optuna.create_study(
            storage=f"sqlite:///{self.folder / 'study.db'}", study_name="서류 1", direction="maximize"
        )
        for number, (value, lr, batch_size) in enumerate(TRIALS):
            params = {"optimizer.lr": lr, "data.batch_size": batch_size}
            self.study.enqueue_trial(params, user_attrs={"role": "baseline"} if number == 0 else None)
            trial = self.study.ask(
                {
                    "optimizer.lr": optuna.distributions.FloatDistribution(1e-6, 1e-1, log=True),
                    "data.batch_size": optuna.distributions.CategoricalDistribution([16, 32, 64, 128]),
                }
            )
            trial.set_user_attr("folds", [value - 0.1, value + 0.1])
            if number == BEST:
                self.trial_config = compose(*self.overrides, *(f"{key}={value}" for key, value in params.items()))
                (self.folder / str(number) / ".hydra").mkdir(parents=True)
                OmegaConf.save(self.trial_config, self.folder / str(number) / ".hydra" / "config.yaml")
            self.study.tell(trial, value if values else None, state=None if values else TrialState.FAIL)


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys to values, unresolved."""
    values: dict[str, Any] = {}
    for key, value in OmegaConf.to_container(node).items() if isinstance(node, DictConfig) else node.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory far from the search's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "내 프로젝트"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, compose_config: Compose) -> Sweep:
    sweep = Sweep(tmp_path_factory.mktemp("project"), compose_config, "data=csv", "data.root=pages")
    export(sweep.config, sweep.folder)
    return sweep


def compose_best(compose: Compose, sweep: Sweep, *overrides: str, hydra: bool = False) -> DictConfig:
    """As `--config-dir best --config-name config` does: the exported folder comes before that of docclf."""
    path = f"hydra.searchpath=['file://{docclf.CONF_DIR}']"
    return compose(path, *overrides, config="config", hydra=hydra, folder=sweep.folder / "best")


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


def test_the_exported_config_is_that_of_the_best_trial_key_by_key(
    compose_config: Compose, cwd: Path, elsewhere: Path
) -> None:
    sweep = Sweep(cwd, compose_config, "data=csv", "data.root='내 문서/pages'", "augment=scan", "model.drop_rate=0.125")
    export(sweep.config, sweep.folder)
    command = [
        sys.executable,
        "-m",
        "docclf.train",
        "--config-dir",
        str(sweep.folder / "best"),
        "--config-name",
        "config",
    ]
    shown = subprocess.run([*command, "--cfg", "job"], cwd=elsewhere, capture_output=True, text=True, check=True).stdout
    trial, exported = flat(sweep.trial_config), flat(OmegaConf.create(shown))
    assert trial["optimizer.lr"] == 4.5678901234567e-3 and trial["data.batch_size"] == 64
    assert sorted(exported) == sorted(trial)
    assert {key: (trial[key], exported[key]) for key in trial if trial[key] != exported[key]} == {
        "refit": (False, "folds"),
    }
    assert flat(compose_best(compose_config, sweep)) == exported, "so that the tests below may compose in this process"


@pytest.mark.parametrize("root", ["/data/pages", *slowly("pages", "../pages")])
def test_paths_are_absolute_but_the_root_is_as_it_was_given(
    compose_config: Compose, cwd: Path, elsewhere: Path, root: str
) -> None:
    sweep = Sweep(
        cwd, compose_config, "data=folder", f"data.root={root}", "data.cache_dir=cache", "data.exclude=out.csv",
        "model.checkpoint_path=../weights.pth", "validation.split_file=folds.csv",
    )  # fmt: skip
    export(sweep.config, sweep.folder)
    exported = compose_best(compose_config, sweep)
    assert exported.data.root == root and exported.data.cache_dir == str(cwd / "cache")
    assert exported.data.exclude == str(cwd / "out.csv")
    assert exported.model.checkpoint_path == str(cwd / "../weights.pth")
    assert exported.validation.split_file == str(cwd / "folds.csv")


@pytest.mark.parametrize("through", [{}, *slowly({"model.name": "${oc.env:MY_SECRET}"})], ids=["itself", "another key"])
def test_a_trial_s_config_takes_nothing_from_the_environment_along(
    compose_config: Compose, cwd: Path, through: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "s3cret")
    sweep = Sweep(cwd, compose_config, "data=folder", "data.root=pages")
    theirs = sweep.trial_config
    for key, value in (
        {"data.exclude": "${model.name}"} if through else {"data.exclude": "${oc.env:MY_SECRET}"}
    ).items():
        OmegaConf.update(theirs, key, value)
    for key, value in through.items():
        OmegaConf.update(theirs, key, value)
    (path,) = sweep.folder.glob("[0-9]*/.hydra/config.yaml")
    OmegaConf.save(theirs, path)
    export(sweep.config, sweep.folder)
    written = (sweep.folder / "best" / "config.yaml").read_text(encoding="utf-8")
    assert "s3cret" not in written and "${oc.env:MY_SECRET}" in written


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("optimizer.lr=0.5", "optimizer.lr", 0.5),
        ("seed=7", "validation.seed", 7),
        ("validation.folds=9", "validation.folds", 9),
        *slowly(
            ("logger=none", "logger.none", True),
            ("augment=scan", "augment.noise", 0.05),
            ("augment=none", "augment.degrees", 0),
            ("model=convnext_tiny", "model.name", "convnext_tiny"),
            ("validation=full", "validation.epochs", 20),
            ("validation=holdout", "validation.run_folds", 1),
            ("scheduler=constant", "scheduler._target_", "docclf.models.schedules.constant"),
            ("optimizer=sgd", "optimizer._target_", "torch.optim.SGD"),
            ("experiment=basic", "model.name", "efficientnet_b3"),
        ),
    ],
)
def test_any_override_works_after_the_exported_config(
    compose_config: Compose, exported: Sweep, elsewhere: Path, override: str, key: str, value: object
) -> None:
    plain, changed = compose_best(compose_config, exported), compose_best(compose_config, exported, override)
    assert OmegaConf.select(changed, key) == value != OmegaConf.select(plain, key)
    part = key.split(".")[0]
    derived = ("seed", "search", "finalists", "validation", "augment", "data")
    others = [name for name in plain if name not in (part, *derived)]
    assert all(plain[name] == changed[name] for name in others), "the rest stays as the trial had it"
    assert changed.data.root == plain.data.root


@pytest.mark.parametrize("data", ["csv", *slowly("folder")])
def test_without_its_pages_the_exported_config_asks_for_their_root(
    compose_config: Compose, cwd: Path, elsewhere: Path, data: str
) -> None:
    sweep = Sweep(cwd, compose_config, f"data={data}", "data.root=pages")
    export(sweep.config, sweep.folder)
    with pytest.raises(DataError) as refused:
        train(compose_best(compose_config, sweep), elsewhere)
    assert "`data.root`" in str(refused.value) and str(refused.value).endswith(
        f"pages, which is not there (looked for in {elsewhere}). Say where the pages are: data.root=DIR."
    )


def test_pages_may_be_others_after_the_exported_config(compose_config: Compose, cwd: Path, elsewhere: Path) -> None:
    sweep = Sweep(cwd, compose_config)
    export(sweep.config, sweep.folder)
    assert compose_best(compose_config, sweep).data.draw._target_ == "docclf.demo.draw_pages"
    changed = compose_best(compose_config, sweep, "data=folder", "data.root=/mine")
    assert changed.data.draw is None and changed.data.reader._target_ == "docclf.data.pages.read_folder"
    assert changed.data.root == "/mine" and changed.optimizer.lr == TRIALS[BEST][1]


def test_drawn_pages_after_the_exported_config_bring_their_augmentation(
    compose_config: Compose, exported: Sweep, elsewhere: Path
) -> None:
    changed = compose_best(compose_config, exported, "data=synthetic")
    assert changed.data.draw.test_look == "photo" and changed.augment.quarter_turns == 0.5
    assert changed.validation.augment == "photo"


@pytest.mark.parametrize("option", sorted(path.stem for path in (docclf.CONF_DIR / "hparams_search").glob("*.yaml")))
def test_any_search_may_start_from_the_exported_config(
    compose_config: Compose, exported: Sweep, elsewhere: Path, option: str
) -> None:
    found = compose_best(compose_config, exported, f"hparams_search={option}", "study_name=again", hydra=True)
    assert found.hydra.sweeper._target_ == "docclf.sweeper.plugin.DocclfSweeper"
    assert found.hydra.sweep.dir == "multirun/again" and found.optimizer.lr == TRIALS[BEST][1]
    plain = compose_config(f"hparams_search={option}", f"data.image_size={found.data.image_size}", hydra=True)
    assert found.hydra.sweeper.params == plain.hydra.sweeper.params
    assert found.validation.run_folds == plain.validation.run_folds


def test_the_exported_config_trains(compose_config: Compose, cwd: Path, elsewhere: Path, pages_root: Path) -> None:
    tiny = ["model.name=test_resnet", "data.image_size=32", "validation.epochs=1", "validation.prune_after=1"]
    sweep = Sweep(cwd, compose_config, "data=csv", f"data.root='{pages_root}'", "augment=none", "logger=none", *tiny)
    export(sweep.config, sweep.folder)
    scores = [train(sweep.trial_config, elsewhere / "a"), train(compose_best(compose_config, sweep), elsewhere / "b")]
    assert scores[0] == scores[1]
    assert (elsewhere / "a" / "oof.csv").read_bytes() == (elsewhere / "b" / "oof.csv").read_bytes()


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
        assert score == "# score: 0.9000, spread over folds 0.1414 (0.8000, 1.0000)"
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
            wait([done], timeout=2)
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


def test_a_reference_that_wins_is_exported_with_its_own_keys_and_the_folds_of_a_trial(tmp_path: Path) -> None:
    trial, reference = (
        OmegaConf.create({"tune": tune, "validation": {"folds": folds, "seed": seed}})
        for tune, folds, seed in (("all", 3, 42), ("nearest", 5, 1042))
    )
    for name, config in (("4", trial), ("finalists/2", reference)):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        OmegaConf.save(config, tmp_path / name / ".hydra" / "config.yaml")
    finalist = optuna.trial.create_trial(
        value=0.9, user_attrs={"finalist": "4/nearest validation.seed=1042", "reference": "nearest"}
    )
    finalist.number = 2
    overrides = {"validation": None, "validation.seed": 1042}
    search = OmegaConf.create({"hydra": {"sweeper": {"finalists": {"overrides": overrides}}}})
    found = _reference_config(finalist, tmp_path, search)
    assert found == {"tune": "nearest", "validation": {"folds": 3, "seed": 42}}
