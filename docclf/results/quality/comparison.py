"""Two runs on the same pages: which is better, by how much and for which classes, and what differs in their configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from docclf.errors import DataError
from docclf.files import match_pages
from docclf.metrics.resampling import Difference, compare_scores
from docclf.metrics.scores import f1_per_class, macro_f1
from docclf.results.facts import FLOORS
from docclf.results.floors import read_floors
from docclf.results.provenance import training_lines
from docclf.results.reading import Predictions, Run, read_run
from docclf.safety.untrusted import one_line

# Keys that say where things lie and how a search goes: no score of a run depends on them.
_SEARCH = ("hydra", "defaults", "study_name", "search", "finalists", "keep_checkpoints", "logger")
_NO_MATTER = (*_SEARCH, "data.root", "data.cache_dir", "data.cache_gb")
_NO_NUMBER = "-"


@dataclass(frozen=True)
class Comparison:
    """Predictions of A and of B for the pages that both have."""

    class_names: list[str]  # of A, then those that B alone has
    pages: NDArray[np.int64]  # pages of each class, int64 of shape (n_classes,)
    more: tuple[int, int]  # pages that A and that B has besides
    scores: tuple[float, float]  # macro-F1 of A and of B
    f1: NDArray[np.float64]  # F1 of each class, shape (2, n_classes); NaN where there is none
    difference: Difference  # macro-F1 of B less that of A

    def describe(self, kind: str) -> str:
        """Scores, their difference, and gains and losses class by class, the greatest gain first.

        Args:
            kind: What was predicted, such as `test pages`.
        """
        more = f" that both have (A has {self.more[0]} more, B {self.more[1]})" if any(self.more) else ""
        gains = self.f1[1] - self.f1[0]
        order = np.argsort(-gains, kind="stable")  # NaN comes last
        cells = [
            [self.class_names[i], *map(number, self.f1[:, i]), number(gains[i], "+z.3f"), str(self.pages[i])]
            for i in order
        ]
        return "\n".join(
            [
                f"{self.pages.sum()} {kind}{more}: macro-F1 of A {self.scores[0]:.3f}, of B {self.scores[1]:.3f}",
                f"B - A: {self.difference}",
                *table([["class", "F1 of A", "F1 of B", "B - A", "pages"], *cells], right=True),
            ]
        )


def compare_predictions(
    a: Predictions, b: Predictions, classes_a: Mapping[str, str], classes_b: Mapping[str, str]
) -> Comparison:
    """Compare on the pages that both have by ID, with the same target.

    Args:
        classes_a: Target to class name, in the order of A's class indices.
        classes_b: The same of B. Classes with the same target are the same class.

    Raises:
        DataError: There is no such page, or a target is not known.
    """
    names = {**classes_b, **classes_a}
    index = {target: i for i, target in enumerate({**classes_a, **classes_b})}
    labels_a, labels_b = _labels(a, classes_a, index), _labels(b, classes_b, index)
    pairs = [(x, y) for x, y in enumerate(match_pages(a.ids, b.ids)) if y >= 0 and labels_a[x] == labels_b[y] >= 0]
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    if not len(rows):
        raise DataError(f"Expected pages that {a.path} and {b.path} both have, with the same target, got none.")
    labels = labels_a[rows[:, 0]]
    predicted = [
        np.array([index[target] for target in classes])[predictions.predicted[chosen]]
        for predictions, classes, chosen in ((a, classes_a, rows[:, 0]), (b, classes_b, rows[:, 1]))
    ]
    groups = None if a.groups is None else a.groups[rows[:, 0]]
    return Comparison(
        class_names=[names[target] for target in index],
        pages=np.bincount(labels, minlength=len(index)),
        more=(len(a.ids) - len(rows), len(b.ids) - len(rows)),
        scores=(macro_f1(labels, predicted[0], len(index)), macro_f1(labels, predicted[1], len(index))),
        f1=np.stack([f1_per_class(labels, classes, len(index)) for classes in predicted]),
        difference=compare_scores(labels, predicted[1], predicted[0], len(index), groups=groups),
    )


def _labels(predictions: Predictions, classes: Mapping[str, str], index: Mapping[str, int]) -> NDArray[np.int64]:
    """Index of each page's target, shape (n,); -1 where no target is given."""
    path = predictions.path
    if list(classes.values()) != predictions.class_names:
        raise DataError(f"Expected the classes of oof.csv in {path}, got {', '.join(predictions.class_names)}.")
    if unknown := sorted({*predictions.targets} - classes.keys() - {""}):
        raise DataError(
            f"Expected targets out of {', '.join(classes)} in {path}, got {', '.join(unknown[:5])}. `data.targets` in "
            "result.yaml says which target is which class; train again to have it written."
        )
    return np.array([index[target] if target else -1 for target in predictions.targets], dtype=np.int64)


