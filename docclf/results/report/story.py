"""The words of a report: what came out, what it cost, what to do next."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate, islice
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from docclf.metrics.resampling import Difference
from docclf.results.facts import TUNE
from docclf.results.floors import NAMES, remedies
from docclf.results.report.figures.figure import score
from docclf.results.report.floors_to_winner import floors_to_winner
from docclf.results.report.subject import WORDS, Subject
from docclf.results.study.summary import next_steps as shared_steps
from docclf.safety.cells import lines_of, uncell
from docclf.safety.untrusted import one_line
from docclf.sweeper.screen.progress import format_seconds
from docclf.sweeper.study.attributes import BUDGET, CAUSE, INTERRUPTED, MEMBER, REFERENCE
from docclf.sweeper.study.finalists import source_number
from docclf.sweeper.study.trials import best_trials, front_of, loss


@dataclass(frozen=True)
class Headline:
    """What a reader sees first."""

    text: str  # one sentence
    detail: str  # what it rests on
    kind: str  # `good`, `even`, `open` while it may change, `below` a floor, or `bad`


def headline(subject: Subject) -> Headline:
    """What a search came to, in a sentence; that it is below a floor comes before everything else."""
    found = _headline(subject)
    if not subject.warning or subject.chosen is None:
        return found
    text, _, exported = subject.warning.removesuffix(".").rpartition(". ")
    advice = remedies(subject.floors, subject.chosen.user_attrs.get(TUNE))
    return Headline(text, f"{exported}. {advice}. {found.text}. {found.detail}".strip(), "below")


def _headline(subject: Subject) -> Headline:
    if subject.verdict is not None:
        text, detail = _sentence(subject.verdict.claim), f"{_sentence(subject.verdict.reason)}."
        how = f"The best trials and the baseline were {subject.verdict.how}, and the best of these wins."
        if subject.verdict.expected:
            how = f"{how} {_sentence(subject.verdict.expected)}."
        if told := subject.verdict.ensemble:
            how = f"{how} {_sentence(one_line(str(told['text'])))}."
        return Headline(text, f"{detail} {how}".strip(), "good" if subject.verdict.beats else "even")
    running = subject.count(TrialState.RUNNING)
    if len(subject.directions) > 1 and subject.complete:
        n = len(front_of(subject.study))
        text = f"{n} {'trial is' if n == 1 else 'trials are'} on the Pareto front"
        *others, last = subject.objectives
        detail = f"No other trial is better than one of these in {', '.join(others)} and {last} alike."
        return Headline(text, detail, "open")
    if subject.chosen is None:
        return _without_result(subject, running)
    best, base = subject.chosen, subject.baseline
    text = f"Trial {best.number} is the best{' so far' if running else ''}: {subject.objectives[0]} {score(best.value)}"
    detail = "It was not re-evaluated on other folds, and the best of many noisy scores is partly luck."
    if base is not None and base.number == best.number:
        text = f"No trial {'yet ' if running else ''}beats the baseline: {subject.objectives[0]} {score(best.value)}"
        detail = "The config as it is without the search."
    elif base is not None and base.value is not None and best.value is not None:
        direction = subject.directions[0]
        better = "better" if loss(best.value, direction) < loss(base.value, direction) else "worse"
        detail = f"{score(abs(best.value - base.value))} {better} than the baseline, {score(base.value)}. {detail}"
    return Headline(text, detail, "open")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _without_result(subject: Subject, running: int) -> Headline:
    if not subject.trials:
        return Headline("No trial has begun yet", "", "open")
    if subject.complete:
        return Headline("No trial keeps to the constraints", "The table below has the nearest.", "bad")
    if running:
        return Headline("No trial has come to its end yet", f"{running} running.", "open")
    n_pruned, n_failed = subject.count(TrialState.PRUNED), subject.count(TrialState.FAIL)
    if n_pruned and not n_failed:
        pruned = (t for t in subject.trials if t.state == TrialState.PRUNED)
        how = "is paused" if all(BUDGET in t.user_attrs for t in pruned) else "was pruned"
        way_out = "Try hydra/sweeper/pruner=none, or more trials."
        return Headline(f"Every trial {how}", f"There is no result. {way_out}", "bad")
    if n_failed and not n_pruned:
        return Headline("Every trial failed", "The causes are below.", "bad")
    return Headline("No trial finished", "", "bad")


def facts_of(subject: Subject, links: Mapping[int, str], finals: Mapping[int, str]) -> dict[str, Any]:
    """The figures of the first screen.

    Args:
        links: Trial number to the address of its page.
        finals: Finalist's number to that of its.
    """
    counts = [(n, word) for state, word in WORDS.items() if (n := subject.count(state))]
    interrupted = sum(bool(t.user_attrs.get(INTERRUPTED)) for t in subject.trials)
    counts += [(interrupted, "interrupted")] if interrupted else []
    busy = sum(_seconds(subject, trial) for trial in (*subject.trials, *subject.all_finalists))
    starts = [t.datetime_start for t in subject.trials if t.datetime_start]
    ends = [t.datetime_complete or subject.now for t in (*subject.trials, *subject.all_finalists) if t.datetime_start]
    failed = [t for t in subject.trials if t.state == TrialState.FAIL and INTERRUPTED not in t.user_attrs]
    return {
        "counts": counts,
        "n": sum(n for n, _ in counts),
        "busy": format_seconds(busy),
        "elapsed": format_seconds((max(ends) - min(starts)).total_seconds()) if starts else "",
        "workers": _most_at_once(subject),
        "started": f"{min(starts):%Y-%m-%d %H:%M}" if starts else "",
        "written": f"{subject.now:%Y-%m-%d %H:%M}",
        "is_running": subject.count(TrialState.RUNNING) > 0,
        "floors_to_winner": floors_to_winner(subject),
        "interval": interval(subject.verdict.difference) if subject.verdict else None,
        "finalists": [_finalist(subject, trial, finals) for trial in subject.finalists],
        "params": _params(subject),
        "team": _team(subject, links),
        "front": _front(subject, links),
        "causes": Counter(one_line(str(t.user_attrs.get(CAUSE, "unknown cause")))[:300] for t in failed).most_common(5),
    }


_MOMENT = timedelta(milliseconds=500)  # after which the trial before one is told, too
_TEAM = ("rank", "number", "who", "host", "study", "score", "rescored", "hardware")  # columns of leaderboard.csv
_MOST = 10  # rows of it
_ROLES = {**NAMES, MEMBER: "of the ensemble"}


def _most_at_once(subject: Subject) -> int:
    """The largest number of trials that ran at the same time."""
    steps = []
    for trial in subject.trials:
        if trial.datetime_start is not None:
            begin = trial.datetime_start + _MOMENT
            steps += [(begin, 1), (max(trial.datetime_complete or subject.now, begin), -1)]
    return max(accumulate(step for _, step in sorted(steps)), default=0)


def _seconds(subject: Subject, trial: FrozenTrial) -> float:
    if trial.datetime_start is None:
        return 0.0
    return ((trial.datetime_complete or subject.now) - trial.datetime_start).total_seconds()


def interval(difference: Difference | None) -> dict[str, Any] | None:
    """Places in percent of a difference, its interval and zero on a line that holds them all.

    >>> found = interval(Difference(0.2, 0.1, 0.3, 0.99, 0.95))
    >>> {key: round(found[key]) for key in ("zero", "low", "width", "value")}
    {'zero': 8, 'low': 36, 'width': 56, 'value': 64}
    """
    if difference is None:
        return None
    ends = (min(0.0, difference.low), max(0.0, difference.high))
    pad = (ends[1] - ends[0]) * 0.1 or 0.01
    start, span = ends[0] - pad, ends[1] - ends[0] + 2 * pad
    zero, low, value, high = (
        100 * (x - start) / span for x in (0.0, difference.low, difference.value, difference.high)
    )
    texts = {name: f"{getattr(difference, name):+z.3f}" for name in ("low", "high")}
    return {"zero": zero, "low": low, "width": high - low, "value": value, "high": high, "texts": texts}


def _finalist(subject: Subject, trial: FrozenTrial, finals: Mapping[int, str]) -> dict[str, Any]:
    folds = trial.user_attrs.get("folds")
    first = None if trial.user_attrs.get(REFERENCE, MEMBER) != MEMBER else subject.trials[source_number(trial)].value
    return {
        "number": source_number(trial),
        "role": str(trial.user_attrs.get("role", "")) or _ROLES.get(trial.user_attrs.get(REFERENCE, ""), ""),
        "state": WORDS[trial.state],
        "is_complete": trial.state == TrialState.COMPLETE,
        "before": first,
        "value": trial.value,
        "folds": folds if isinstance(folds, list) else [],
        "link": finals.get(trial.number, ""),
        "wins": subject.verdict is not None and trial.number == subject.verdict.exported.number,
    }


def _params(subject: Subject) -> list[tuple[str, Any, Any]]:
    """Name, the baseline's value and the winner's; None where one has not got it."""
    if subject.chosen is None or len(subject.directions) > 1:
        return []
    base = subject.baseline.params if subject.baseline is not None else {}
    return [(name, base.get(name), value) for name, value in subject.chosen.params.items()]


def _team(subject: Subject, links: Mapping[int, str]) -> list[dict[str, str]]:
    """The first rows of a merged study's leaderboard.csv; none of any other."""
    path = subject.folder / "leaderboard.csv" if subject.folder is not None else None
    if path is None or not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        read = [
            {key: uncell(row.get(key) or "") for key in _TEAM} for row in islice(csv.DictReader(lines_of(file)), _MOST)
        ]
    to_page = {str(number): link for number, link in links.items()}
    return [
        {**{key: one_line(text)[:60] for key, text in row.items()}, "link": to_page.get(row["number"], "")}
        for row in read
    ]


def _front(subject: Subject, links: Mapping[int, str]) -> list[tuple[int, str, list[float]]]:
    if len(subject.directions) < 2 or not subject.complete:
        return []
    best = best_trials(front_of(subject.study), subject.directions[0])[:12]
    return [(t.number, links.get(t.number, ""), list(t.values)) for t in best]


def next_steps(subject: Subject, command: str | None) -> list[tuple[str, str]]:
    """What one does next, each with its command, as the search says at its end."""
    if subject.folder is None or not (subject.folder / "best").is_dir():
        return [("Search on from here", command)] if command is not None else []
    steps = shared_steps(subject.folder, len(subject.objectives), command, subject.verdict)
    return [(_sentence(what), line) for what, line in steps.items()]
