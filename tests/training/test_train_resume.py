"""A run that is interrupted leaves what it did in its folder, and one that ends leaves nothing of that."""

import csv
import signal
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import FloatDistribution
from slowly import slowly

from docclf import train as module
from docclf.cli.preflight import preflight
from docclf.errors import NonFiniteLossError
from docclf.sweeper.job.trial import JobTrial
from docclf.train import train

UNBEATABLE = optuna.pruners.ThresholdPruner(lower=2.0)  # no score is above 1
EPOCH_LR = 1e-3


class Searching:
    """Jobs of one study in one folder, run in this process.

    Args:
        folder: The search's folder.
        cfg: What every job trains.
        patch: Gives each job its trial.
    """

    def __init__(self, folder: Path, cfg: DictConfig, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.cfg, self.patch = folder, cfg, patch
        self.study = optuna.create_study(direction="maximize")

    def run(self, *, pruner: Any = None, earlier: tuple[int, ...] = (), trial: Any = None, **attributes: Any) -> Any:
        """What the job of a new trial returns, or another attempt of the one given."""
        self.study.pruner = pruner or optuna.pruners.NopPruner()
        self.trial = trial or self.study.ask({"optimizer.lr": FloatDistribution(EPOCH_LR, EPOCH_LR)})
        for key, value in attributes.items():
            self.trial.set_user_attr(key, value)
        self.patch.setattr(module, "current_trial", lambda: JobTrial(self.trial, earlier))
        return train(self.cfg, self.folder / str(self.trial.number))

    def break_off(self, **options: Any) -> None:
        """A job that ends in an interruption at its second report."""
        report = JobTrial.report

        def broken(job: JobTrial, value: float, step: int) -> None:
            report(job, value, step)
            if step == 1:
                raise KeyboardInterrupt

        handler = signal.getsignal(signal.SIGINT)
        with self.patch.context() as patch:
            patch.setattr(JobTrial, "report", broken)
            with pytest.raises((KeyboardInterrupt, SystemExit)):
                self.run(**options)
        signal.signal(signal.SIGINT, handler)

    def result(self, number: int) -> dict[str, Any]:
        result: dict[str, Any] = yaml.safe_load((self.folder / str(number) / "result.yaml").read_text())
        return result

    def kept(self, number: int) -> list[str]:
        """Files of the folder `resume`."""
        return sorted(path.name for path in (self.folder / str(number) / "resume").glob("*"))


@pytest.fixture
def searching(cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Searching:
    cfg.validation.folds, cfg.validation.epochs = 2, 2
    return Searching(tmp_path, cfg, monkeypatch)


def test_a_run_that_ends_leaves_nothing_to_go_on_with(searching: Searching) -> None:
    assert searching.run() == searching.result(0)["mean"]
    assert searching.result(0)["state"] == "COMPLETE" and searching.kept(0) == []


def test_a_pruned_run_leaves_nothing_to_go_on_with(searching: Searching) -> None:
    assert searching.run(pruner=UNBEATABLE) is None
    assert searching.result(0)["state"] == "PRUNED" and searching.kept(0) == []
    assert searching.trial.user_attrs["pruned_at_step"] == 1


@pytest.mark.slow
def test_a_run_out_of_time_goes_on_in_another_trial(searching: Searching) -> None:
    assert searching.run(deadline=time.time() - 1) is None
    assert searching.result(0)["state"] == "INTERRUPTED" and searching.kept(0) == [
        "fold_0_epoch.safetensors",
        "fold_0_net.safetensors",
        "folds.safetensors",
    ]
    assert searching.trial.user_attrs["interrupted"] == "timeout"
    again = searching.run(earlier=(0,))
    assert searching.kept(0) == searching.kept(1) == []
    assert searching.run() == again, "as one that was never interrupted"
    reports = [searching.study.get_trials()[number].intermediate_values for number in (1, 2)]
    assert reports[0] == reports[1] and list(reports[0]) == [0, 1, 2, 3]
    assert [(searching.folder / n / "oof.csv").read_bytes() for n in "12"] == (
        [(searching.folder / "2" / "oof.csv").read_bytes()] * 2
    )


def test_an_interrupted_run_goes_on_in_another_attempt_of_its_trial(searching: Searching) -> None:
    searching.break_off()
    result = searching.result(0)
    assert list(result) == ["state", "params", "data", "tune", "weights", "hardware", "floors", "seconds"]
    assert (result["state"], result["params"]) == ("INTERRUPTED", {"optimizer.lr": EPOCH_LR})
    assert searching.kept(0) == ["fold_0_epoch.safetensors", "folds.safetensors"]
    again = searching.run(trial=searching.trial)
    assert searching.result(0)["state"] == "COMPLETE" and searching.kept(0) == []
    assert searching.run() == again
    trials = searching.study.get_trials()
    assert trials[0].intermediate_values == trials[1].intermediate_values


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), [("seed", 1), *slowly(("data.batch_size", 6), ("augment.degrees", 3))])
def test_what_another_config_trained_is_left_alone(searching: Searching, key: str, value: float) -> None:
    searching.break_off()
    OmegaConf.update(searching.cfg, key, value)
    again = searching.run(earlier=(0,))
    assert searching.run() == again, "as one that was never interrupted"
    oof = [(searching.folder / n / "oof.csv").read_bytes() for n in "12"]
    assert oof[0] == oof[1]


