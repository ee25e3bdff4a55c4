"""User attributes of trials: what the sweeper and the jobs tell each other through the storage."""

import json
import re
from collections.abc import Callable
from typing import Any

ROLE = "role"  # "baseline"
ENQUEUED = "enqueued"  # the entry of `enqueue` that it comes from
RETRY_OF = "retry_of"  # number of the interrupted trial whose parameters this one has
RUNG = "rung"  # of a search that climbs, see docclf.sweeper.strategy.climb
CARRIED = "carried_from"  # number of the trial on the rung below whose values it takes over; null without one
DUPLICATE_OF = "duplicate_of"  # number of the trial whose result this one has, instead of running again
OVERRIDES = "overrides"  # of its job, to compose its config where its folder is gone, or on another machine
FINALIST = "finalist"  # the trial of the search that this one re-evaluates, and how, see docclf.sweeper.run.finalists
AGAIN = "seconds_again"  # set by the task: how long the trial would take again, where that is not what it took
EXPECTED = "expected_seconds"  # of a finalist: what its trial has taken
REFERENCE = "reference"  # of a finalist that is no trial: its name in `finalists.references`
MEMBER = "ensemble"  # the REFERENCE of a finalist that is a trial, but was re-evaluated as a member of an ensemble
FLOORS = "floors"  # set by the task: name of a simple reference to its score where the trial was scored
NOT_COMPARABLE = "not_comparable"  # true of a merged study's trial whose score is of other data or another objective
CAUSE = "cause"  # why a trial failed
OWNER = "owner"  # the process that launched it, see docclf.sweeper.study.process.this_process
BEAT = "heartbeat"  # when that process last said that it lives, in seconds since 1970
ATTEMPT = "attempt"  # how often it was launched before, 0 if missing
DEADLINE = "deadline"  # when the time budget ends, in seconds since 1970 by the clock as it was when the trial began
PROGRESS = "progress"  # what its job is at, in words, see docclf.sweeper.screen.progress_writer
BUDGET = "budget"  # reports after which it pauses, see docclf.sweeper.strategy.ladder
PRUNED_AT = "pruned_at_step"  # the step after which the trial was advised to stop
# Of the study of finalists: the values of FINALIST that the last run asked for; those of all that were scored in the
# same way as the last ones to come to their end; its pruner
WANTED = "wanted"
CURRENT = "current"
PRUNER = "pruner"
RUN = "run "  # of the study, before the name of a process: when that began, and when it last said that it runs
# Why a trial did not come to its end though its parameters are fine: "process", "signal", "timeout", "input",
# "machine", "search" or "claim". It does not count, and another trial tries the parameters again, but for "unwanted",
# which nobody asks for any more.
INTERRUPTED = "interrupted"

# What belongs to one trial alone, and not to the result that another may share with it
ITS_OWN = (ROLE, ENQUEUED, RETRY_OF, CARRIED, OVERRIDES, OWNER, BEAT, ATTEMPT, DEADLINE, PROGRESS)

_MOST = 1e12  # seconds, trials or a score: of larger numbers not all can be computed with


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_finalist(value: Any) -> bool:
    return _is_text(value) and re.match(r"\d{1,12}(/| |$)", value) is not None


def is_run(value: Any) -> bool:
    """Whether the value of an attribute of `RUN` is one."""
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


_KINDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys((ROLE, RUNG, REFERENCE, CAUSE, OWNER, PROGRESS, PRUNER, ENQUEUED), _is_text),
    **dict.fromkeys((RETRY_OF, DUPLICATE_OF, ATTEMPT, BUDGET, PRUNED_AT), _is_count),
    **dict.fromkeys((AGAIN, EXPECTED, BEAT, DEADLINE), _is_number),
    **dict.fromkeys((OVERRIDES, WANTED, CURRENT), _are_texts),
    FINALIST: _is_finalist,
    FLOORS: lambda value: isinstance(value, dict),
    CARRIED: lambda value: value is None or _is_count(value),
    INTERRUPTED: lambda value: value in (None, True) or _is_text(value),  # True before there were several
}


def of_their_kind(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes that may be what docclf's processes tell each other: whoever shares a database can write others.

    Args:
        attributes: Of a trial or of a study. Those of other names are kept as they are.

    >>> of_their_kind({AGAIN: 3.5, BEAT: "soon", "mine": [1]})
    {'seconds_again': 3.5, 'mine': [1]}
    """
    kept = {name: value for name, value in attributes.items() if name not in _KINDS or _KINDS[name](value)}
    if FLOORS in kept:
        kept[FLOORS] = {name: score for name, score in kept[FLOORS].items() if _is_number(score)}
    return kept


def read_record(text: Any) -> dict[str, Any] | None:
    """What `docclf.sweeper.study.continuation.require_same` has kept; None of a study of another program.

    >>> read_record('{"data": "a1"}'), read_record("another program's"), read_record(None)
    ({'data': 'a1'}, None, None)
    """
    try:
        record = json.loads(text)
    except (TypeError, ValueError):
        return None
    return record if isinstance(record, dict) else None
