"""Pictures of how a search went: history, pruning, Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.results.report.figures.figure import Figure, label, points, score, thinned, whole_ticks
from docclf.results.report.subject import WORDS, Subject, last_value
from docclf.sweeper.screen.progress import format_params
from docclf.sweeper.study.trials import front_of, loss, may_win

_POINTS = 1500
_CURVES = 100


def hover(trial: FrozenTrial, value: float | None = None) -> str:
    """What a point says when it is pointed at."""
    shown = f": {score(value)}" if value is not None else ""
    return f"trial {trial.number}{shown}<br>" + label(format_params(trial.params)).replace(" ", "<br>")


def history(subject: Subject, objective: int) -> Figure | None:
    """The value of every trial in the order in which they began, and the best so far."""
    direction, name = subject.directions[objective], subject.objectives[objective]
    scored = [t for t in subject.comparable if last_value(t, objective) is not None]
    if not scored:
        return None
    steps = _best_so_far([t for t in scored if t.state == TrialState.COMPLETE], objective, direction)
    data = []
    if steps:
        best = [*steps, (subject.trials[-1].number, steps[-1][1])]
        x, y = ([step[i] for step in best] for i in (0, 1))
        line = {"color": "--blue", "width": 2, "shape": "hv"}
        data.append({"x": x, "y": y, "mode": "lines", "line": line, "name": "best so far", "hoverinfo": "skip"})
    kept = {number for number, _ in steps}
    for state, colour, symbol in (
        (TrialState.COMPLETE, "--blue", "circle"),
        (TrialState.PRUNED, "--quiet", "circle-open"),
    ):
        trials = [t for t in scored if t.state == state]
        keep = [i for i, t in enumerate(trials) if t.number in kept]
        trials = [trials[i] for i in thinned(len(trials), _POINTS, keep)]
        if trials:
            data.append(_points(trials, objective, WORDS[state], colour, symbol))
    base = subject.baseline
    if base is not None and last_value(base, objective) is not None:
        data.append(_points([base], objective, "baseline", "--orange", "diamond", 11))
    end = f"best {score(steps[-1][1])} in trial {steps[-1][0]}" if steps else "none has finished"
    more = "The lower the better. " if direction == StudyDirection.MINIMIZE else ""
    return Figure(
        key=f"history-{objective}",
        title=f"{name}, trial by trial",
        description=f"{name} of {len(subject.trials)} trials; {end}.",
        caption=f"{more}Trials that were pruned stand at the last score that they reported."
        + _thinning(len(subject.trials), _POINTS),
        data=data,
        layout={
            "xaxis": {"title": {"text": "trial"}} | whole_ticks(0, subject.trials[-1].number),
            "yaxis": {"title": {"text": label(name)}},
        },
    )


def _best_so_far(complete: Sequence[FrozenTrial], objective: int, direction: StudyDirection) -> list[tuple[int, float]]:
    steps: list[tuple[int, float]] = []
    for trial in complete:
        value = trial.values[objective]
        if may_win(trial) and (not steps or loss(value, direction) < loss(steps[-1][1], direction)):
            steps.append((trial.number, value))
    return steps


def _points(
    trials: Sequence[FrozenTrial], objective: int, name: str, colour: str, symbol: str = "circle", size: int = 7
) -> dict[str, Any]:
    values = [last_value(t, objective) for t in trials]
    text = [hover(t, value) for t, value in zip(trials, values, strict=True)]
    return points([t.number for t in trials], values, text, name, colour, symbol, size)


def _thinning(n: int, limit: int) -> str:
    return f" Of the {n:,} trials, an even selection is drawn, with the best among them." if n > limit else ""


def pruning(subject: Subject) -> Figure | None:
    """What trials reported, step by step."""
    reporting = [t for t in subject.comparable if len(t.intermediate_values) > 1]
    if not reporting:
        return None
    chosen = subject.chosen
    keep = [i for i, t in enumerate(reporting) if chosen is not None and t.number == chosen.number]
    drawn = [reporting[i] for i in thinned(len(reporting), _CURVES, keep)]
    groups = [
        ("pruned", "--quiet", 1, [t for t in drawn if t.state == TrialState.PRUNED]),
        ("running or failed", "--green", 1, [t for t in drawn if t.state in (TrialState.RUNNING, TrialState.FAIL)]),
        ("complete", "--blue", 1.25, [t for t in drawn if t.state == TrialState.COMPLETE]),
        ("best", "--red", 3, [t for t in drawn if chosen is not None and t.number == chosen.number]),
    ]
    data = [_curves(trials, name, colour, width) for name, colour, width, trials in groups if trials]
    epochs = subject.epochs
    last = max(step for t in drawn for step in t.intermediate_values)
    axis: dict[str, Any] = {"title": {"text": "step"}} | whole_ticks(0, last)
    shapes = []
    if epochs:
        folds = range(last // epochs + 1)
        axis = {
            "title": {"text": f"folds, of {epochs} epochs each"},
            "tickvals": [fold * epochs + (epochs - 1) / 2 for fold in folds],
            "ticktext": [f"fold {fold + 1}" for fold in folds],
        }
        line = {"width": 1, "dash": "dot", "color": "--line"}
        places = [fold * epochs - 0.5 for fold in folds if fold]
        shapes = [{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line} for x in places]
    stopped = sum(t.state == TrialState.PRUNED for t in reporting)
    name = subject.objectives[0]
    return Figure(
        key="pruning",
        title="Where trials were stopped",
        description=f"{name} after each step of {len(reporting)} trials, of which {stopped} were pruned.",
        caption=("The mean over the folds so far, as trials report it." if epochs else "")
        + _thinning(len(reporting), _CURVES),
        data=data,
        layout={"xaxis": axis, "yaxis": {"title": {"text": label(name)}}, "shapes": shapes},
    )


def _curves(trials: Sequence[FrozenTrial], name: str, colour: str, width: float) -> dict[str, Any]:
    """Many curves as one trace, which a browser draws far faster, with gaps between them."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for trial in trials:
        steps = sorted(trial.intermediate_values)
        x += [*steps, None]
        y += [*(trial.intermediate_values[step] for step in steps), None]
        text += [*(f"trial {trial.number}: {score(trial.intermediate_values[step])}" for step in steps), ""]
    line = {"color": colour, "width": width}
    marker = {"size": 4 if width < 2 else 6, "color": colour}
    style: dict[str, Any] = {"mode": "lines+markers", "line": line, "marker": marker, "hoverinfo": "text"}
    style["opacity"] = 0.5 if len(trials) > 30 else 1
    return {"x": x, "y": y, "text": text, "name": name, **style}


