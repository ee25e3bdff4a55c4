"""Picture of the score over the two most important parameters, smoothed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from docclf.results.report.figures.axes import ParameterAxis, axis_of
from docclf.results.report.figures.course import hover
from docclf.results.report.figures.figure import Figure, cut, label, thinned
from docclf.results.report.subject import Subject, last_value

_DOTS = 120
_GRID = 48
# Of the kernel that smooths the contour, in shares of an axis.
_WIDTH = 0.1


def contour(subject: Subject, names: Sequence[str]) -> Figure | None:
    """The score over the two most important parameters that enough trials have, smoothed; blank where none is near."""
    complete = [t for t in subject.complete if last_value(t) is not None]
    pairs = ((pair, [t for t in complete if t.params.keys() >= {*pair}]) for pair in combinations(names, 2))
    found = next(((pair, having) for pair, having in pairs if len(having) >= 5), None)
    if found is None:
        return None
    names, both = found
    x, y = axis_of(names[0], both), axis_of(names[1], both)
    drawn = [both[i] for i in thinned(len(both), _DOTS)]
    dots = {
        "x": [x.place(t) for t in drawn],
        "y": [y.place(t) for t in drawn],
        "mode": "markers",
        "marker": {"size": 7, "color": "--text", "line": {"color": "--surface", "width": 1.5}},
        "text": [hover(t, t.values[0]) for t in drawn],
        "hoverinfo": "text",
    }
    return Figure(
        key="contour",
        title=" and ".join(cut(name, 60) for name in names[:2]),
        description=f"{subject.objectives[0]} of {len(both)} finished trials over {names[0]} and {names[1]}.",
        caption="Points are finished trials. Between them the score is smoothed, so read it as a sketch."
        + (f" {len(complete) - len(both):,} without one of the two are left out." if len(both) < len(complete) else ""),
        data=[_surface(subject, x, y, both), dots],
        layout={"xaxis": x.layout, "yaxis": y.layout, "showlegend": False},
        height=420,
    )


def _surface(subject: Subject, x: ParameterAxis, y: ParameterAxis, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The smoothed score of trials that have both parameters."""
    values = np.array([t.values[0] for t in trials])
    xs, ys = (np.array([axis.share(axis.place(t)) for t in trials]) for axis in (x, y))
    across, up = _grid(x), _grid(y)
    kind = "contour" if x.choices is None and y.choices is None else "heatmap"
    return {
        "type": kind,
        "x": [x.unshare(share) for share in across],
        "y": [y.unshare(share) for share in up],
        "z": [
            [round(float(z), 5) if math.isfinite(z) else None for z in row]
            for row in _smooth(xs, ys, values, across, up)
        ],
        "colorscale": [[0, "--contour-0"], [0.5, "--contour-1"], [1, "--contour-2"]],
        "reversescale": subject.directions[0] == StudyDirection.MINIMIZE,
        "hoverinfo": "skip",
        "colorbar": {"title": {"text": label(subject.objectives[0])}, "thickness": 10, "outlinewidth": 0},
        **({"line": {"width": 0}, "ncontours": 14} if kind == "contour" else {}),
    }


def _grid(axis: ParameterAxis) -> NDArray[np.float64]:
    return np.linspace(0, 1, _GRID if axis.choices is None else len(axis.choices))


def _smooth(
    xs: NDArray[np.float64],
    ys: NDArray[np.float64],
    values: NDArray[np.float64],
    across: NDArray[np.float64],
    up: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean of the values near each point of a grid, weighted by a Gaussian kernel (Nadaraya, 1964), shape (up, across).

    NaN where no value is nearer than three widths of the kernel.
    """
    squares = [np.exp(-(((grid[:, None] - points) / _WIDTH) ** 2) / 2) for grid, points in ((up, ys), (across, xs))]
    weights = squares[0] @ squares[1].T
    total = (squares[0] * values) @ squares[1].T
    return np.where(weights > math.exp(-4.5), total / np.maximum(weights, 1e-300), np.nan)
