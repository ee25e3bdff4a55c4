"""Pictures of what the winner predicts: classes, confusions, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from docclf.metrics.calibration import Reliability, Selective, accuracy_over_coverage, reliability, with_temperature
from docclf.results.report.figures.figure import Figure, cut, label, points
from docclf.results.report.predictions import Predicted

_CLASSES = 40
_MATRIX, _MATRIX_WITH_COUNTS = 80, 25
_ACCURACIES = (0.95, 0.99)


def class_scores(winner: Predicted, baseline: Predicted | None) -> Figure:
    """F1 of each class, the baseline's and the winner's, the lowest of the winner at the bottom."""
    mine = winner.f1
    theirs = baseline.f1 if baseline is not None else np.full_like(mine, np.nan)
    order = np.argsort(np.nan_to_num(mine, nan=2.0), kind="stable")
    order = order[~np.isnan(mine[order])][:_CLASSES]
    places = list(range(len(order)))
    texts = [_gain(winner.names[i], mine[i], theirs[i]) for i in order]
    data: list[dict[str, Any]] = []
    if baseline is not None:
        x = [value for i in order for value in (_number(theirs[i]), _number(mine[i]), None)]
        y = [place for k in places for place in (k, k, None)]
        line = {"color": "--line", "width": 3}
        data.append({"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip", "showlegend": False})
        data.append(points([_number(theirs[i]) for i in order], places, texts, "baseline", "--orange", "diamond", 10))
    data.append(points([_number(mine[i]) for i in order], places, texts, winner.who, "--blue", size=10))
    left_out = len(winner.names) - len(order)
    return Figure(
        key="classes",
        title="F1 of each class",
        description="; ".join(_gain(winner.names[i], mine[i], theirs[i]) for i in order[::-1]),
        caption="On pages that the model was not trained on."
        + (f" The {len(order)} lowest of {len(winner.names)} classes." if left_out > 0 else ""),
        data=data,
        layout={
            "xaxis": {"range": [-0.02, 1.02], "title": {"text": "F1"}},
            "yaxis": {"tickvals": places, "ticktext": [label(cut(winner.names[i])) for i in order]},
        },
        height=150 + 26 * len(order),
    )


def _gain(name: str, mine: float, theirs: float) -> str:
    gain = "" if np.isnan(theirs) else f", {mine - theirs:+.2f} against the baseline"
    return label(f"{name}: {mine:.2f}{gain}")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def confusion(who: Predicted, key: str) -> Figure:
    """Confusion matrix, shaded by the fraction of its row; of very many classes, those with most mistakes."""
    counts = who.counts
    n = len(who.names)
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-wrong, kind="stable")[:_MATRIX])
    fractions = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))[np.ix_(kept, kept)]
    ticks = [label(cut(who.names[i], 18)) for i in kept]
    drawn = counts[np.ix_(kept, kept)]
    ticked = {"tickvals": list(range(len(kept))), "ticktext": ticks, "showgrid": False}
    right = counts.diagonal().sum() / counts.sum()
    return Figure(
        key=key,
        title=f"Confusions of {who.who}" if who.who != "baseline" else "Confusions of the baseline",
        description=f"Confusion matrix of {n} classes: {right:.0%} of {counts.sum()} pages are right.",
        caption="A row is a true class, a column what its pages were taken for."
        + (f" The {len(kept)} classes with most mistakes, of {n}." if len(kept) < n else ""),
        data=[_matrix(drawn, fractions, [label(who.names[i]) for i in kept])],
        layout={
            "xaxis": ticked | {"tickangle": -45},
            "yaxis": ticked | {"autorange": "reversed"},
            "annotations": _cells(drawn, fractions) if len(kept) <= _MATRIX_WITH_COUNTS else [],
        },
        height=min(220 + 24 * len(kept), 900),
    )


def _matrix(counts: NDArray[np.int64], fractions: NDArray[np.float64], names: list[str]) -> dict[str, Any]:
    """The squares of a matrix: rows are true classes, of which `fractions` are parts."""
    n = range(len(names))
    return {
        "type": "heatmap",
        "z": fractions.round(3).tolist(),
        "x": list(n),
        "y": list(n),
        "hovertext": [[f"{names[r]}<br>taken for {names[c]}: {counts[r, c]}" for c in n] for r in n],
        "hoverinfo": "text",
        "colorscale": [[0, "--matrix-0"], [1, "--matrix-1"]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
    }


def _cells(counts: NDArray[np.int64], fractions: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The counts in the squares, in letters that can be read on the shade: Plotly's own are too pale on some."""
    return [
        {
            "x": int(column),
            "y": int(row),
            "text": str(counts[row, column]),
            "showarrow": False,
            "font": {"size": 10, "color": "--on-matrix" if fractions[row, column] > 0.5 else "--text"},
        }
        for row, column in zip(*np.nonzero(counts), strict=True)
    ]


