"""The trial in a job: with every launcher, and outside a search."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf

from docclf.errors import MachineError
from docclf.sweeper import current_trial
from docclf.sweeper.job.current import _load_trial
from docclf.sweeper.job.trial import HELPS, JobTrial

APP = Path(__file__).parents[1] / "toy" / "app.py"


def test_outside_a_search_the_trial_is_a_stand_in() -> None:
    trial = current_trial()
    trial.report(0.5, step=0)
    trial.report(0.5, step=0)
    trial.set_user_attr("key", [1])
    assert trial.should_prune() is False
    assert trial.number is None
    assert trial.params == {}


def test_a_helper_is_wanted_while_its_trial_runs_and_there_is_time() -> None:
    study = optuna.create_study()
    trial = study.ask()
    assert JobTrial(trial).is_wanted()
    trial.set_user_attr("deadline", time.time() + 60)
    assert JobTrial(trial).is_wanted()
    trial.set_user_attr("deadline", time.time() - 1)
    assert not JobTrial(trial).is_wanted() and "interrupted" not in study.trials[0].user_attrs
    other = JobTrial(study.ask())
    study.tell(1, 0.5)
    assert not other.is_wanted() and not JobTrial().is_wanted()


def test_a_job_knows_whether_it_helps_and_whether_it_may_be_helped() -> None:
    def roles(*, may_be_helped: bool, helps: bool | None = None) -> tuple[bool, bool]:
        token = HELPS.set(helps)
        trial = JobTrial(may_be_helped=may_be_helped)
        HELPS.reset(token)
        return trial.is_helper, trial.may_be_helped

    assert roles(may_be_helped=True) == (False, False), "in no worker process"
    assert roles(may_be_helped=True, helps=False) == (False, True)
    assert roles(may_be_helped=False, helps=False) == (False, False)
    assert roles(may_be_helped=True, helps=True) == (True, False)


def test_a_single_run_and_another_sweeper_get_the_stand_in_too(toy: Any) -> None:
    command = [sys.executable, "-W", "error", str(APP)]
    for arguments in ([], ["-m", "--config-name", "plain", "x=0.1,0.2"]):
        done = subprocess.run([*command, *arguments], cwd=toy.cwd, capture_output=True, text=True, check=True)
        assert done.stdout.count("begin x=") == (2 if arguments else 1)
        assert done.stderr == ""
    assert not list(toy.cwd.rglob("study.db"))


def job_of(cwd: Path, storage: str | None = None) -> Any:
    sweep = {"dir": "multirun/toy", "subdir": "1"}
    return OmegaConf.create(
        {
            "sweeper": {"storage": storage, "study_name": None},
            "runtime": {"cwd": str(cwd)},
            "sweep": sweep,
            "job": {"num": 1},
        }
    )


@pytest.mark.parametrize("storage", [None, "sqlite:///other.db", "other.log"])
def test_a_study_whose_file_is_moved_is_not_made_again_by_a_job(tmp_path: Path, storage: str | None) -> None:
    with pytest.raises(MachineError, match=r"No trial is counted .* move it back, and give the same command again"):
        _load_trial(job_of(tmp_path, storage))
    assert not list(tmp_path.iterdir())


def test_a_storage_that_has_another_study_in_its_place_fails_no_trial(tmp_path: Path) -> None:
    (tmp_path / "multirun" / "toy").mkdir(parents=True)
    optuna.create_study(study_name="other", storage=f"sqlite:///{tmp_path}/multirun/toy/study.db")
    with pytest.raises(MachineError, match="Expected the study in its storage"):
        _load_trial(job_of(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "module"),
    [
        (["joblib", "hydra.launcher.n_jobs=2"], "hydra_plugins.hydra_joblib_launcher"),
        pytest.param(
            ["submitit_local", "hydra.launcher.cpus_per_task=1"],
            "hydra_plugins.hydra_submitit_launcher",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["joblib", "submitit"],
)
def test_jobs_in_processes_of_their_own_find_their_trials(launcher: list[str], module: str, toy: Any) -> None:
    pytest.importorskip(module, reason=f"needs {module}")
    name, *options = launcher
    command = [
        f"hydra/launcher={name}",
        *options,
        "hydra.sweeper.n_jobs=2",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.pruner.n_startup_trials=2",
        # Two good trials, then two that the pruner stops, one that fails and one that runs out of memory once
        "hydra.sweeper.enqueue=[{x:0.3,n:2,colour:blue},{x:0.2,n:2,colour:blue},{x:1,n:4,colour:red},{x:-1,n:0,colour:red},"
        "{x:0.25,n:2,colour:blue},{x:0.26,n:2,colour:blue}]",
        "nan_at=[4]",
        "break_at=[[5,1]]",
    ]
    toy.run("n_trials=2", *command)  # to the end: nobody waits for the slower of two
    output = toy.run("n_trials=8", *command).output
    assert toy.states()[:6] == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "FAIL", "COMPLETE"]
    assert len(toy.trials) == 8
    assert toy.folders() == list(range(8))
    for trial in toy.trials:
        assert toy.config(trial.number).x == trial.params["x"]
        if trial.state.name == "PRUNED":
            assert trial.user_attrs["pruned_at_step"] == trial.last_step < 2
        else:
            assert trial.user_attrs["colour"] == trial.params["colour"]
            assert len(trial.intermediate_values) == 3
    assert toy.trials[5].user_attrs["attempt"] == 1
    assert "Traceback" not in output
    assert "Error" not in (toy.folder / "2" / "app.log").read_text()
