"""From the floors to the winner: who scores what on the same folds, the lowest kind first."""

from __future__ import annotations

from typing import Any

from optuna.trial import FrozenTrial

from docclf.results.facts import KEPT, TUNE, macro_f1_of, result_of
from docclf.results.floors import NAMES
from docclf.results.provenance import training_facts
from docclf.results.report.subject import Subject
from docclf.safety.untrusted import one_line


def _step(name: str, detail: str, score: float, kind: str, is_exported: bool = False) -> dict[str, Any]:
    """A classifier on the way up: what it is called and is, its macro-F1, and whether it is what `best/` has.

    Args:
        kind: `floor`, `baseline`, `winner` or `test`.
    """
    return {"name": name, "detail": detail, "score": score, "kind": kind, "is_exported": is_exported}


def floors_to_winner(subject: Subject) -> list[dict[str, Any]]:
    """Floors, baseline, winner, and where it was measured the score on the test pages; empty without floors."""
    if not subject.floors or subject.chosen is None:
        return []
    verdict = subject.verdict
    replaced = verdict.exported_as if verdict is not None else "winner"
    steps = [
        _step(NAMES[name], one_line(floor.get("what", "")), floor["mean"], "floor", is_exported=name == replaced)
        for name, floor in subject.floors.items()
    ]
    winner = verdict.winner if verdict is not None else subject.chosen
    baseline = verdict.baseline if verdict is not None else subject.baseline
    if baseline is not None and baseline.number != winner.number:
        steps.append(_step("baseline", _trained(baseline), macro_f1_of(baseline), "baseline"))
    name = f"{'winner' if verdict is not None else 'best'}, trial {subject.chosen.number}"
    is_exported = replaced == "winner" and verdict is not None
    steps.append(_step(name, _trained(winner), macro_f1_of(winner), "winner", is_exported))
    if verdict is not None and verdict.is_ensemble:
        told = verdict.ensemble
        name, detail = f"mean of {len(told['trials'])} trials", "on pages that did not choose them"
        steps.append(_step(name, detail, float(told["macro_f1"]), "winner", is_exported=True))
    test = _test_score(subject)
    return steps if test is None else [*steps, _step("test pages", "of what is exported", test, "test")]


def _trained(trial: FrozenTrial) -> str:
    facts = training_facts(trial.user_attrs)
    return ", ".join(f"{word}: {facts[key]}" for key, word in ((TUNE, "trained"), (KEPT, "kept")) if key in facts)


def _test_score(subject: Subject) -> float | None:
    """Macro-F1 of the run in `best/` on the test pages; None where it has none."""
    scores = result_of(subject.folder / "best" if subject.folder else None).get("refit")
    found = scores.get("test/macro_f1") if isinstance(scores, dict) else None
    return float(found) if isinstance(found, int | float) else None
