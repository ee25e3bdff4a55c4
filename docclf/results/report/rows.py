"""The rows of the table of all trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from docclf.results.facts import KEPT, TUNE
from docclf.results.provenance import training_facts
from docclf.results.report.figures.axes import names_of
from docclf.results.report.figures.figure import brief, cut
from docclf.results.report.subject import WORDS, Subject
from docclf.results.team.entries import MERGED_FROM
from docclf.safety.untrusted import one_line
from docclf.sweeper.study.attributes import CAUSE, DUPLICATE_OF, INTERRUPTED, NOT_COMPARABLE, REFERENCE, RETRY_OF, ROLE
from docclf.sweeper.study.finalists import source_number

_ORIGIN = ("who", "host", "study")  # of a merged study, what is shown of where a trial comes from


def table_of_trials(subject: Subject, links: Mapping[int, str]) -> dict[str, Any]:
    """Columns and rows for the browser, which sorts and filters them.

    A column has a name and a kind: `number` sorts by value, `text` by letters, `link` leads to the trial's page. A cell
    is a value, or a pair of what it is sorted by and what is shown.

    Args:
        links: Trial number to the address of its page.
    """
    names = names_of(subject.trials)
    again = {
        source_number(t): t.value
        for t in subject.finalists
        if t.state == TrialState.COMPLETE and REFERENCE not in t.user_attrs
    }
    columns = [("trial", "link"), ("state", "text"), *((name, "number") for name in subject.objectives)]
    columns += [("rescored", "number")] if again else []
    columns += [("folds", "text"), *((name, _kind(subject, name)) for name in names)]
    facts = [training_facts(trial.user_attrs) for trial in subject.trials]
    told = [key for key in (TUNE, KEPT) if any(key in its for its in facts)]
    columns += [(key, "text") for key in told]
    is_merged = any(isinstance(trial.user_attrs.get(MERGED_FROM), dict) for trial in subject.trials)
    columns += [(key, "text") for key in _ORIGIN if is_merged]
    columns += [("seconds", "number"), ("remark", "text")]
    rows = []
    for trial, its in zip(subject.trials, facts, strict=True):
        values = trial.values or [None] * len(subject.objectives)
        row: list[Any] = [trial.number, state_of(trial), *map(_measured, values)]
        row += [_measured(again.get(trial.number))] if again else []
        row.append(" ".join(f"{fold:.3f}" for fold in _folds(trial)))
        row += [_cell(trial.params[name]) if name in trial.params else None for name in names]
        row += [its.get(key) for key in told]
        origin = trial.user_attrs.get(MERGED_FROM)
        known = origin if isinstance(origin, dict) else {}
        row += [cut(str(known.get(key, "")), 60) for key in _ORIGIN if is_merged]
        row += [round(trial.duration.total_seconds(), 1) if trial.duration else None, one_line(_remark(trial))]
        rows.append(row)
    shown_columns = [{"name": cut(name, 60), "kind": kind} for name, kind in columns]
    return {"columns": shown_columns, "rows": rows, "links": {str(n): link for n, link in links.items()}}


def _kind(subject: Subject, name: str) -> str:
    values = (trial.params[name] for trial in subject.trials if name in trial.params)
    return "number" if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values) else "text"


def _cell(value: Any) -> Any:
    shown = cut(brief(value), 100)
    return [value, shown] if isinstance(value, float) else value if isinstance(value, int) else shown


def _measured(value: float | None) -> Any:
    if value is None:
        return None
    return [round(value, 6), f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"]


def state_of(trial: FrozenTrial) -> str:
    """What became of a trial, in a word or two."""
    return "interrupted" if trial.user_attrs.get(INTERRUPTED) else WORDS[trial.state]


def _folds(trial: FrozenTrial) -> list[float]:
    folds = trial.user_attrs.get("folds")
    return [fold for fold in folds if isinstance(fold, int | float)] if isinstance(folds, list) else []


def _remark(trial: FrozenTrial) -> str:
    facts = trial.user_attrs
    parts = [str(facts[ROLE])] if facts.get(ROLE) else []
    parts += ["not comparable"] if NOT_COMPARABLE in facts else []
    parts += [f"as trial {facts[DUPLICATE_OF]}"] if DUPLICATE_OF in facts else []
    parts += [f"trial {facts[RETRY_OF]} again"] if RETRY_OF in facts else []
    parts += [str(facts[CAUSE]).splitlines()[0][:300]] if facts.get(CAUSE) else []
    return "; ".join(parts)
