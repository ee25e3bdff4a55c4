"""How much each parameter matters for the score."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

from docclf.results.report.figure import Figure, cut, label
from docclf.results.report.subject import Subject

# fANOVA takes seconds beyond this, PED-ANOVA milliseconds.
_FANOVA_TRIALS = 200
_LEAST, _FEW = 4, 20


@dataclass(frozen=True)
class Importances:
    """Parameter to its share of what explains the scores, the greatest first; they sum to 1.

    Attributes:
        shares: Empty where nothing can be said.
        remark: How they were found, or why not.
    """

    shares: Mapping[str, float]
    remark: str


def importances(subject: Subject, objective: int) -> Importances:
    """Importances by fANOVA (Hutter, Hoos and Leyton-Brown, ICML 2014), in long studies by PED-ANOVA (Watanabe, Bansal
    and Hutter, IJCAI 2023), of the parameters that every finished trial has.
    """
    finite = [t for t in subject.complete if math.isfinite(t.values[objective])]
    n = len(finite)
    if n < _LEAST:
        return Importances({}, f"It takes {_LEAST} finished trials to tell which parameters matter; there are {n}.")
    if len({t.values[objective] for t in finite}) == 1:
        return Importances({}, "All finished trials have the same score.")
    is_long = n > _FANOVA_TRIALS
    evaluator = PedAnovaImportanceEvaluator() if is_long else FanovaImportanceEvaluator(n_trees=16, seed=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental, or few trials: the remark says so
            shares = get_param_importances(
                subject.study,
                evaluator=evaluator,
                target=(lambda t: t.values[objective]) if len(subject.directions) > 1 else None,
            )
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        return Importances({}, f"Importances cannot be told: {error}")
    if not shares:
        return Importances({}, "No parameter was varied in every finished trial.")
    remark = f"By {'PED-ANOVA' if is_long else 'fANOVA'} from {n:,} finished trials."
    if n < _FEW:
        remark += f" With fewer than {_FEW} this is a hint at most."
    every = {name for trial in subject.complete for name in trial.params}
    if missing := len(every - shares.keys()):
        remark += f" {missing} that not every finished trial has are left out."
    return Importances({name: float(share) for name, share in shares.items()}, remark)


def importance_figure(subject: Subject, objective: int, found: Importances) -> Figure | None:
    """Bars, the longest on top."""
    if not found.shares or sum(found.shares.values()) == 0:
        return None
    names, shares = list(found.shares)[:20][::-1], list(found.shares.values())[:20][::-1]
    several = f" for {subject.objectives[objective]}" if len(subject.directions) > 1 else ""
    return Figure(
        key=f"importance-{objective}",
        title=f"What matters most{several}",
        description=", ".join(f"{name} {share:.0%}" for name, share in found.shares.items()),
        caption=found.remark,
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "y": list(range(len(names))),
                "x": shares,
                "width": 0.6,
                "marker": {"color": "--blue"},
                "text": ["&lt;1%" if 0 < share < 0.005 else f"{share:.0%}" for share in shares],
                "textposition": "outside",
                "cliponaxis": False,
                "hoverinfo": "skip",
            }
        ],
        layout={
            "xaxis": {"range": [0, max(shares) * 1.15], "visible": False},
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
