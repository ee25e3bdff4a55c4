"""What others write into a study: read only where it is of the kind that docclf's processes write."""

import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from docclf.errors import DataError
from docclf.sweeper.run.limits import seconds_spent
from docclf.sweeper.storage.places import open_storage, shared
from docclf.sweeper.study.attributes import (
    AGAIN,
    ATTEMPT,
    BEAT,
    CARRIED,
    DUPLICATE_OF,
    FINALIST,
    FLOORS,
    INTERRUPTED,
    OVERRIDES,
    RETRY_OF,
    RUN,
    WANTED,
    of_their_kind,
)
from docclf.sweeper.study.trials import earlier


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (AGAIN, 3, "soon"),
        (AGAIN, 0.5, float("nan")),
        (AGAIN, -1, 10**400),
        (DUPLICATE_OF, 0, 10**30),
        (FINALIST, "3", "9" * 5000),
        (BEAT, 1.5, True),
        (ATTEMPT, 1, -1),
        (ATTEMPT, 0, 1.5),
        (DUPLICATE_OF, 3, "../x"),
        (CARRIED, None, "3"),
        (INTERRUPTED, None, ["process"]),
        (OVERRIDES, ["a=1"], "a=1"),
        (WANTED, [], [1]),
        (FINALIST, "3/nearest validation.seed=1", "x 3"),
        (FLOORS, {"pixels": 0.5}, ["pixels"]),
    ],
)
def test_a_value_of_another_kind_is_left_out(name: str, right: Any, wrong: Any) -> None:
    assert of_their_kind({name: right, "mine": "x"}) == {name: right, "mine": "x"}
    assert of_their_kind({name: wrong, "mine": "x"}) == {"mine": "x"}
    assert of_their_kind({FLOORS: {"pixels": 0.5, "features": "high"}}) == {FLOORS: {"pixels": 0.5}}


@pytest.mark.parametrize("place", ["sqlite:///study.db", "study.log"])
def test_trials_and_studies_are_read_so(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(storage=open_storage(place))
    for state in (TrialState.COMPLETE, TrialState.FAIL):
        values = [1.0] if state == TrialState.COMPLETE else None
        attributes = {AGAIN: "soon", ATTEMPT: 1}
        study.add_trial(optuna.create_trial(state=state, values=values, user_attrs=attributes))
    study.set_user_attr(WANTED, "all")
    study.set_user_attr(f"{RUN}a", ["x", 2])
    study.set_user_attr(f"{RUN}b", [10, 12])
    for _ in range(2):
        assert [trial.user_attrs for trial in study.get_trials(deepcopy=False)] == 2 * [{ATTEMPT: 1}]
        assert [trial.user_attrs for trial in study.get_trials()] == 2 * [{ATTEMPT: 1}]
    assert study.best_trial.user_attrs == {ATTEMPT: 1}
    assert WANTED not in study.user_attrs
    assert seconds_spent(study) == 2
    study.ask().set_user_attr(BEAT, "now")
    assert study.get_trials()[-1].user_attrs == {}


def test_a_complete_trial_without_a_value_is_told_of(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path}/study.db"))
    study.add_trial(optuna.create_trial(value=1.0))
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("DELETE FROM trial_values")
    with pytest.raises(DataError, match=r"value of trial 0, .* the study is damaged"):
        optuna.load_study(
            study_name=study.study_name, storage=open_storage(f"sqlite:///{tmp_path}/study.db")
        ).get_trials()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trials SET number = '../victim'",
        "UPDATE trials SET number = -1",
        "UPDATE trial_values SET value = 'x'",
        "UPDATE trial_params SET param_value = '${oc.env:HOME}'",
        "UPDATE trial_intermediate_values SET step = 'x'",
        "UPDATE trial_intermediate_values SET intermediate_value = 'x'",
    ],
)
def test_a_number_that_is_none_is_refused(change: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    trial = optuna.create_study(study_name="x", storage=open_storage(storage)).ask()
    trial.suggest_float("lr", 0, 1)
    trial.report(0.5, 1)
    optuna.load_study(study_name="x", storage=storage).tell(trial.number, 0.5)
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute(change)
    inner = optuna.storages.RDBStorage(storage)
    with pytest.raises(DataError, match="the study is damaged"):
        optuna.load_study(study_name="x", storage=shared(inner)).get_trials()


def test_a_text_in_place_of_a_score_in_a_journal_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "study.log"
    study = optuna.create_study(study_name="x", storage=open_storage(str(journal)))
    study.tell(study.ask(), 0.5)
    theirs = tmp_path / "theirs.log"
    theirs.write_text(journal.read_text().replace('"values":[0.5]', '"values":["high"]'))
    with pytest.raises(DataError, match="numbers for trial 0, got 'high'"):
        optuna.load_study(study_name="x", storage=open_storage(str(theirs))).get_trials()


def test_trials_that_are_said_to_be_retries_in_a_circle_are_gone_through_once() -> None:
    study = optuna.create_study()
    for before in (1, 0, 2, 1):
        study.add_trial(optuna.create_trial(value=1.0, user_attrs={RETRY_OF: before}))
    trials = study.get_trials()
    assert [earlier(trial, trials) for trial in trials] == [[], [0], [], [1, 0]]
