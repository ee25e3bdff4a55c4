"""A search from Python, and its results read back."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from slowly import slowly
from tiny import SEARCH

import docclf
from docclf.api import _chooses_search
from docclf.errors import ConfigError, DataError, DocclfError, SearchError, TrainingError

SMALL = (*SEARCH, "finalists.top_k=1", "hydra/sweeper/pruner=none", "hydra.sweeper.finalists.references=null")


@pytest.fixture(scope="module")
def found(pages_root: Path, tmp_path_factory: pytest.TempPathFactory) -> docclf.SearchResult:
    cwd = tmp_path_factory.mktemp("from python")
    overrides = [*SMALL, f"data.root='{pages_root}'", "search.n_trials=2", "study_name='첫 검색'"]
    return docclf.search(overrides, cwd=cwd)


def test_a_search_returns_the_exported_config_the_best_value_and_the_study(found: docclf.SearchResult) -> None:
    assert found.folder.name == "첫 검색"
    assert found.config_path == found.folder / "best" / "config.yaml" and found.config_path.is_file()
    assert found.study.trials[0].state.name == "COMPLETE" and len(found.study.trials) == 2
    assert found.best_value == max(t.value for t in found.study.trials if t.state.name == "COMPLETE")
    assert isinstance(found.verdict["beats_baseline"], bool)


def test_the_winner_s_config_is_that_of_its_trial_with_the_folds_models_kept(found: docclf.SearchResult) -> None:
    trial = found.verdict["trial"]
    config = docclf.best_config(found.folder)
    ran = OmegaConf.load(found.folder / str(trial) / ".hydra" / "config.yaml")
    assert {**config, "data": None} == {**ran, "refit": "folds", "logger": {}, "data": None}
    assert {**config.data, "root": None} == {**ran.data, "root": None}


def test_a_search_that_was_moved_is_read_where_it_is(found: docclf.SearchResult, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(found.folder)
    assert docclf.load_study(moved).study_name == "첫 검색"
    assert docclf.read_search(moved).best_value == found.best_value


def test_what_is_no_search_is_said(tmp_path: Path) -> None:
    for read in (docclf.load_study, docclf.best_config, docclf.read_search):
        with pytest.raises(DataError, match="Expected the folder of a search"):
            read(tmp_path)


def test_a_search_that_fails_raises_what_it_printed(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SearchError, match=r"exit code 1:(.|\n)*data\.rot"):
        docclf.search(["data.rot=x"], cwd=tmp_path)
    assert "data.rot" in capsys.readouterr().out


def test_a_command_that_writes_nothing_is_told_without_passwords(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"storage=postgresql://me@host/x, which writes nothing") as caught:
        docclf.search(["--help", "search.storage=postgresql://me:s3cret@host/x"], cwd=tmp_path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.slow
def test_a_configuration_is_trained_and_predicts(pages_root: Path, tmp_path: Path) -> None:
    given = [text for text in SMALL if not text.startswith("hydra")]
    run = docclf.train([*given, f"data.root='{pages_root}'", "refit=folds"], cwd=tmp_path)
    assert run.folder.is_relative_to(tmp_path / "outputs")
    assert run.score == run.result["mean"] and len(run.result["folds"]) == 2
    predictions = docclf.predict(run.folder, pages_root / "test.csv", ["output='6월 (b).csv'"], cwd=tmp_path)
    assert predictions == tmp_path / "6월 (b).csv"
    with predictions.open(encoding="utf-8") as file:
        assert file.readline().startswith("ID,target,")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: docclf.train("data=folder"), r"`overrides` to be a list .*Say overrides=\['data=csv', 'data"),
        (lambda: docclf.search([1]), "`overrides` to be a list of texts, got \\[1\\]"),
        (lambda: docclf.predict("run", "pages", "output=a.csv"), "`overrides` to be a list"),
        (lambda: docclf.train(allow="mine.*"), "`allow` to be a list"),
        (lambda: docclf.train(["-m", "hparams_search=head"]), r"one training, got -m\. Say docclf\.search"),
        (lambda: docclf.train(cwd="/nowhere"), "`cwd` to be a folder, got /nowhere.*Say cwd='\\.'"),
        (lambda: docclf.search(None), r"`overrides` to be a list of texts, got None\. Say overrides=\['data=csv'"),
        (lambda: docclf.search([], cwd=None), r"`cwd` to be a path, got None\. Say cwd='\.'"),
        (lambda: docclf.train([], cwd=3), "`cwd` to be a path, got 3"),
        (lambda: docclf.train({"data": "csv"}), r"got {'data': 'csv'}\. Say overrides=\['data=csv', 'data"),
        (lambda: docclf.train([Path("x")]), r"got \[PosixPath\('x'\)\]\. Say overrides=\['data=csv', 'data"),
        (lambda: docclf.train(b"x"), r"list of texts, got b'x'\. Say overrides=\['data=csv'"),
        (lambda: docclf.train(iter([1])), r"list of texts, got \[1\]"),
        (lambda: docclf.search(allow=3), r"`allow` to be a list of texts, got 3\. Say allow=\['mine\.\*'\]"),
        (lambda: docclf.predict(None, "pages"), r"`run` to be a path, got None\. Say run='multirun/NAME'"),
        (lambda: docclf.predict("run", ["pages"]), r"`root` to be a path, got \['pages'\]\. Say root='pages'"),
        (lambda: docclf.read_search(None), "`folder` to be a path, got None"),
        (lambda: docclf.load_study(3), "`folder` to be a path, got 3"),
        (lambda: docclf.best_config(None), "`folder` to be a path, got None"),
        (lambda: docclf.load_model(None), "`run` to be a path, got None"),
        (lambda: docclf.load_model(3), "`run` to be a path, got 3"),
        (lambda: docclf.load_model("run", allow=None), "`allow` to be a list of texts, got None"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_runs(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        call()


@pytest.mark.parametrize("encoding", ["cp949", *slowly("latin-1", "utf-16")])
def test_what_a_command_prints_is_read_whatever_the_terminal_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, encoding: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    with pytest.raises(DataError, match=r"docclf\.predict ended with exit code 1:(.|\n)*모델 없음"):
        docclf.predict(tmp_path, tmp_path / "모델 없음", cwd=tmp_path)
    assert "모델 없음" in capsys.readouterr().out


def test_overrides_may_come_one_by_one_and_a_training_that_fails_raises_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"docclf\.train ended with exit code 1:(.|\n)*data\.rot"):
        docclf.train((text for text in ["data.rot=x"]), cwd=tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--config-dir", "a b", "experiment=child"], True),
        *slowly(
            (["--config-dir=a b", "--config-name=main"], True),
            (["-cd", "a b", "experiment=[heads]"], True),
            (["hydra.searchpath=['file://a b']", "experiment='heads'", "optimizer.lr=interval(1e-4, 1e-3)"], True),
            (["--config-dir=a b", "experiment=plain"], False),
            (["--config-dir=nowhere", "experiment=heads"], False),
        ),
        (["data=csv"], False),
        (["hparams_search=head"], True),
    ],
)
def test_whether_a_config_chooses_the_search(given: list[str], expected: bool, tmp_path: Path) -> None:
    (tmp_path / "a b" / "experiment").mkdir(parents=True)
    experiments = {
        "heads": "[{override /hparams_search: head}]",
        "child": "[heads]",
        "plain": "[]\n# python -m docclf.train -m hparams_search=optuna experiment=plain\nseed: 1",
    }
    for name, defaults in experiments.items():
        text = f"# @package _global_\ndefaults: {defaults}\n"
        (tmp_path / "a b" / "experiment" / f"{name}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "a b" / "main.yaml").write_text("defaults: [train, {override hparams_search: head}, _self_]\n")
    assert _chooses_search(given, tmp_path) is expected


@pytest.mark.slow
def test_an_experiment_chooses_the_search_and_its_folder(pages_root: Path, tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults: [{override /hparams_search: head}]\nstudy_name: wide\n"
    (tmp_path / "conf" / "experiment" / "heads.yaml").write_text(text)
    tiny = [text for text in SMALL if not text.startswith(("model.tune", "validation.epochs", "data.batch"))]
    given = [*tiny, f"data.root='{pages_root}'", "--config-dir=conf", "experiment=heads", "finalists.top_k=0"]
    given += ["search.n_trials=1", "hydra.sweep.dir='found/${study_name}'"]
    found = docclf.search(given, cwd=tmp_path)
    assert found.folder == tmp_path / "found" / "wide" and found.config_path.is_file()
    assert OmegaConf.load(found.folder / "multirun.yaml").hydra.runtime.choices.hparams_search == "head"
    assert len(found.study.trials) == 1


def test_a_name_that_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        docclf.serach  # type: ignore[attr-defined]  # noqa: B018


def test_a_command_that_trains_nothing_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"Expected docclf\.train to write something, got --cfg job, which writes nothing"
    ):
        docclf.train(["--cfg", "job"], cwd=tmp_path)


def test_what_a_command_prints_is_shown_in_any_encoding(tmp_path: Path) -> None:
    code = "import docclf; docclf.predict('run', '스캔')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "DataError: docclf.predict ended with exit code" in done.stderr and "UnicodeEncodeError" not in done.stderr


@pytest.mark.parametrize("override", ["seed=1\0", "data.root=" + "x" * 300])
def test_odd_texts_end_in_words(override: str, tmp_path: Path) -> None:
    with pytest.raises(DocclfError):
        docclf.search(["experiment=none", override], cwd=tmp_path)
