"""The rows of the table of all trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from docclf.results.facts import KEPT, TUNE
from docclf.results.provenance import training_facts
from docclf.results.report.figures.figure import brief, cut
from docclf.results.report.figures.parameters import names_of
from docclf.results.report.subject import WORDS, Subject
from docclf.results.team.entries import MERGED_FROM
from docclf.safety.untrusted import one_line
from docclf.sweeper.study.attributes import CAUSE, DUPLICATE_OF, INTERRUPTED, NOT_COMPARABLE, REFERENCE, RETRY_OF, ROLE
from docclf.sweeper.study.finalists import source_number
from docclf.sweeper.study.trials import seconds_of

_ORIGIN = ("who", "host", "study")  # of a merged study, what is shown of where a trial comes from


def table_of_trials(subject: Subject, links: Mapping[int, str]) -> dict[str, Any]:
    """Columns and rows for the browser, which sorts and filters them.

    A column has a name and a kind: `number` sorts by value, `text` by letters, `link` leads to the trial's page. A cell
    is a value, or a pair of what it is sorted by and what is shown.

    Args:
        links: Trial number to the address of its page.
    """
    trials = subject.trials
    again = {
        source_number(t): t.value
        for t in subject.finalists
        if t.state == TrialState.COMPLETE and REFERENCE not in t.user_attrs
    }
    facts = [training_facts(trial.user_attrs) for trial in trials]
    origins = [o if isinstance(o := trial.user_attrs.get(MERGED_FROM), dict) else {} for trial in trials]
    columns: list[tuple[str, str, list[Any]]] = [("trial", "link", [trial.number for trial in trials])]
    columns.append(("state", "text", [state_of(trial) for trial in trials]))
    for i, name in enumerate(subject.objectives):
        columns.append((name, "number", [_measured(trial.values[i] if trial.values else None) for trial in trials]))
    if again:
        columns.append(("rescored", "number", [_measured(again.get(trial.number)) for trial in trials]))
    columns.append(("folds", "text", [" ".join(f"{fold:.3f}" for fold in _folds(trial)) for trial in trials]))
    for name in names_of(trials):
        columns.append(
            (name, _kind(subject, name), [_cell(t.params[name]) if name in t.params else None for t in trials])
        )
    for key in (TUNE, KEPT):
        if any(key in its for its in facts):
            columns.append((key, "text", [its.get(key) for its in facts]))
    if any(origins):
        columns += [(key, "text", [cut(str(o.get(key, "")), 60) for o in origins]) for key in _ORIGIN]
    columns.append(("seconds", "number", [round(seconds_of(t), 1) if t.duration else None for t in trials]))
    columns.append(("remark", "text", [one_line(_remark(trial)) for trial in trials]))
    shown_columns = [{"name": cut(name, 60), "kind": kind} for name, kind, _ in columns]
    rows = [list(row) for row in zip(*(cells for _, _, cells in columns), strict=True)]
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
