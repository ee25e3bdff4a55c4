"""Folds are reported once a step, averaged, stopped when advised, and predicted by the epoch that is kept."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch.optim import SGD

from docclf.data.folds import assign_folds
from docclf.errors import NonFiniteLossError
from docclf.training.crossval import CrossValidation
from docclf.training.folds.average import FoldScore

slow_learner = functools.partial(SGD, lr=0.01)


def test_folds_report_their_running_mean_once_a_step_and_keep_their_best_epoch(folds: Any) -> None:
    trial = folds.Recorder()
    result, epochs = folds.run(trial, folds=3, epochs=4)

    best = [max(scores) for scores in epochs.scores]
    assert [fold.score for fold in result.folds] == best == result.scores
    assert [fold.epoch for fold in result.folds] == [scores.index(max(scores)) for scores in epochs.scores]
    assert [fold.fold for fold in result.folds] == [0, 1, 2] and all(fold.seconds > 0 for fold in result.folds)
    assert result.stopped is None
    assert (result.mean, result.spread) == pytest.approx((np.mean(best), np.std(best, ddof=1)))

    assert [step for step, _ in trial.reports] == list(range(12)), "fold * epochs + epoch, each once"
    expected = [
        np.mean([*best[:fold], max(epochs.scores[fold][: epoch + 1])]) for fold in range(3) for epoch in range(4)
    ]
    assert [value for _, value in trial.reports] == pytest.approx(expected)


def test_out_of_fold_predictions_are_those_of_the_kept_epoch(folds: Any) -> None:
    result, epochs = folds.run(folds.Recorder(), folds=3, epochs=4)
    assert any(fold.epoch < 3 for fold in result.folds), "or the test could not tell the best epoch from the last"
    labels = folds.data.labels
    for fold, logits in zip(result.folds, epochs.logits, strict=True):
        rows = np.flatnonzero(result.assignment == fold.fold)
        assert np.allclose(result.probabilities[rows], torch.softmax(logits[fold.epoch], 1).numpy(), atol=1e-6)
        predicted = logits[fold.epoch].argmax(1)
        assert f1_score(labels[rows], predicted, average="macro") == pytest.approx(fold.score)
    order, names = folds.data.dataset.order, folds.data.pages.class_names
    expected = assign_folds(folds.data.labels[order], n_folds=3, seed=42, class_names=names)
    assert np.array_equal(result.assignment[order], expected), "by the contents of the pages, not by their rows"


def test_pages_are_learnt(folds: Any) -> None:
    result, _ = folds.run(folds.Recorder(), folds=2, epochs=8)
    assert result.mean > 0.8


def test_advice_to_stop_ends_the_epoch_s_fold_and_leaves_later_folds_untrained(folds: Any) -> None:
    trial = folds.Recorder(prune_at=4)
    result, epochs = folds.run(trial, folds=3, epochs=3)
    assert result.stopped == "pruned" and len(result.folds) == 2
    assert [len(scores) for scores in epochs.scores] == [3, 2], "steps 0 to 4, the third fold was not begun"
    assert [step for step, _ in trial.reports] == [0, 1, 2, 3, 4]
    predicted = ~np.isnan(result.probabilities).any(axis=1)
    assert set(result.assignment[predicted]) == {0}, "an unfinished fold predicts nothing"


def test_advice_is_not_asked_before_enough_reports(folds: Any) -> None:
    trial = folds.Recorder(prune_at=0)
    result, _ = folds.run(trial, folds=2, epochs=2, prune_after=3)
    assert result.stopped is None and trial.asked == [2] and len(trial.reports) == 4, "and not when all is done"


def test_a_single_split_trains_one_fold_and_has_no_spread(folds: Any) -> None:
    trial = folds.Recorder()
    result, epochs = folds.run(trial, folds=4, run_folds=1, epochs=2)
    assert len(result.folds) == len(epochs.scores) == 1 and len(trial.reports) == 2
    assert result.spread == 0 and result.mean == result.folds[0].score
    assert np.array_equal(np.isnan(result.probabilities).any(axis=1), result.assignment != 0)


def test_the_spread_is_the_sample_standard_deviation() -> None:
    folds = [FoldScore(i, score, 0, 1.0) for i, score in enumerate([0.5, 0.7, 0.9])]
    none = np.zeros(0, dtype=np.int64)
    result = CrossValidation(folds, none, none, np.zeros((0, 3), np.float32), 0)
    assert (result.mean, result.spread) == pytest.approx((0.7, 0.2))


@pytest.mark.parametrize(("batch_size", "split"), [(4, "training"), (24, "validation")])
def test_no_score_of_a_model_that_broke_is_reported(folds: Any, batch_size: int, split: str) -> None:
    """With one step an epoch the loss of that step is still finite: only validation shows what the step did."""
    folds.data.batch_size = batch_size
    trial = folds.Recorder()
    broken = functools.partial(folds.model, optimizer=functools.partial(SGD, lr=1e30))
    with pytest.raises(
        NonFiniteLossError, match=rf"The {split} loss became (nan|inf) in epoch 1\. A smaller optimizer"
    ):
        folds.run(trial, broken, folds=2, epochs=1)
    assert trial.reports == []


def test_the_metrics_are_scores_time_and_size(folds: Any) -> None:
    result, _ = folds.run(folds.Recorder(), functools.partial(folds.model, optimizer=slow_learner), folds=3, epochs=1)
    predicted = result.probabilities.argmax(axis=1)
    pooled = f1_score(folds.data.labels, predicted, average="macro")
    assert pooled != pytest.approx(result.mean), "or one could be taken for the other"
    assert result.metrics == {
        "macro_f1": result.mean,
        "macro_f1_pooled": pytest.approx(pooled),
        "train_seconds": sum(fold.seconds for fold in result.folds),
        "parameters": sum(parameter.numel() for parameter in folds.model().parameters()),
    }


def test_the_folds_own_scores_are_reported_once_each_when_asked_for(folds: Any) -> None:
    trial = folds.Recorder()
    result, epochs = folds.run(trial, folds=3, epochs=2, report="fold")
    assert trial.reports == [(0, result.scores[0]), (1, result.scores[1]), (2, result.scores[2])]
    assert trial.asked == [0, 1] and epochs.lengths == [2, 2, 2]


def test_advice_on_a_fold_s_own_score_keeps_the_finished_fold(folds: Any) -> None:
    trial = folds.Recorder(prune_at=1)
    result, epochs = folds.run(trial, folds=3, epochs=2, report="fold")
    assert result.stopped == "pruned" and epochs.lengths == [2, 2] and [step for step, _ in trial.reports] == [0, 1]
    predicted = ~np.isnan(result.probabilities).any(axis=1)
    assert set(result.assignment[predicted]) == {0, 1} and predicted.sum() == 16


@pytest.mark.parametrize(("report", "steps"), [("epoch", 10), ("fold", 2)])
def test_every_epoch_or_every_fold_that_runs_makes_a_report(folds: Any, report: str, steps: int) -> None:
    trial = folds.Recorder()
    folds.run(trial, folds=4, run_folds=2, epochs=5, report=report)
    assert len(trial.reports) == steps