def fronts(subject: Subject) -> list[Figure]:
    """The Pareto front, for every two objectives of at most three."""
    n = min(len(subject.directions), 3)
    return [_front(subject, a, b) for a, b in combinations(range(n), 2) if subject.complete]


def _front(subject: Subject, a: int, b: int) -> Figure:
    on_front = {trial.number for trial in front_of(subject.study)}
    best = sorted((t for t in subject.complete if t.number in on_front), key=lambda t: t.values[a])
    rest = [t for t in subject.comparable if t.state == TrialState.COMPLETE and t.number not in on_front]
    rest = [rest[i] for i in thinned(len(rest), _POINTS)]
    names = [subject.objectives[i] for i in (a, b)]
    drawn = [(rest, "other trials", "--quiet", 7), (best, "Pareto front", "--blue", 10)]
    data = [_pairs(trials, a, b, name, colour, size) for trials, name, colour, size in drawn if trials]
    if best:
        data[-1] |= {"mode": "lines+markers", "line": {"color": "--blue", "width": 1, "dash": "dot"}}
    wish = ["down" if subject.directions[i] == StudyDirection.MINIMIZE else "up" for i in (a, b)]
    return Figure(
        key=f"front-{a}-{b}",
        title=f"{names[0]} against {names[1]}",
        description=f"{len(best)} of {len(subject.complete)} finished trials are on the Pareto front.",
        caption=f"{names[0]} shall go {wish[0]}, {names[1]} {wish[1]}. No trial beats one on the front in everything.",
        data=data,
        layout={"xaxis": {"title": {"text": label(names[0])}}, "yaxis": {"title": {"text": label(names[1])}}},
        height=400,
    )


def _pairs(trials: Sequence[FrozenTrial], a: int, b: int, name: str, colour: str, size: int) -> dict[str, Any]:
    text = [f"{hover(t)}<br>{score(t.values[a])}, {score(t.values[b])}" for t in trials]
    return points([t.values[a] for t in trials], [t.values[b] for t in trials], text, name, colour, size=size)