def calibration(winner: Predicted) -> Figure:
    """How often the winner is right against how sure it is, as it is and with its temperature."""
    given = winner.run.result.get("calibration")
    found = given if isinstance(given, dict) else {}
    temperature = _temperature(winner)
    probabilities = winner.run.predictions.probabilities
    drawn = [("as it is", probabilities, "--orange", "diamond")]
    if temperature is not None:
        drawn.append(("calibrated", with_temperature(probabilities, temperature), "--blue", "circle"))
    line = {"color": "--muted", "width": 1, "dash": "dot"}
    data: list[dict[str, Any]] = [
        {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": line, "name": "perfect calibration", "hoverinfo": "skip"}
    ]
    for name, shown, colour, symbol in drawn:
        data.append(_bins(reliability(shown, winner.run.labels), name, colour, symbol))
    errors = [found.get(key) for key in ("error_before", "error_after")]
    caption = "Above the line the model is right more often than it says; larger points stand for more pages."
    if all(isinstance(error, float) for error in errors) and temperature:
        caption += (
            f" Expected calibration error {errors[0]:.3f}, and {errors[1]:.3f} with each fold at the temperature of "
            f"the others; all pages give {temperature:.2f}."
        )
    return Figure(
        key="calibration",
        title="How far confidences can be believed",
        description="Accuracy against the probability of the predicted class.",
        caption=caption,
        data=data,
        layout={
            "xaxis": {"range": [-0.02, 1.02], "title": {"text": "probability of the predicted class"}},
            "yaxis": {"range": [-0.02, 1.02], "title": {"text": "accuracy"}},
        },
        height=400,
    )


def coverage(winner: Predicted, baseline: Predicted | None) -> Figure:
    """Accuracy over coverage: the accuracy of the most confident pages, for each fraction that is answered."""
    data: list[dict[str, Any]] = []
    for who, colour in ((baseline, "--orange"), (winner, "--blue")):
        if who is not None:
            curve = _selective(who)
            line = {"color": colour, "width": 2, "shape": "hv"}
            texts = [f"confidence from {least:.3f}" for least in curve.confidence]
            x, y = curve.coverage.round(4).tolist(), curve.accuracy.round(4).tolist()
            trace = {"x": x, "y": y, "mode": "lines+markers", "name": who.who, "line": line, "text": texts}
            data.append(trace | {"hoverinfo": "x+y+text", "marker": {"size": 4, "color": colour}})
    curve = _selective(winner)
    reached = [
        f"{accuracy:.0%} right on {curve.at(accuracy).coverage:.0%} of the pages"
        for accuracy in _ACCURACIES
        if (curve.accuracy >= accuracy).any()
    ]
    least = min(float(min(trace["y"])) for trace in data)
    return Figure(
        key="coverage",
        title="What can be left to the model",
        description="Accuracy of the most confident pages, by coverage.",
        caption="Out of fold, the most confident pages first; predict abstain=0.95 leaves the others to a person. "
        + (f"{winner.who}: {', '.join(reached)}." if reached else ""),
        data=data,
        layout={
            "xaxis": {"range": [-0.02, 1.02], "title": {"text": "coverage: fraction of pages that are answered"}},
            "yaxis": {"range": [max(0.0, least - 0.05), 1.01], "title": {"text": "accuracy"}},
        },
        height=400,
    )


def _selective(who: Predicted) -> Selective:
    """Of calibrated probabilities, where the run has a temperature."""
    temperature, read = _temperature(who), who.run.predictions
    probabilities = read.probabilities if temperature is None else with_temperature(read.probabilities, temperature)
    return accuracy_over_coverage(probabilities.max(axis=1), read.predicted == who.run.labels)


def _temperature(who: Predicted) -> float | None:
    given = who.run.result.get("calibration")
    found = given.get("temperature") if isinstance(given, dict) else None
    return found if isinstance(found, float) and found > 0 else None


def _bins(bins: Reliability, name: str, colour: str, symbol: str) -> dict[str, Any]:
    filled = np.flatnonzero(bins.count)
    pages = bins.count[filled]
    sizes = 6 + 14 * np.sqrt(pages / pages.max())
    return {
        "x": bins.confidence[filled].round(4).tolist(),
        "y": bins.accuracy[filled].round(4).tolist(),
        "mode": "lines+markers",
        "name": name,
        "line": {"color": colour, "width": 1.5},
        "marker": {"size": sizes.round(1).tolist(), "sizemode": "diameter", "color": colour, "symbol": symbol},
        "text": [f"{count} pages" for count in pages.tolist()],
        "hoverinfo": "x+y+text",
    }
