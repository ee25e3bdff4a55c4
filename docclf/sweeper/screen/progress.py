"""The lines of a search."""

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from docclf.sweeper.space.grammar import to_text
from docclf.sweeper.space.parameters import key_of
from docclf.sweeper.storage.hiding import hide_secrets
from docclf.sweeper.study.attributes import BUDGET, CAUSE, DUPLICATE_OF, INTERRUPTED, RUNG
from docclf.sweeper.study.trials import seconds_of

_SMALL = 0.01  # of smaller scores, three decimals say little


def format_params(params: Mapping[str, Any]) -> str:
    """Parameters in one line; a key is cut to its last part where that is unambiguous.

    >>> format_params({"optimizer.lr": 1.23456e-5, "a.size": 1, "b.size": None})
    'lr=1.23e-05 a.size=1 b.size=null'
    """
    params = {key_of(name): value for name, value in params.items()}
    leaves = [key.rpartition(".")[2] for key in params]
    names = [leaf if leaves.count(leaf) == 1 else key for key, leaf in zip(params, leaves, strict=True)]
    values = (f"{value:.3g}" if isinstance(value, float) else to_text(value) for value in params.values())
    return " ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


def format_score(value: float, sign: str = "", beside: float | None = None) -> str:
    """A score with three decimals, or of a small one, as a loss may be, three digits.

    Args:
        sign: `+` for one of positive values, too.
        beside: The score that a difference stands beside, whose decimals it has; None for a score.

    >>> format_score(0.81251), format_score(0.000312), format_score(0.0), format_score(0.001, "+", beside=0.8)
    ('0.813', '0.000312', '0.000', '+0.001')
    """
    size = abs(value if beside is None else beside)
    return f"{value:{sign}.3{'g' if 0 < size < _SMALL else 'f'}}"


def end_line(
    trial: FrozenTrial,
    best: FrozenTrial | None,
    *,
    total: float,
    noun: str,
    objectives: Sequence[str],
    seconds_left: float | None,
    others: Mapping[str, str] | None = None,
) -> str:
    """What came of a trial, the best so far, how long it took and how long the rest will take.

    Args:
        best: The best of one objective so far.
        total: Trials in all; infinite for no limit.
        noun: What a trial is called.
        seconds_left: That the rest will take; None if nobody knows.
        others: What a trial measures besides, each with what it is called; None for nothing.
    """
    if trial.state == TrialState.COMPLETE:
        outcome = ", ".join(
            f"{name} {format_score(value)}" for name, value in zip(objectives, trial.values, strict=True)
        )
        found = {name: trial.user_attrs.get(key) for key, name in (others or {}).items()}
        outcome += "".join(
            f", {name} {format_score(value)}" for name, value in found.items() if isinstance(value, float)
        )
    elif trial.state == TrialState.PRUNED:
        value = trial.intermediate_values[trial.last_step] if trial.last_step is not None else math.nan
        outcome = f"{'paused' if BUDGET in trial.user_attrs else 'pruned'} at {objectives[0]} {format_score(value)}"
    elif trial.user_attrs.get(INTERRUPTED) == "timeout":
        outcome = "out of time"
    else:
        outcome = f"failed: {trial.user_attrs.get(CAUSE, 'unknown cause').splitlines()[0]}"
    if DUPLICATE_OF in trial.user_attrs:
        outcome += f", as trial {trial.user_attrs[DUPLICATE_OF]}"
    took = format_seconds(seconds_of(trial)) + (f", {format_left(seconds_left)}" if seconds_left else "")
    shown = f" (best {format_score(best.values[0])}, {noun} {best.number})" if best else ""
    if best and trial.state == TrialState.PRUNED and trial.last_step in best.intermediate_values:
        shown = f" (the best, {noun} {best.number}, had {format_score(best.intermediate_values[trial.last_step])} then)"
    rung = f"{trial.user_attrs[RUNG]}  " if RUNG in trial.user_attrs else ""
    return f"{noun} {trial.number}{of(total, trial.number)}  {rung}{outcome}{shown}  {took}"


def of(total: float, number: int) -> str:
    """How many trials there are in all, behind the number of one; nothing where trials that are tried again lead past.

    >>> of(20, 19), of(20, 20), of(math.inf, 0)
    ('/20', '', '')
    """
    return "" if math.isinf(total) or number >= total else f"/{total}"


def format_seconds(seconds: float) -> str:
    """
    >>> format_seconds(41.2), format_seconds(540), format_seconds(7260)
    ('41 s', '9 min', '2 h 1 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def format_left(seconds: float) -> str:
    """How long something will take, which nobody knows to the second.

    >>> format_left(0.3), format_left(9.97)
    ('a moment left', 'about 10 s left')
    """
    return f"about {format_seconds(seconds)} left" if seconds > 1 else "a moment left"


def retyped(cwd: str, arguments: Sequence[str], *overrides: str) -> str:
    """A command of a search, to be copied, with some overrides, each as `key=value`, replaced or added.

    Args:
        cwd: Folder that it was typed in.
        arguments: Without Python's name.

    >>> print(retyped("/my pages", ["-m", "docclf.train", "-m", "data=csv", "seed=1"], "seed=2"))
    cd '/my pages' && python -m docclf.train -m data=csv seed=2
    >>> print(retyped("/", ["app.py", "hydra.sweeper.n_trials=1"], "search.n_trials=2"))
    cd / && python app.py search.n_trials=2
    """
    given = [f"{override.partition('=')[0]}=" for override in overrides]
    # `search.KEY` is what `hydra.sweeper.KEY` has where that is not typed
    keys = (*given, *(f"hydra.sweeper.{key[7:]}" for key in given if key.startswith("search.")))
    kept = [text for text in arguments if not (keys and text.startswith(keys))]
    return f"cd {shlex.quote(cwd)} && {shlex.join(['python', *kept, *overrides])}"


def this_command(*more: str) -> str:
    """The command that runs now, without secrets; `more` are overrides with which it goes on from its end."""
    return retyped(str(Path.cwd()), [hide_secrets(argument) for argument in sys.orig_argv[1:]], *more)
