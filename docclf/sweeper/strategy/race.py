"""A pruner for a few good candidates: who falls behind the leader need not finish."""

import math
from statistics import fmean

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.study.attributes import FINALIST, MEMBER, REFERENCE, ROLE
from docclf.sweeper.study.trials import how_scored, loss

# So many run to their end, whatever they score: of finalists the baseline and the best of the search.
N_WHOLE = 2


class Race(BasePruner):
    """Stops a trial whose mean report is behind that of the best finished one over the same steps.

    Made for reports that are scores of their own, such as one a fold. Unlike median and percentile, it compares with
    the leader alone: of several good trials one is wanted. The baseline never stops, since the winner is compared with
    it, nor does a finalist that finished before and is re-evaluated because its folder is gone. Finalists race only
    those that are scored with the same overrides.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        steps = trial.intermediate_values.keys()
        if not steps or trial.user_attrs.get(ROLE) == "baseline" or trial.user_attrs.get(REFERENCE) == MEMBER:
            return False

        def mean_loss(other: FrozenTrial) -> float:
            return loss(fmean(other.intermediate_values[step] for step in steps), study.direction)

        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.user_attrs.get(FINALIST) in {t.user_attrs[FINALIST] for t in complete if FINALIST in t.user_attrs}:
            return False
        finished = [t for t in complete if how_scored(t) == how_scored(trial) and t.user_attrs.get(REFERENCE) != MEMBER]
        rivals = [mean_loss(t) for t in finished if t.intermediate_values.keys() >= steps]
        return len(finished) >= N_WHOLE and mean_loss(trial) > min(rivals, default=math.inf)
