"""A pruner for a few good candidates: who falls behind the leader need not finish."""

from collections.abc import Iterable
from statistics import fmean

import optuna
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

# So many run to their end, whatever they score: of finalists the baseline and the best of the search.
_N_WHOLE = 2


class Race(BasePruner):
    """Stops a trial whose mean report is behind that of the best finished one over the same steps.

    Made for reports that are scores of their own, such as one a fold. Unlike median and percentile, it compares with
    the leader alone: of several good trials one is wanted.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        finished = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
        steps = trial.intermediate_values.keys()
        rivals = [_mean(t, steps) for t in finished if t.intermediate_values.keys() >= steps]
        if len(finished) < _N_WHOLE or not steps or not rivals:
            return False
        ours = _mean(trial, steps)
        return ours < max(rivals) if study.direction == StudyDirection.MAXIMIZE else ours > min(rivals)


def _mean(trial: FrozenTrial, steps: Iterable[int]) -> float:
    return fmean(trial.intermediate_values[step] for step in steps)
