"""What samplers, pruners and the search for duplicates see of a merged study: what can be compared."""

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.sweeper.job.trial import JobTrial
from docclf.sweeper.optuna_private import renumber
from docclf.sweeper.run.asker import Asker
from docclf.sweeper.study.attributes import NOT_COMPARABLE
from docclf.sweeper.study.outcome import find_twin

SPACE = {"n": IntDistribution(0, 9)}


def ended(n: int, value: float, *, other_data: bool) -> FrozenTrial:
    return create_trial(
        value=value,
        params={"n": n},
        distributions=SPACE,
        intermediate_values={0: value, 1: value},
        user_attrs={NOT_COMPARABLE: True} if other_data else {},
    )


class Seeing(optuna.samplers.RandomSampler):
    """Remembers the parameters of the trials that it is shown."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, IntDistribution]:
        shown = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        self.seen = [other.params["n"] for other in shown]
        return {}


@pytest.mark.parametrize("pruner", [optuna.pruners.NopPruner(), optuna.pruners.HyperbandPruner()])
def test_a_sampler_is_shown_no_scores_of_other_data(pruner: optuna.pruners.BasePruner) -> None:
    sampler = Seeing(seed=1)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.add_trials([ended(n, 0.1, other_data=n > 1) for n in range(4)])
    asker = Asker(study)
    for number in 4, 5:
        trial = asker.ask(asker.take())
        trial.suggest_int("n", 0, 9)
        assert trial.number == number
        assert set(sampler.seen) <= {0, 1}
    assert [trial.number for trial in study.get_trials()] == list(range(6))


@pytest.mark.parametrize("pruner", [optuna.pruners.NopPruner(), optuna.pruners.HyperbandPruner()])
def test_a_sampler_is_shown_trials_of_another_study_whatever_the_pruner(pruner: optuna.pruners.BasePruner) -> None:
    sampler = Seeing(seed=1)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.add_trials([ended(0, 0.1, other_data=False) for _ in range(4)])
    known = [ended(n, 0.2, other_data=False) for n in range(1, 10)]
    for i, trial in enumerate(known):
        renumber(trial, i - len(known))
    asker = Asker(study, known=known)
    asker.ask(asker.take()).suggest_int("n", 0, 9)
    assert set(sampler.seen) - {0}
    assert len(study.get_trials()) == 5, "the study itself is without them"


@pytest.mark.parametrize("other_data", [False, True])
def test_a_pruner_compares_with_no_scores_of_other_data(other_data: bool) -> None:
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1))
    study.add_trials([ended(n, 0.1, other_data=other_data) for n in range(3)])
    trial = JobTrial(study.ask(SPACE))
    trial.report(0.5, 0)
    trial.report(0.5, 1)
    assert trial.should_prune() is not other_data


def test_what_was_measured_on_other_data_is_measured_again() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"n": 3})
    trial = study.ask(SPACE)
    others = [ended(3, 0.1, other_data=True), ended(3, 0.2, other_data=False)]
    assert find_twin(trial, others) is others[1]
    assert find_twin(trial, others[:1]) is None
