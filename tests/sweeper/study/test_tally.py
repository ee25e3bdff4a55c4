"""What a search has come to, as one looks at it again and again."""

from datetime import datetime

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.screen.forecast import Cost, Plan
from docclf.sweeper.study.tally import Tally

MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def study(*directions: str) -> optuna.Study:
    return optuna.create_study(directions=list(directions or ["maximize"]))


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False)


def test_every_ending_is_counted_once_however_often_it_is_looked_at() -> None:
    search = study()
    tally = Tally(search.directions)
    first, _, third, fourth = (search.ask() for _ in range(4))
    tally.update(trials_of(search))
    assert [trial.number for trial in tally.running] == [0, 1, 2, 3]
    first.report(0.3, 0)
    search.tell(third, 0.5)
    tally.update(trials_of(search))
    search.tell(first, state=TrialState.PRUNED)
    search.tell(fourth, state=TrialState.FAIL)
    for _ in range(3):
        tally.update(trials_of(search))
    assert (tally.complete, tally.pruned, tally.failed) == (1, 1, 1)
    assert [trial.number for trial in tally.running] == [1]
    scores = [(state.name, value) for state, value in tally.scores]
    assert scores == [("COMPLETE", 0.5), ("PRUNED", None), ("FAIL", None)]


def test_interrupted_and_waiting_trials_count_nowhere() -> None:
    search = study()
    search.enqueue_trial({"x": 1.0})
    search.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"interrupted": "process"}))
    tally = Tally(search.directions)
    tally.update(trials_of(search))
    assert (tally.complete, tally.pruned, tally.failed, tally.running, tally.costs) == (0, 0, 0, [], [])
    search.tell(search.ask({"x": FloatDistribution(0, 2)}), 1.0)
    tally.update(trials_of(search))
    assert tally.complete == 1, "the one that waited"


@pytest.mark.parametrize(("direction", "number"), [("maximize", 2), ("minimize", 1)])
def test_the_best_keeps_to_the_constraints_and_the_first_of_equals_stays(direction: str, number: int) -> None:
    search = study(direction)
    tally = Tally(search.directions)
    for value, excess in ((0.9, 1.0), (0.2, 0.0), (0.8, -1.0), (0.8, 0.0), (0.2, 0.0), (0.1, 2.0)):
        trial = search.ask()
        trial.set_constraint("size", excess)
        search.tell(trial, value)
        tally.update(trials_of(search))
    assert tally.best[0] is not None and tally.best[0].number == number
    assert len(tally.finalists(9)) == 4, "who breaks a constraint does not run again"


def test_each_of_several_objectives_has_its_best() -> None:
    search = study("maximize", "minimize")
    tally = Tally(search.directions)
    for values in ((0.5, 9.0), (0.7, 12.0), (0.1, 3.0)):
        search.tell(search.ask(), values)
    tally.update(trials_of(search))
    assert [trial.number for trial in tally.best if trial] == [1, 2]


def test_costs_are_seconds_and_reports() -> None:
    started = datetime.now()
    search = study()
    whole, without, stopped, twin = (search.ask() for _ in range(4))
    for step in range(3):
        whole.report(0.1, step)
    stopped.report(0.1, 0)
    twin.set_user_attr("duplicate_of", 0)
    for trial in (whole, without, twin):
        search.tell(trial, 0.5)
    search.tell(stopped, state=TrialState.PRUNED)
    tally = Tally(search.directions)
    tally.update(trials_of(search))
    assert [(cost.steps, cost.is_whole) for cost in tally.costs] == [(3, True), (1, True), (1, False), (0, False)]
    passed = (datetime.now() - started).total_seconds()
    assert all(0 < cost.seconds < passed for cost in tally.costs[:3])
    assert tally.costs[3] == Cost(0.0, 0)


def test_finalists_are_expected_to_take_what_their_trials_took() -> None:
    search = study()
    for seconds in (30.0, 10.0):
        search.enqueue_trial({}, user_attrs={"expected_seconds": seconds})
    tally = Tally(search.directions)
    search.ask()
    tally.update(trials_of(search))
    assert tally.seconds_left(Plan(2, workers=2), float("inf")) == pytest.approx(20.0, abs=1.0)
    assert tally.seconds_left(Plan(2), 0.0) == 0.0, "no longer than there is time"


def test_nothing_is_left_when_all_is_done_but_for_finalists() -> None:
    search = study()
    search.tell(search.ask(), 0.5)
    tally = Tally(search.directions)
    tally.update(trials_of(search))
    assert tally.seconds_left(Plan(1), 1e12) is None
    assert tally.seconds_left(Plan(1, n_finalists=2), 1e12) == pytest.approx(2 * tally.costs[0].seconds)
    assert tally.seconds_left(Plan(100), 0.0) == 0.0, "its time is over"