@pytest.mark.slow
def test_fewer_pages_at_once_are_no_other_config(searching: Searching) -> None:
    searching.break_off()
    searching.cfg.validation.max_batch_size = 4
    searching.run(earlier=(0,))
    assert searching.result(1)["state"] == "COMPLETE" and searching.kept(0) == []


def test_a_run_whose_loss_broke_leaves_nothing_to_go_on_with(searching: Searching) -> None:
    searching.cfg.optimizer.lr = 1e30
    with pytest.raises(NonFiniteLossError):
        searching.run()
    assert searching.result(0)["state"] == "FAIL" and searching.kept(0) == []


@pytest.mark.slow
def test_a_search_for_less_time_stops_no_trial_for_its_score(searching: Searching) -> None:
    searching.cfg.search.objective = "train_seconds"
    assert searching.run(pruner=UNBEATABLE) == searching.result(0)["metrics"]["train_seconds"]
    searching.cfg.validation.report = "fold"
    assert searching.run(pruner=UNBEATABLE) == searching.result(1)["metrics"]["train_seconds"]


def test_several_objectives_come_back_in_their_order(searching: Searching) -> None:
    searching.cfg.search.objective = ["parameters", "macro_f1"]
    metrics = (score := searching.run()) and searching.result(0)["metrics"]
    assert score == (metrics["parameters"], metrics["macro_f1"])
    assert list(metrics) == ["macro_f1", "macro_f1_pooled", "train_seconds", "parameters"]
    assert {key: searching.trial.user_attrs[key] for key in metrics} == metrics


@pytest.mark.parametrize(("report", "run_folds"), [("epoch", None), *slowly(("fold", None), ("epoch", 1))])
def test_a_whole_run_makes_as_many_reports_as_the_pruner_is_checked_against(
    report: str, run_folds: int | None, searching: Searching
) -> None:
    searching.cfg.validation.report, searching.cfg.validation.run_folds = report, run_folds
    searching.run()
    assert len(searching.study.trials[0].intermediate_values) == preflight(searching.cfg)["steps"]


@pytest.mark.slow
def test_what_was_kept_of_another_split_is_not_gone_on_with(searching: Searching, tmp_path: Path) -> None:
    searching.run()
    split = tmp_path / "split.csv"
    split.write_bytes((tmp_path / "0" / "folds.csv").read_bytes())
    searching.cfg.validation.split_file = str(split)
    searching.break_off()
    assert searching.kept(1) == ["fold_0_epoch.safetensors", "folds.safetensors"]
    with split.open(newline="", encoding="utf-8") as file:
        rows = [{**row, "fold": str(1 - int(row["fold"]))} for row in csv.DictReader(file)]
    with split.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["ID", "fold"])
        writer.writeheader()
        writer.writerows(rows)
    searching.run(earlier=(1,))
    searching.run()
    resumed, fresh = ((tmp_path / name / "oof.csv").read_bytes() for name in ("2", "3"))
    assert resumed == fresh, "as one that began on the split that is there now"
