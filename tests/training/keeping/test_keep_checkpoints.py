"""Whose models a search keeps."""

import functools
from pathlib import Path

import optuna
import pytest
from kept_weights import result_of, weights_of
from omegaconf import DictConfig
from optuna.distributions import FloatDistribution
from slowly import slowly

from docclf import train as module
from docclf.sweeper.job.trial import JobTrial
from docclf.train import train


@pytest.mark.parametrize(
    ("keep", "best", "of_trials", "of_finalists"),
    [
        ("winner", 2.0, False, True),
        ("winner", -1.0, True, True),  # the trial is the best so far
        *slowly(("finalists", 2.0, False, True), ("all", 2.0, True, True), ("none", -1.0, False, False)),
    ],
)
def test_keep_checkpoints_says_whose_models_a_search_keeps(
    keep: str,
    best: float,
    of_trials: bool,
    of_finalists: bool,
    cfg: DictConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cfg.validation.folds, cfg.keep_checkpoints, cfg.refit = 2, keep, "all"  # which concerns a run alone
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=best))
    for is_finalist, kept in ((False, of_trials), (True, of_finalists)):
        trial = study.ask({"optimizer.lr": FloatDistribution(1e-3, 1e-3)})
        if is_finalist:
            trial.set_user_attr("finalist", "0 validation.seed=1")
        monkeypatch.setattr(module, "current_trial", functools.partial(JobTrial, trial))
        run = tmp_path / str(is_finalist)
        train(cfg, run)
        members = ["fold_0.safetensors", "fold_1.safetensors"] if kept else []
        assert [*weights_of(run)] == members and (run / "model").exists() is kept
        result = result_of(run)
        assert "refit" not in result and not (run / "predictions_test.csv").exists(), "test pages guide no search"
        assert ("calibration" in result, (run / "label_issues.csv").exists()) == (is_finalist, is_finalist)
        assert not (run / "resume").exists()


def test_a_finalist_that_falls_behind_leaves_no_weights(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg.validation.folds, cfg.validation.report = 3, "fold"
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=2.0))
    trial = study.ask({"optimizer.lr": FloatDistribution(1e-3, 1e-3)})
    trial.set_user_attr("finalist", "0 validation.seed=1")
    monkeypatch.setattr(module, "current_trial", lambda: JobTrial(trial))
    assert train(cfg, tmp_path) is None
    assert result_of(tmp_path)["state"] == "PRUNED" and len(result_of(tmp_path)["folds"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.yaml"]
