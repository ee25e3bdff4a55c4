"""A whole study as a run of W&B, offline and real, read back with W&B's own reader."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from wandb_files import only_wandb_run, wandb_runs

from docclf.files import replacing
from docclf.loggers.wandb_study import log_study
from docclf.results.study.files import write_trials

START = datetime(2026, 1, 1)
SPACE = {"optimizer.lr": FloatDistribution(1e-5, 1.0, log=True), "model.name": CategoricalDistribution(["a", "b"])}


class Made:
    """A study in the folder of a search.

    Args:
        folder: Of the search.
        directions: One an objective.
    """

    def __init__(self, folder: Path, directions: Sequence[str] = ("maximize",), start: datetime = START) -> None:
        self.folder, self.start = folder, start
        folder.mkdir(parents=True)
        self.study = optuna.create_study(
            study_name="서류 1", storage=f"sqlite:///{folder / 'study.db'}", directions=list(directions)
        )

    def add(
        self,
        values: Sequence[float] | None,
        lr: float,
        *,
        state: TrialState = TrialState.COMPLETE,
        minutes: int | None = None,
        **facts: Any,
    ) -> None:
        """Add a trial that ends so many minutes after the start, by default one after the one before."""
        number = len(self.study.trials)
        trial = create_trial(
            state=state,
            values=values,
            params={"optimizer.lr": lr, "model.name": "ab"[number % 2]},
            distributions=SPACE,
            user_attrs=facts.get("user_attrs", {}),
            constraints=facts.get("constraints", {}),
        )
        trial.datetime_start = self.start + timedelta(seconds=number)
        trial.datetime_complete = self.start + timedelta(minutes=number + 1 if minutes is None else minutes)
        self.study.add_trial(trial)

    def export(self) -> None:
        """What the search leaves beside its study."""
        write_trials(self.folder / "trials.csv", self.study.trials)
        for name in ("report.html", "best/config.yaml", "best/params.yaml"):
            with replacing(self.folder / name) as partial:
                partial.write_text(f"{name} of {len(self.study.trials)} trials")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Trials of all states."""
    made = Made(tmp_path / "서류 1")
    made.add([0.5], 0.1)
    made.add([0.3], 0.2, state=TrialState.PRUNED)
    made.add(None, 0.3, state=TrialState.FAIL, user_attrs={"cause": "NonFiniteLossError: nan"})
    made.add([0.9], 0.4, constraints={"seconds": 1.0})
    made.add([0.8], 0.5, minutes=9)
    made.add([0.6], 0.6)
    made.add(None, 0.7, state=TrialState.FAIL, user_attrs={"interrupted": "timeout", "cause": "stopped"})
    made.export()
    return made


def trials(folder: Path) -> list[dict[str, Any]]:
    """The rows of the study's run that are a trial."""
    return [row for row in only_wandb_run(folder).history if "state" in row]


def test_every_trial_is_a_step_with_number_state_value_best_and_parameters(made: Made) -> None:
    log_study(made.folder, project="mine")
    rows = trials(made.folder)
    assert [row["trial"] for row in rows] == [0, 1, 2, 3, 5, 6, 4], "in the order of their ends"
    states = ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "COMPLETE", "INTERRUPTED", "COMPLETE"]
    assert [row["state"] for row in rows] == states
    assert [row.get("value") for row in rows] == [0.5, 0.3, None, 0.9, 0.6, None, 0.8]
    best = [0.5, 0.5, 0.5, 0.5, 0.6, 0.6, 0.8]
    assert [row["best_value"] for row in rows] == best, "of those that keep to the constraints"
    assert [row["params/optimizer.lr"] for row in rows] == [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.5]
    assert [row["params/model.name"] for row in rows] == list("ababbaa")
    assert rows[2]["cause"] == "NonFiniteLossError: nan" and "cause" not in rows[0]
    run = only_wandb_run(made.folder)
    assert (run.name, run.run["run_group"], run.run["job_type"]) == ("서류 1", "서류 1", "study")
    assert (run.run["project"], run.exit_code) == ("mine", 0)


