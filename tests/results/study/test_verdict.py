"""Whether a winner beats the baseline, from finalists that are made up."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from optuna.trial import TrialState, create_trial
from sklearn.metrics import f1_score

from docclf.results.study.judging import judge_finalists
from docclf.results.study.verdict import unjudged

Answers = Callable[..., NDArray[np.int64]]
LABELS = np.repeat([0, 1, 2], 20)


def test_without_a_rescoring_there_is_no_verdict(finals: Any) -> None:
    assert judge_finalists(finals.study, finals.folder) is None
    finals.score(0, 0.5, state=TrialState.PRUNED)
    assert judge_finalists(finals.study, finals.folder) is None


def test_a_winner_that_is_right_far_more_often_beats_the_baseline(finals: Any, answers: Answers) -> None:
    old, new = answers(36, seed=1), answers(57, seed=2)
    finals.score(0, 0.6, old)
    finals.score(2, 0.8, answers(40))
    finals.score(1, 0.95, new)
    verdict = finals.verdict
    assert (verdict.number, verdict.winner.number, verdict.baseline.number) == (1, 2, 0)
    expected = f1_score(LABELS, new, average="macro") - f1_score(LABELS, old, average="macro")
    assert verdict.difference.value == pytest.approx(expected) and verdict.difference.low > 0
    assert verdict.guessing == pytest.approx(1 / 1001)
    assert verdict.beats and str(verdict) == f"trial 1 beats the baseline by {verdict.difference}"


@pytest.mark.parametrize(
    ("others", "level", "state"),
    [(1, 0.95, TrialState.COMPLETE), (3, 0.967, TrialState.COMPLETE), (3, 0.967, TrialState.PRUNED)],
)
def test_the_best_of_more_finalists_has_more_to_show(
    others: int, level: float, state: TrialState, make_finals: Any, answers: Answers
) -> None:
    finals = make_finals(values=[0.5, *[0.6] * others])
    finals.score(0, 0.6, answers(36, seed=1))
    for number in range(1, 1 + others):
        ended = TrialState.COMPLETE if number == 1 else state
        finals.score(number, 0.9 - number / 100, answers(57, seed=number), state=ended)
    assert finals.verdict.difference.level == level


def test_pages_of_one_document_count_as_one_in_the_test_of_guessing(finals: Any, answers: Answers) -> None:
    """20 pages a class, all of one document: three documents that are called right by chance 1 time in 6."""
    finals.score(0, 0.1, answers(3, seed=1))
    number = finals.score(2, 1.0, answers(60))
    rows = [f"{i}.png,{i % 3},{label}" for i, label in enumerate(LABELS)]
    for run in (finals.folder / "finalists" / str(n) for n in (number - 1, number)):
        (run / "folds.csv").write_text("\n".join(["ID,fold,group", *rows]) + "\n", encoding="utf-8")
    assert finals.verdict.guessing == pytest.approx(1 / 6, abs=0.05) and not finals.verdict.beats


def test_a_small_gain_may_be_chance(finals: Any, answers: Answers) -> None:
    finals.score(0, 0.7, answers(45, seed=1))
    finals.score(2, 0.75, answers(47, seed=2))
    verdict = finals.verdict
    assert verdict.difference.low < 0 < verdict.difference.value and verdict.guessing < 0.01
    assert not verdict.beats
    assert str(verdict) == f"trial 2 does not beat the baseline: the difference {verdict.difference} may be chance"


def test_a_gain_in_the_mean_over_folds_that_all_pages_together_do_not_show_is_none(
    finals: Any, answers: Answers
) -> None:
    finals.score(0, 0.9, answers(57, seed=1))
    finals.score(2, 0.91, answers(36, seed=2))
    verdict = finals.verdict
    assert verdict.number == 2 and verdict.difference.high < 0 and not verdict.beats
    assert "trial 2 does not beat the baseline: over all pages the difference is -0." in str(verdict)
    assert "chance" not in str(verdict).partition(" (")[0]


def test_a_winner_no_better_than_guessing_does_not_beat_a_baseline_that_is_worse_than_that(
    finals: Any, answers: Answers
) -> None:
    finals.score(0, 0.1, answers(3, seed=1))
    finals.score(2, 0.35, answers(21, seed=2))
    verdict = finals.verdict
    assert verdict.difference.low > 0, "or the other reason would do"
    assert verdict.guessing > 0.01 and not verdict.beats
    assert str(verdict) == (
        f"trial 2 does not beat the baseline: it is no better than guessing (p = {verdict.guessing:.2g})"
    )


def test_a_baseline_that_no_finalist_is_better_than_wins(finals: Any, answers: Answers) -> None:
    finals.score(0, 0.9, answers(54))
    finals.score(2, 0.8, answers(48))
    verdict = finals.verdict
    assert verdict.number == 0 and verdict.winner.number == verdict.baseline.number == 0
    assert verdict.difference is None and verdict.guessing is None and not verdict.beats
    assert str(verdict) == ("the baseline stays the best: re-evaluated, no trial scores higher than it")


def test_a_tie_goes_to_the_config_that_one_has(finals: Any, answers: Answers) -> None:
    finals.score(0, 0.8, answers(48))
    finals.score(2, 0.8, answers(48))
    assert finals.verdict.number == 0


def test_without_a_baseline_nothing_is_claimed(finals: Any, answers: Answers) -> None:
    finals.score(1, 0.8, answers(48))
    finals.score(2, 0.9, answers(54))
    verdict = finals.verdict
    assert verdict.baseline is None and not verdict.beats
    assert str(verdict) == "trial 2 wins: the baseline was not re-evaluated, so there is nothing to compare it with"


@pytest.mark.parametrize("gone", [0, 1])
def test_without_predictions_a_winner_wins_and_nothing_is_claimed(
    gone: int, finals: Any, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    finals.score(0, 0.5, answers(30))
    finals.score(2, 0.9, answers(57))
    shutil.rmtree(finals.folder / "finalists" / str(gone))
    verdict = finals.verdict
    assert verdict.number == 2 and not verdict.beats and verdict.difference is None
    assert str(verdict) == "trial 2 wins: its predictions and the baseline's cannot be compared"
    assert str(finals.folder / "finalists" / str(gone)) in caplog.text


def test_predictions_of_other_pages_are_not_compared(finals: Any, answers: Answers) -> None:
    finals.score(0, 0.5, answers(30), ids=[f"other {i}.png" for i in range(60)])
    finals.score(2, 0.9, answers(57))
    assert finals.verdict.difference is None and "cannot be compared" in str(finals.verdict)


def test_who_was_scored_otherwise_or_did_not_come_to_its_end_cannot_win(finals: Any, answers: Answers) -> None:
    finals.score(1, 0.99, answers(60), how=["validation.seed=44"])
    finals.score(2, 0.95, state=TrialState.PRUNED)
    finals.score(0, 0.5, answers(30))
    finals.score(2, 0.6, answers(36))
    assert (finals.verdict.number, finals.verdict.winner.number) == (2, 3)


def test_of_a_finalist_that_was_scored_twice_the_last_one_counts(finals: Any, answers: Answers) -> None:
    finals.score(0, 0.5, answers(30))
    finals.score(2, 0.9)  # elsewhere
    finals.score(2, 0.9, answers(57))
    assert finals.verdict.winner.number == 2 and finals.verdict.beats


def test_a_baseline_that_does_not_keep_to_the_constraints_is_compared_with_and_does_not_win(
    tmp_path: Path, finals: Any, answers: Answers
) -> None:
    slow = type(finals)(tmp_path / "constrained", excess=(3.0, -1.0, 0.0))
    slow.score(0, 0.95, answers(57, seed=1))
    slow.score(2, 0.6, answers(36, seed=2))
    verdict = slow.verdict
    assert verdict.number == 2 and verdict.baseline.number == 0 and not verdict.beats
    assert "does not beat the baseline" in str(verdict)
    alone = type(finals)(tmp_path / "alone", excess=(3.0, 1.0, 1.0))
    alone.score(0, 0.95, answers(57))
    assert judge_finalists(alone.study, alone.folder) is None


def test_a_verdict_can_be_written_and_read(finals: Any, answers: Answers) -> None:
    finals.score(0, 0.6, answers(36, seed=1))
    finals.score(2, 0.95, answers(57, seed=2))
    verdict = finals.verdict
    facts = verdict.to_dict()
    assert yaml.safe_load(yaml.safe_dump(facts)) == facts
    assert facts == {
        "verdict": str(verdict),
        "beats_baseline": True,
        "below_floor": False,
        "exported": "winner",
        "run": "finalists/1",
        "trial": 2,
        "how": "re-evaluated on other folds",
        "is_final": True,
        "winner": {
            "folder": "finalists/1", "value": 0.95, "macro_f1": 0.95, "macro_f1_pooled": 0.95, "folds": [0.85, 1.05]
        },
        "baseline": {
            "folder": "finalists/0", "value": 0.6, "macro_f1": 0.6, "macro_f1_pooled": 0.6, "folds": [0.5, 0.7]
        },
        "floors": {},
        "difference": {
            "macro_f1_pooled": verdict.difference.value,
            "low": verdict.difference.low,
            "high": verdict.difference.high,
            "level": 0.95,
            "chance_better": verdict.difference.chance_better,
            "p_guessing": verdict.guessing,
        },
    }  # fmt: skip


@pytest.mark.parametrize(("measured", "said"), [(0.4, 0.4), (float("nan"), None)])
def test_another_objective_is_not_called_macro_f1(measured: float, said: float | None) -> None:
    found = unjudged(create_trial(value=12.5, user_attrs={"macro_f1": measured}), [], {}).to_dict()["winner"]
    assert (found["value"], found["macro_f1"]) == (12.5, said)


def test_what_is_not_there_is_not_written(finals: Any, answers: Answers) -> None:
    finals.score(1, 0.8, answers(48))
    always = ["verdict", "beats_baseline", "below_floor", "exported", "run", "trial", "how", "is_final", "winner"]
    assert list(finals.verdict.to_dict()) == [*always, "floors"]
