"""What a run left in its folder, read back and checked."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from docclf.errors import DataError
from docclf.files import near_folder, why_no_winner
from docclf.inference.tables import classes_of
from docclf.results.facts import read_facts
from docclf.safety.cells import lines_of, uncell
from docclf.safety.untrusted import inside, one_line, read_config


@dataclass(frozen=True)
class Predictions:
    """Content of a file of predictions, a page an entry."""

    path: Path  # the file
    ids: list[str]  # what the user calls each page
    targets: list[str]  # the true class of each page as the user writes it; empty where it is not known
    class_names: list[str]  # in the order of the class indices
    probabilities: NDArray[np.float64]  # shape (n, n_classes), in [0, 1]
    # the fold that validated each page, int64 of shape (n,); None in a file without that column
    folds: NDArray[np.int64] | None
    # number of the group of each page, int64 of shape (n,); None where each is a group of its own
    groups: NDArray[np.int64] | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the most probable class of each page, shape (n,)."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)


def read_predictions(path: Path) -> Predictions:
    """Read `oof.csv` or a file like it: the columns ID, target, maybe fold, and one probability a class.

    Places count, not names: in files of earlier releases a class may be called as another column is. The third column
    is the fold if it is called so and holds whole numbers; probabilities are written with decimals.

    Raises:
        DataError: The file is missing or no file of predictions, an ID stands in it twice, or it has no page.
    """
    header, rows = _read_rows(path, ["ID", "target"])
    if not rows:
        raise DataError(f"Expected a row for each page in {path}, got none.")
    has_folds = header[2:3] == ["fold"] and all(row[2].isdecimal() and len(row[2]) < 10 for row in rows)
    first = 3 if has_folds else 2
    names = classes_of(header[first:])
    if len(set(names)) < max(len(names), 1):
        raise DataError(f"Expected a column for each class in {path}, each with another name, got {','.join(header)}.")
    try:
        probabilities = np.array([row[first:] for row in rows], dtype=np.float64)
    except ValueError as error:
        raise DataError(f"Expected probabilities as numbers in {path}, got another text: {error}.") from error
    if (wrong := ~((probabilities >= 0) & (probabilities <= 1)).all(axis=1)).any():
        raise DataError(f"Expected probabilities from 0 to 1 in {path}, got others for {rows[wrong.argmax()][0]}.")
    folds = np.array([int(row[2]) for row in rows], dtype=np.int64) if has_folds else None
    return Predictions(path, [row[0] for row in rows], [row[1] for row in rows], names, probabilities, folds)


@dataclass(frozen=True)
class Run:
    """What a run left in its folder."""

    folder: Path  # of the run
    result: Mapping[str, Any]  # content of `result.yaml`; empty where there is none
    predictions: Predictions  # out-of-fold
    test: Predictions | None  # those of the test pages, if there are any
    folds: Mapping[str, str]  # ID to fold, both as text, of every training page
    config: Mapping[str, str]  # the config as it is written, flattened; empty where there is none
    resolved: Mapping[str, str]  # the same with its interpolations resolved

    @property
    def data(self) -> Mapping[str, Any]:
        """What `result.yaml` says of the data."""
        data = self.result.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def n_folds(self) -> int:
        """How many folds there are; -1 is that of pages in training only."""
        return len(set(self.folds.values()) - {"-1"})

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class index of each page that was predicted out of fold, shape (n,); -1 where its target is no class."""
        index = {target: i for i, target in enumerate(self.classes)}
        return np.array([index.get(target, -1) for target in self.predictions.targets], dtype=np.int64)

    @property
    def classes(self) -> dict[str, str]:
        """Target to class name, in the order of the class indices.

        Where `result.yaml` does not name the targets, they are the class names themselves.
        """
        names, targets = self.predictions.class_names, self.data.get("targets")
        if isinstance(targets, list) and self.data.get("class_names") == names and len(targets) == len(names):
            return {str(target): name for target, name in zip(targets, names, strict=True)}
        return {name: name for name in names}


