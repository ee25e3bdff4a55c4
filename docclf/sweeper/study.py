"""What a study holds beside its trials' values: who runs a trial, why one failed, what it was begun with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import SpaceError
from docclf.sweeper.process import is_alive
from docclf.sweeper.space import describe

# User attributes of trials
ROLE = "role"  # "baseline"
RETRY_OF = "retry_of"  # number of the interrupted trial whose parameters this one has
CAUSE = "cause"  # why a trial failed
OWNER = "owner"  # the process that launched it: host and process id
INTERRUPTED = "interrupted"  # the process died or the input was wrong; another trial tries the parameters again


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count towards the total: all finished ones but those whose process died."""
    finished = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    return [t for t in study.get_trials(deepcopy=False, states=finished) if not t.user_attrs.get(INTERRUPTED)]


def fail_dead(study: optuna.Study) -> None:
    """Fail the trials that a dead process, or this one at its end, left running."""
    storage = study._storage
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not is_alive(trial.user_attrs.get(OWNER)):
            storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
            storage.set_trial_user_attr(trial._trial_id, CAUSE, "interrupted: the process that ran it ended")
            study.tell(trial.number, state=TrialState.FAIL)


def retry_interrupted(study: optuna.Study) -> None:
    """Queue the parameters of interrupted trials once more, each of them once.

    Those of a second interruption are not queued again: they may be what kills the process. The baseline always is.
    """
    trials = study.get_trials(deepcopy=False)
    retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    for trial in trials:
        # One that died between queue and start has its parameters in the queue's note alone.
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        role = trial.user_attrs.get(ROLE)
        again = role == "baseline" or RETRY_OF not in trial.user_attrs
        if INTERRUPTED in trial.user_attrs and trial.number not in retried and params and again:
            attributes = {RETRY_OF: trial.number, **({ROLE: role} if role else {})}
            study.enqueue_trial(params, user_attrs=attributes)


def require_same(study: optuna.Study, key: str, facts: Mapping[str, Any], *, what: str, way_out: str) -> None:
    """Keep facts with a new study, and compare them when it is continued.

    Args:
        key: User attribute of the study.
        facts: JSON-serialisable values by name.
        what: The facts in words, for the message.
        way_out: How to begin another study.

    Raises:
        SpaceError: The study was begun with others; the message names the differences.
    """
    known, value = study.user_attrs.get(key), json.dumps(dict(facts), sort_keys=True)
    if known is None:
        study.set_user_attr(key, value)
    elif known != value:
        before, now = json.loads(known), json.loads(value)
        changed = "".join(
            f"  {name}: {_show(before.get(name))}, now {_show(now.get(name))}\n"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        )
        raise SpaceError(
            f"Expected {what} of study `{study.study_name}` as it was begun, got another:\n{changed}"
            f"Set it back to continue, or begin another study with {way_out}."
        )


def _show(fact: Any) -> str:
    """A fact, or the JSON of a distribution, in a few characters."""
    if isinstance(fact, str) and fact.startswith("{"):
        return describe(json_to_distribution(fact))
    return "nothing" if fact is None else str(fact)