def compare_runs(a: Path, b: Path, *, anyway: bool = False) -> str:
    """Scores of two runs, their difference on the same pages, and what differs in their configs, in lines to read.

    Args:
        a: Folder of a run, or of a search for its best run.
        b: Of the run that is compared with it.
        anyway: Compare runs on other data or other folds too, on the pages that both have.

    Raises:
        DataError: A run cannot be read, or is on other data or other folds than the other one.
    """
    runs = [read_run(a), read_run(b)]
    if not anyway:
        _refuse_others(*runs)
    parts = [f"{letter}  {_describe_run(run)}" for letter, run in zip("AB", runs, strict=True)]
    classes = [run.classes for run in runs]
    found = compare_predictions(runs[0].predictions, runs[1].predictions, *classes)
    parts += ["", *_corrected_lines(runs), found.describe("out-of-fold pages"), ""]
    if runs[0].test is not None and runs[1].test is not None:
        try:
            parts.append(compare_predictions(runs[0].test, runs[1].test, *classes).describe("test pages"))
        except DataError as error:
            parts.append(f"The test pages are not compared. {error}")
        parts.append("")
    parts += [*_differences(*runs), ""]
    return "\n".join(
        [*parts, "Intervals say what other pages would change. Another seed of the training changes scores too."]
    )


def _refuse_others(a: Run, b: Run) -> None:
    way_out = "Or add --anyway to compare the pages that both have."
    prints = [run.data.get("fingerprint", "unknown") for run in (a, b)]
    if "unknown" in prints or not _prints(a) & _prints(b):
        raise DataError(
            f"Expected runs on the same data, got the fingerprints {prints[0]} of {a.folder} and {prints[1]} of "
            f"{b.folder}. Train both on the same pages and targets. {way_out}"
        )
    found, theirs = match_pages(a.folds, b.folds), [*b.folds.values()]
    both = [(mine, theirs[place]) for mine, place in zip(a.folds.values(), found, strict=True) if place >= 0]
    # Pages that a person has dropped are in no fold.
    alone = len(a.folds) + len(b.folds) - 2 * len(both) if prints[0] == prints[1] else 0
    if moved := alone + sum(mine != other for mine, other in both):
        from docclf.sweeper.space.grammar import typed  # which loads Optuna

        split = typed("validation.split_file", str(a.folder / "folds.csv"))
        raise DataError(
            f"Expected runs on the same folds, got others in {a.folder} and {b.folder} for {moved} pages. Train the "
            f"second with the folds of the first: {split} validation.folds={a.n_folds}. {way_out}"
        )


def _prints(run: Run) -> set[str]:
    """Fingerprints of a run's data: as it is, as earlier releases gave it, and before a person has corrected labels."""
    known = str(run.data.get("fingerprint"))
    others = (run.data.get("fingerprint_of_rows", known), _corrections(run).get("uncorrected", known))
    return {known, *map(str, others)}


def _corrections(run: Run) -> Mapping[str, Any]:
    found = run.data.get("corrections")
    return found if isinstance(found, dict) else {}


def _corrected_lines(runs: Sequence[Run]) -> list[str]:
    """What a person has done to the labels of one run or of both; empty where the labels are the same."""
    if runs[0].data.get("fingerprint") == runs[1].data.get("fingerprint"):
        return []
    done = [
        f"{', '.join(f'{_corrections(run).get(what, 0)} {what}' for what in ('relabelled', 'dropped'))} in {letter}"
        for letter, run in zip("AB", runs, strict=True)
        if _corrections(run)
    ]
    return [f"Corrected labels: {'; '.join(done)}. Pages whose label stands in both are compared."] if done else []


def _describe_run(run: Run) -> str:
    known = run.labels >= 0
    pooled = f"pooled {macro_f1(run.labels[known], run.predictions.predicted[known], len(run.classes)):.3f}"
    given = run.result.get("folds")
    folds = [score for score in given if isinstance(score, float)] if isinstance(given, list) else []
    spread = f", spread {np.std(folds, ddof=1):.3f}" if len(folds) > 1 else ""
    scores = ", ".join(f"{score:.3f}" for score in folds)
    mean = f"{np.mean(folds):.3f}, mean of {len(folds)} folds ({scores}{spread}); " if folds else ""
    state = run.result.get("state", "unknown")
    ended = "" if state == "COMPLETE" else f"; state {state}"
    about = training_lines(run.result, read_floors(run.result.get(FLOORS)))
    lines = [f"macro-F1 {mean}{pooled}{ended}", *(f"{what}: {text}" for what, text in about.items())]
    return "\n   ".join([one_line(str(run.folder)), *lines])


def _differences(a: Run, b: Run) -> list[str]:
    """The keys of the configs that differ, with both values. One that is an interpolation in both follows another."""
    if missing := [run.folder for run in (a, b) if not run.config]:
        return [f"The configs are not compared: no .hydra/config.yaml in {', '.join(map(str, missing))}."]
    rows = [
        [key, a.resolved.get(key, _NO_NUMBER), b.resolved.get(key, _NO_NUMBER)]
        for key in {**a.config, **b.config}
        if a.config.get(key) != b.config.get(key) and a.resolved.get(key) != b.resolved.get(key)
    ]
    rows = [row for row in rows if not any(f"{row[0]}.".startswith(f"{key}.") for key in _NO_MATTER)]
    return table([["config", "A", "B"], *rows]) if rows else ["The configs are the same."]


def table(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Lines with columns that stand below each other on a screen, where a Hangul syllable is two cells wide.

    Args:
        right: All columns but the first are flush right, as numbers are.

    >>> table([["계약서", "0.5"], ["bill", "0.25"]], right=True)
    ['계약서   0.5', 'bill    0.25']
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        gaps = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        padded = [
            gap + cell if right and i else cell + gap for i, (cell, gap) in enumerate(zip(row, gaps, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def number(value: float | None, form: str = ".3f", nothing: str = _NO_NUMBER) -> str:
    """A number for a table; `nothing` for None and for NaN."""
    return nothing if value is None or np.isnan(value) else format(value, form)