def read_run(folder: Path) -> Run:
    """Read a run from its folder, or the best one of a search from the search's folder.

    Raises:
        DataError: There is no finished run, or one of its files cannot be read.
    """
    run = next((place for place in (folder, folder / "best") if (place / "oof.csv").is_file()), folder)
    for name in ("oof.csv", "result.yaml", "folds.csv", "predictions_test.csv", ".hydra/config.yaml", "config.yaml"):
        inside(run, name)
    result = read_facts(run / "result.yaml")
    if not (run / "oof.csv").is_file():
        raise DataError(_why_unfinished(run, result))
    predictions = read_predictions(run / "oof.csv")
    test = read_predictions(run / "predictions_test.csv") if (run / "predictions_test.csv").is_file() else None
    if (run / "folds.csv").is_file():
        header, rows = _read_rows(run / "folds.csv", ["ID", "fold"])
        folds = {row[0]: row[1] for row in rows}
        if header[2:3] == ["group"]:
            number = {row[0]: i for i, row in enumerate(rows)}  # of pages that the file does not name, one of its own
            first: dict[str, int] = {}
            own = {row[0]: first.setdefault(row[2], number[row[0]]) for row in rows}
            groups = [own.get(page, len(rows) + i) for i, page in enumerate(predictions.ids)]
            predictions = replace(predictions, groups=np.array(groups, dtype=np.int64))
    elif predictions.folds is not None:
        folds = dict(zip(predictions.ids, map(str, predictions.folds.tolist()), strict=True))
    else:
        raise DataError(f"Expected folds.csv in {run} or a column fold in its oof.csv, got neither.")
    return Run(run, result, predictions, test, folds, *_read_config(run))


def baseline_run(search: Path) -> Path | None:
    """The folder in which a search's baseline was scored beside its winner; None where it is the winner.

    Raises:
        DataError: There is none.
    """
    if not search.is_dir():
        raise DataError(_why_unfinished(search, {}))
    if why := why_no_winner(search):
        raise DataError(why)
    verdict = read_facts(search / "best" / "verdict.yaml")
    baseline = verdict.get("baseline")
    if not isinstance(baseline, dict):
        raise DataError(
            f"Expected two runs, or a search with a baseline beside its winner, got {search}, without one in "
            "best/verdict.yaml. Name two runs: python -m docclf.compare RUN_A RUN_B"
        )
    if baseline == verdict.get("winner") and verdict.get("exported") == "winner":
        return None
    return inside(search, baseline.get("folder"))


def _read_rows(path: Path, start: list[str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file whose header starts with these columns, the first an ID that is there once."""
    if not path.is_file():
        raise DataError(f"Expected {path}, got no such file.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [row for row in csv.reader(lines_of(file)) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Expected {path} as CSV in UTF-8, got something else: {error}.") from error
    header = [uncell(name) for name in lines[0]] if lines else []
    rows = [[*map(uncell, row[:2]), *row[2:]] for row in lines[1:]]
    if header[: len(start)] != start:
        raise DataError(f"Expected {path} to begin with {','.join(start)}, got {one_line(','.join(header)[:60])!r}.")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise DataError(f"Expected {len(header)} values in each row of {path}, got {len(row)} in row {number}.")
    if twice := [page for page, n in Counter(row[0] for row in rows).items() if n > 1]:
        raise DataError(f"Expected each ID once in {path}, got {', '.join(twice[:5])} several times.")
    return header, rows


def _why_unfinished(run: Path, result: Mapping[str, Any]) -> str:
    if not run.is_dir():
        return f"Expected the folder of a run or of a search, got {run}: no such folder.{near_folder(run)}"
    if result:
        cause = f" ({one_line(str(result['cause']))})" if result.get("cause") else ""
        return (
            f"Expected a finished run in {run}, got state {result.get('state', 'unknown')}{cause} and no oof.csv. "
            "Start its command again, or name another run."
        )
    if inside := sorted(path.parent.name for path in run.glob("*/oof.csv")):
        return f"Expected a run, or the best one in {run / 'best'}, got none. Name one inside: {', '.join(inside)}."
    return why_no_winner(run) or (
        f"Expected a finished run in {run}, got neither result.yaml nor oof.csv. Wait for its end, or name another run."
    )


def _read_config(run: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The flattened config of a run as it is written, and resolved."""
    path = next((run / name for name in (".hydra/config.yaml", "config.yaml") if (run / name).is_file()), None)
    if path is None:
        return {}, {}
    config = read_config(path)
    written = _flat(OmegaConf.to_container(config))
    try:
        return written, _flat(OmegaConf.to_container(config, resolve=True))
    except InterpolationResolutionError:  # something that only Hydra can resolve
        return written, written


def _flat(value: Any, key: str = "") -> dict[str, str]:
    """Values of a config as texts, each key with all keys above it.

    >>> _flat({"model": {"name": "resnet18", "drop_rate": 0.1}, "seed": None})
    {'model.name': 'resnet18', 'model.drop_rate': '0.1', 'seed': 'null'}
    """
    if isinstance(value, dict) and value:
        items = [_flat(inner, f"{key}.{name}" if key else str(name)) for name, inner in value.items()]
        return {name: shown for item in items for name, shown in item.items()}
    return {key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}
