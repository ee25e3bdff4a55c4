"""Trials that fail: when the search goes on, when it ends, and what is launched again."""

import re
from typing import Any

import pytest
from optuna.trial import TrialState
from slowly import slowly

from docclf.sweeper.study.outcome import Outcome

STATES = {"C": "COMPLETE", "F": "FAIL"}


def states(letters: str) -> list[str]:
    return [STATES[letter] for letter in letters]


@pytest.mark.slow
def test_too_many_failures_end_the_search_from_5_finished_trials_on(toy: Any) -> None:
    output = toy.run("n_trials=20", "nan_at=[0,1,2]", "raise_at=[4]", code=1).output
    assert toy.states() == states("FFFCF")
    assert "4 of 5 trials failed, more than max_failure_rate=0.5 allows" in output
    causes = re.findall(r"^  (\d) x (.*)$", output, re.MULTILINE)
    assert causes == [("3", "The objective is not a number: nan"), ("1", "ArithmeticError: asked to fail, number 4")]
    assert "Traceback" not in output

    output = toy.run("n_trials=20", "raise_at=[5]", code=1).output
    assert toy.states() == states("FFFCFF"), "the rate is that of the whole study"
    assert "5 of 6 trials failed" in output

    toy.run("n_trials=9", "hydra.sweeper.max_failure_rate=0.9", "raise_at=[7]")
    assert toy.states() == states("FFFCFFCFC")


def test_all_failed_says_why_grouped_by_cause(toy: Any) -> None:
    output = toy.run("n_trials=4", "nan_at=[0,1,3]", "text_at=[2]", code=1).output
    assert "All 4 trials failed:" in output
    causes = re.findall(r"^  (\d) x (.*)$", output, re.MULTILINE)
    assert causes == [
        ("3", "The objective is not a number: nan"),
        ("1", "Expected the task to return a number, got 'blue'"),
    ]
    assert "Traceback" not in output
    assert not (toy.folder / "optimization_results.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, *slowly(2)])
def test_a_task_that_exits_fails_its_trial_and_not_the_search(workers: int, toy: Any) -> None:
    output = toy.run("n_trials=4", f"hydra.sweeper.n_jobs={workers}", "exit_at=[1]").output
    assert toy.states() == states("CFCC")
    assert toy.trials[1].user_attrs["cause"] == "the task ended with SystemExit: asked to exit"
    assert "Interrupted" not in output and "Traceback" not in output


@pytest.mark.parametrize("workers", [1, *slowly(2)])
def test_whatever_a_task_raises_or_returns_fails_its_trial_alone(workers: int, toy: Any) -> None:
    odd = {
        "stop": "the task ended with GeneratorExit",
        "untold": "UntoldError: a UntoldError that cannot be shown",
        "surrogate": r"ValueError: a\udc80",
        "too large": "Expected the task to return a number, got 1000",
        "generator": "Expected the task to return a number, got ",
    }
    pairs = ",".join(f"[{number},'{name}']" for number, name in enumerate(odd))
    output = toy.run(
        "n_trials=6", f"hydra.sweeper.n_jobs={workers}", f"odd_at=[{pairs}]", "hydra.sweeper.max_failure_rate=1"
    ).output
    assert toy.states() == states("FFFFFC")
    for trial, cause in zip(toy.trials, odd.values(), strict=False):
        assert trial.user_attrs["cause"].startswith(cause)
    assert "Traceback" not in output and "Logging error" not in output


@pytest.mark.slow
def test_a_keyboard_interrupt_of_a_task_in_a_worker_fails_its_trial_alone(toy: Any) -> None:
    toy.run("n_trials=4", "hydra.sweeper.n_jobs=2", "odd_at=[[1,interrupt]]")
    assert toy.states() == states("CFCC")
    assert toy.trials[1].user_attrs["cause"] == "the task ended with KeyboardInterrupt"


@pytest.mark.slow
def test_what_a_task_raises_or_returns_comes_through_a_launcher_of_hydra(toy: Any) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    toy.run(
        "n_trials=5", "hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.sweeper.max_failure_rate=1",
        "odd_at=[[0,interrupt],[1,stop],[2,generator],[3,untold]]",
    )  # fmt: skip
    assert toy.states() == states("FFFFC")
    assert toy.trials[0].user_attrs["cause"] == "the task ended with KeyboardInterrupt"


@pytest.mark.slow
def test_a_keyboard_interrupt_in_the_process_of_the_search_ends_it(toy: Any) -> None:
    toy.run("n_trials=4", "odd_at=[[1,interrupt]]", code=130)
    assert toy.states() == states("CF")
    assert toy.trials[1].user_attrs["interrupted"] == "signal"


@pytest.mark.slow
def test_a_job_is_launched_again_for_what_may_pass_and_reports_anew(toy: Any) -> None:
    output = toy.run(
        "n_trials=6",
        "break_at=[[1,1],[3,9]]",
        "raise_at=[2]",
        "repeat_at=[4]",
        "hydra.sweeper.retries=2",
        "hydra.sweeper.max_failure_rate=1",
    ).output
    assert toy.states() == states("CCFFFC")
    assert toy.folders() == [0, 1, 2, 3, 4, 5]
    assert [t.user_attrs.get("attempt") for t in toy.trials] == [None, 1, None, 2, None, None]
    log = {number: (toy.folder / str(number) / "app.log").read_text() for number in range(4)}
    assert [log[number].count("begin x=") for number in range(4)] == [1, 2, 1, 3]
    assert len(toy.trials[1].intermediate_values) == 3
    assert "cause" not in toy.trials[1].user_attrs
    assert toy.trials[3].user_attrs["cause"] == "CardFullError: card full, attempt 2"
    assert "trial 1 again, attempt 2: CardFullError: card full, attempt 0" in output

    assert toy.trials[4].user_attrs["cause"] == (
        "ValueError: Expected a step that was not reported yet, got 0 again. "
        "Number the steps through, as in fold * epochs + epoch."
    ), "a step that is reported twice fails its trial"
    assert list(toy.trials[4].intermediate_values) == [0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "attempts"),
    [
        ("hydra.sweeper.retries=0", 1),
        ("hydra.sweeper.retry_on=[KeyError]", 1),
        ("hydra.sweeper.retry_on=[CardFullError]", 2),
    ],
)
def test_retries_are_set_by_their_number_and_the_names_of_exceptions(override: str, attempts: int, toy: Any) -> None:
    toy.run("n_trials=2", "break_at=[[1,9]]", override)
    assert toy.states() == states("CF")
    assert (toy.folder / "1" / "app.log").read_text().count("begin x=") == attempts


class CardError(ConnectionError):
    pass


@pytest.mark.parametrize(
    ("error", "names", "worth"),
    [
        (ConnectionError(), ["ConnectionError"], True),
        (CardError(), ["ConnectionError"], True),
        (CardError(), ["TimeoutError", "OSError"], True),
        (CardError(), ["CardError"], True),
        (ConnectionError(), ["CardError"], False),
        (ValueError(), ["ConnectionError", "TimeoutError"], False),
        (ValueError(), [], False),
        (None, ["Exception"], False),
    ],
)
def test_an_exception_is_worth_another_launch_if_it_or_one_it_derives_from_is_named(
    error: Exception | None, names: list[str], worth: bool
) -> None:
    assert Outcome(TrialState.FAIL, error=error).is_worth_retrying(names) is worth