def test_the_summary_says_what_came_out(made: Made) -> None:
    log_study(made.folder)
    summary = only_wandb_run(made.folder).summary
    assert (summary["best_trial"], summary["best_value"], summary["best/optimizer.lr"]) == (4, 0.8, 0.5)
    states = {key: summary[key] for key in ("n_complete", "n_pruned", "n_fail", "n_interrupted")}
    assert states == {"n_complete": 4, "n_pruned": 1, "n_fail": 1, "n_interrupted": 1}
    shares = {key: value for key, value in summary.items() if key.startswith("importance/")}
    assert set(shares) == {"importance/optimizer.lr", "importance/model.name"}
    assert sum(shares.values()) == pytest.approx(1)


def test_floors_and_what_was_trained_stand_in_the_study_s_run(tmp_path: Path) -> None:
    made = Made(tmp_path / "floors")
    for value in (0.5, 0.6):
        made.add([value], value, user_attrs={"tune": "all", "floors": {"pixels": 0.4, "features": 0.9}})
    log_study(made.folder)
    summary = only_wandb_run(made.folder).summary
    assert (summary["floor_pixels"], summary["floor_features"], summary["below_floor"]) == (0.4, 0.9, True)
    assert summary["best/tune"] == "all"
    assert [(row["tune"], row["floor_features"]) for row in trials(made.folder)] == [("all", 0.9)] * 2


def test_report_and_best_config_are_artifacts_as_they_were(made: Made) -> None:
    log_study(made.folder)
    made.add([0.7], 0.9)
    made.export()
    artifacts = only_wandb_run(made.folder).artifacts
    assert set(artifacts["report"]) == {"report.html", "trials.csv"}
    assert set(artifacts["best"]) == {"config.yaml", "params.yaml"}
    assert artifacts["report"]["report.html"].read_text() == "report.html of 7 trials"
    assert artifacts["best"]["config.yaml"].read_text() == "best/config.yaml of 7 trials"
    assert {"trials.table.json"} <= set(artifacts["run_table"])


@pytest.mark.slow
def test_a_search_that_went_on_has_one_run_with_all_of_its_trials(made: Made) -> None:
    log_study(made.folder)
    before = only_wandb_run(made.folder)
    first = before.run["run_id"]
    made.add([0.95], 0.9, minutes=20)
    made.export()
    log_study(made.folder)
    after = only_wandb_run(made.folder)
    assert before.path != after.path and after.run["run_id"] == first
    assert len(trials(made.folder)) == 8 and after.summary["best_value"] == 0.95
    assert after.artifacts["report"]["report.html"].read_text() == "report.html of 8 trials"


def test_studies_of_one_name_have_runs_of_their_own(tmp_path: Path) -> None:
    ids = []
    for i in range(2):
        made = Made(tmp_path / str(i), start=START + timedelta(days=i))
        made.add([0.5], 0.1)
        log_study(made.folder)
        ids.append(only_wandb_run(made.folder).run["run_id"])
    assert ids[0] != ids[1]


def test_of_several_objectives_each_has_its_value(tmp_path: Path) -> None:
    made = Made(tmp_path / "two", ["maximize", "minimize"])
    for i in range(5):
        made.add([0.5 + i / 10, 60.0 + i], 0.1 * (i + 1))
    log_study(made.folder)
    rows = trials(made.folder)
    assert [row["value/value 1"] for row in rows] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])
    assert [row["value/value 2"] for row in rows] == [60, 61, 62, 63, 64]
    assert not any("best_value" in row for row in rows)
    assert "importance/value 2/optimizer.lr" in only_wandb_run(made.folder).summary


def test_a_study_whose_trials_all_wait_is_not_logged(tmp_path: Path) -> None:
    made = Made(tmp_path / "waiting")
    made.study.enqueue_trial({"optimizer.lr": 0.1})
    log_study(made.folder)
    assert wandb_runs(made.folder) == []
