"""`results.pickle=true`: the study as one file for old notebooks."""

import logging
import pickle
import pickletools
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from docclf.results.study.files import write_pickle

SPACE = {"optimizer.lr": FloatDistribution(1e-5, 1, log=True), "model": CategoricalDistribution(["a", "b"])}


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """In a database whose address holds a password, as far as SQLite can have one."""
    study = optuna.create_study(
        study_name="서류 1",
        storage=f"sqlite:///file:{tmp_path}/geheim.db?uri=true&user=me&password=hunter2",
        direction="maximize",
    )
    for number, value in enumerate([0.5, 0.75, 0.625]):
        trial = create_trial(
            value=value,
            params={"optimizer.lr": 10.0**-number, "model": "ab"[number % 2]},
            distributions=SPACE,
            user_attrs={"folds": [value, value]},
            intermediate_values={0: value / 2},
        )
        study.add_trial(trial)
    study.add_trial(create_trial(state=TrialState.FAIL, params={}, distributions={}, user_attrs={"cause": "memory"}))
    study.set_user_attr("facts", "70 pages")
    return study


def test_the_unpickled_study_is_the_study(study: optuna.Study, tmp_path: Path) -> None:
    write_pickle(tmp_path / "study.pkl", study)
    found = pickle.loads((tmp_path / "study.pkl").read_bytes())
    assert found.study_name == "서류 1" and found.best_value == 0.75 and found.user_attrs == study.user_attrs
    assert found.direction == study.direction

    def told(study: optuna.Study) -> list[object]:
        return [(t.number, t.state, t.values, t.params, t.user_attrs, t.intermediate_values) for t in study.trials]

    assert told(found) == told(study)
    found.add_trial(create_trial(value=0.9, params={}, distributions={}))
    assert found.best_value == 0.9 and study.best_value == 0.75, "it stands alone"


def test_address_and_password_of_the_storage_are_not_in_it(study: optuna.Study, tmp_path: Path) -> None:
    write_pickle(tmp_path / "study.pkl", study)
    content = (tmp_path / "study.pkl").read_bytes()
    for text in ("hunter2", "password", "geheim.db", "sqlite"):
        assert text.encode() not in content, text


def test_optuna_alone_opens_it(study: optuna.Study, tmp_path: Path) -> None:
    write_pickle(tmp_path / "study.pkl", study)
    names = [arg for op, arg, _ in pickletools.genops((tmp_path / "study.pkl").read_bytes()) if isinstance(arg, str)]
    assert not [name for name in names if name.startswith("docclf")]
    code = "import pickle, sys; sys.modules['docclf'] = None; print(pickle.load(open('study.pkl', 'rb')).best_value)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "0.75\n"


def test_it_is_replaced_whole_and_the_log_warns(
    study: optuna.Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "study.pkl").write_bytes(b"an older one")
    with caplog.at_level(logging.WARNING, logger="docclf"):
        write_pickle(tmp_path / "study.pkl", study)
    assert "A pickle runs code when it is opened" in caplog.text
    assert pickle.loads((tmp_path / "study.pkl").read_bytes()).best_value == 0.75
    assert not list(tmp_path.glob(".*"))


def test_several_objectives_are_kept(tmp_path: Path) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], study_name="two")
    study.add_trial(create_trial(values=[0.5, 10.0], params={}, distributions={}))
    write_pickle(tmp_path / "study.pkl", study)
    found = pickle.loads((tmp_path / "study.pkl").read_bytes())
    assert found.directions == study.directions and [t.values for t in found.best_trials] == [[0.5, 10.0]]
