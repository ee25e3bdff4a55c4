"""How much each parameter matters for the score."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from docclf.data.reading.names import count_of
from docclf.results.report.figures.figure import Figure, cut, label, thinned
from docclf.results.report.subject import Subject

_MOST = 200  # fANOVA takes seconds beyond this
_LEAST, _FEW = 4, 20


@dataclass(frozen=True)
class Importances:
    """Each parameter and the fraction of the variance of scores that it explains, the greatest first; they sum to 1."""

    fractions: Mapping[str, float]  # empty where nothing can be said
    remark: str  # how they were found, or why not


def importances(subject: Subject, objective: int) -> Importances:
    """Importances by fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014) of parameters that all the trials have which
    they are computed from.

    Optuna's default, PED-ANOVA, is not used: of 100 random trials whose score one choice decides, it gave that choice
    61 to 69 % (3 seeds), fANOVA 100 %.
    Where parameters depend on others, as a head has no learning rate, these are the trials with the most to say, see
    `sharing`.
    """
    finite = [t for t in subject.comparable if t.state == TrialState.COMPLETE and math.isfinite(t.values[objective])]
    if len(finite) < _LEAST:
        n = len(finite)
        return Importances({}, f"It takes {_LEAST} finished trials to tell which parameters matter; there are {n}.")
    names, trials = sharing(finite)
    n = len(trials)
    seen = [trials[i] for i in thinned(n, _MOST)]
    if len({t.values[objective] for t in seen}) == 1:
        return Importances({}, "All finished trials have the same score.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental, or few trials: the remark says so
            fractions = get_param_importances(
                subject.study if len(seen) == len(subject.complete) else _study_of(subject, seen),
                evaluator=FanovaImportanceEvaluator(seed=0),
                target=(lambda t: t.values[objective]) if len(subject.directions) > 1 else None,
            )
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        return Importances({}, f"Importances cannot be computed: {error}")
    if n < len(finite):  # what is the same in all of them was not judged
        varied = {name for name in names if len({str(t.params[name]) for t in trials}) > 1}
        fractions = {name: fraction for name, fraction in fractions.items() if name in varied}
    if not fractions:
        return Importances({}, "No parameter was varied in every finished trial.")
    of = f" of the {n:,}" if len(seen) < n else ""
    remark = f"By fANOVA from {len(seen):,}{of} finished trials."
    if n < _FEW:
        remark += f" With fewer than {_FEW} this is a hint at most."
    if n < len(finite):
        which = ", ".join(sorted(names - _common(finite)))
        remark += f" Left out: {count_of(len(finite) - n, 'trial')} without {cut(which, 80)}."
    if missing := len({name for trial in finite for name in trial.params} - fractions.keys()):
        why = "without different values in these trials" if n < len(finite) else "that not every finished trial has"
        remark += f" Left out: {count_of(missing, 'parameter')} {why}."
    return Importances({name: float(fraction) for name, fraction in fractions.items()}, remark)


def sharing(trials: Sequence[FrozenTrial]) -> tuple[frozenset[str], list[FrozenTrial]]:
    """Parameters and the trials that have all of them, so that their product is the greatest; of equals, more trials.

    Args:
        trials: Finished; the result has at least as many of them as importances take.

    >>> from optuna.distributions import FloatDistribution
    >>> from optuna.trial import create_trial
    >>> space = {name: FloatDistribution(0, 1) for name in ("size", "lr", "decay")}
    >>> heads, nets = [["size"]] * 4, [["size", "lr", "decay"]] * 6
    >>> made = [create_trial(value=1, params={n: 0.5 for n in names}, distributions={n: space[n] for n in names})
    ...         for names in heads + nets]
    >>> names, found = sharing(made)
    >>> sorted(names), len(found)
    (['decay', 'lr', 'size'], 6)
    """
    kinds = {frozenset(trial.params) for trial in trials} | {_common(trials)}
    groups = {kind: [t for t in trials if kind <= t.params.keys()] for kind in kinds}
    large = {kind: group for kind, group in groups.items() if len(group) >= _LEAST}
    best = max(large, key=lambda kind: (len(kind) * len(large[kind]), len(large[kind]), sorted(kind)))
    return best, large[best]


def _common(trials: Sequence[FrozenTrial]) -> frozenset[str]:
    return frozenset.intersection(*(frozenset(trial.params) for trial in trials))


def _study_of(subject: Subject, trials: Sequence[FrozenTrial]) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=subject.directions, sampler=optuna.samplers.RandomSampler())
    study.add_trials(trials)
    return study


def importance_figure(subject: Subject, objective: int, found: Importances) -> Figure | None:
    """Bars, the longest on top."""
    if not found.fractions or sum(found.fractions.values()) == 0:
        return None
    names, fractions = list(found.fractions)[:20][::-1], list(found.fractions.values())[:20][::-1]
    several = f" for {subject.objectives[objective]}" if len(subject.directions) > 1 else ""
    return Figure(
        key=f"importance-{objective}",
        title=f"What matters most{several}",
        description=", ".join(f"{name} {fraction:.0%}" for name, fraction in found.fractions.items()),
        caption=found.remark,
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "y": list(range(len(names))),
                "x": fractions,
                "width": 0.6,
                "marker": {"color": "--blue"},
                "text": ["&lt;1%" if 0 < fraction < 0.005 else f"{fraction:.0%}" for fraction in fractions],
                "textposition": "outside",
                "cliponaxis": False,
                "hoverinfo": "skip",
            }
        ],
        layout={
            "xaxis": {"range": [0, max(fractions) * 1.15], "visible": False},
            "yaxis": {
                "tickvals": list(range(len(names))),
                "ticktext": [label(cut(n, 30)) for n in names],
                "gridcolor": "rgba(0,0,0,0)",
            },
            "showlegend": False,
            "margin": {"b": 8},
        },
        height=30 + 36 * len(names),
    )
