"""index.html of a trial: what is different in it, how its folds went, and where its files are."""

from __future__ import annotations

import csv
import logging
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment
from optuna.trial import FrozenTrial, TrialState

from docclf.files import replacing
from docclf.results.facts import result_of
from docclf.results.floors import NAMES, classifier
from docclf.results.reading import flat
from docclf.results.report.figures.climb import training_rows
from docclf.results.report.figures.figure import brief, cut
from docclf.results.report.rows import state_of
from docclf.results.report.subject import Subject
from docclf.safety.untrusted import one_line
from docclf.sweeper.storage.places import FINALISTS
from docclf.sweeper.study.attributes import CAUSE, DUPLICATE_OF, REFERENCE
from docclf.sweeper.study.finalists import source_number

log = logging.getLogger(__name__)

PAGE = "index.html"
# Keys that say where things lie and how a search goes, not what is trained.
_NO_MATTER = ("study_name", "search", "finalists", "keep_checkpoints", "hydra", "defaults")
# Where a top-level key of plain YAML begins; items of a list may stand as far to the left.
_ANCHOR = re.compile(r"[\s\[{,]&[^\s&]")
_BLOCKS = re.compile(r"^(?=[^\s#-])", re.MULTILINE)
# Of the drawing of curves, in its own units.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _RIGHT = 420, 200, 44, 28, 12


def write_trial_pages(
    subject: Subject, environment: Environment, home: Path
) -> tuple[dict[int, Path], dict[int, Path]]:
    """Write a page into the folder of every trial that has ended and has one, and of every finalist.

    Where one cannot be written, as in a folder that may only be read, an earlier one stays.

    Args:
        environment: Has `trial.html.j2`.
        home: The report. They link to the one in the search's folder, which may be another.

    Returns:
        Trial number to its page, and finalist's number to its; a trial that shares the result of another has the page
        of that one.
    """
    if subject.folder is None:
        return {}, {}
    template = environment.get_template("trial.html.j2")
    base = subject.baseline
    base_folder = subject.folder_of(base) if base is not None else None
    before = read_config(base_folder) if base_folder is not None else {}
    up = _report_beside(subject.folder, home)
    pages: dict[int, Path] = {}
    finals: dict[int, Path] = {}
    tried: list[OSError | None] = []
    for trial in subject.trials:
        folder = subject.folder_of(trial)
        if folder is None or trial.state == TrialState.WAITING:
            continue
        pages[trial.number] = folder / PAGE
        if DUPLICATE_OF not in trial.user_attrs:
            facts = _facts(subject, trial, folder, before, f"Trial {trial.number}", up and f"../{up}")
            tried.append(_write(folder / PAGE, template.render(facts)))
    for finalist in subject.finalists:
        folder = subject.folder / FINALISTS / str(finalist.number)
        if folder.is_dir():
            finals[finalist.number] = folder / PAGE
            facts = _facts(subject, finalist, folder, before, _title(finalist), up and f"../../{up}")
            tried.append(_write(folder / PAGE, template.render(facts)))
    if lost := [error for error in tried if error is not None]:
        log.warning(f"{len(lost)} pages of trials could not be written: {lost[0]}")
    return _there(pages), _there(finals)


def _report_beside(folder: Path, home: Path) -> str:
    """Name of the report in a search's folder; empty where there is none."""
    if home.parent == folder and not (folder / "report.html").is_file():
        return quote(home.name)
    return "report.html" if (folder / "report.html").is_file() else ""


def _title(finalist: FrozenTrial) -> str:
    if finalist.user_attrs.get(REFERENCE) in NAMES:
        return classifier(finalist.user_attrs[REFERENCE]).capitalize()
    return f"Trial {source_number(finalist)}, re-evaluated"


def _there(pages: Mapping[int, Path]) -> dict[int, Path]:
    return {number: page for number, page in pages.items() if page.is_file()}


def _write(path: Path, text: str) -> OSError | None:
    """Write a page; the error, if it cannot be written."""
    content = text.encode("utf-8", "replace")
    try:
        if path.is_file() and path.read_bytes() == content:
            return None  # replacing a file makes the disk write at once, thousands of times
        with replacing(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        return error
    return None


def _facts(
    subject: Subject, trial: FrozenTrial, folder: Path, before: Mapping[str, str], title: str, up: str
) -> dict[str, Any]:
    config = read_config(folder)
    keys = {**before, **config} if before and config else {}
    changed = [
        (key, _short(before.get(key, "–")), _short(config.get(key, "–")))
        for key in keys
        if before.get(key) != config.get(key)
    ]
    folds = trial.user_attrs.get("folds")
    curves = read_curves(folder, trial)
    files = ("result.yaml", "oof.csv", "folds.csv", "label_issues.csv", ".hydra/config.yaml")
    return {
        "title": title,
        "study": cut(subject.study.study_name, 80),
        "up": up,
        "trial": trial,
        "state": state_of(trial),
        "cause": one_line(str(trial.user_attrs.get(CAUSE) or ""))[:1000],
        "objectives": list(zip(subject.objectives, trial.values or [], strict=False)),
        "folds": folds if isinstance(folds, list) else [],
        "training": training_rows(trial, result_of(folder)),
        "params": trial.params,
        "changed": [row for row in changed if not f"{row[0]}.".startswith(tuple(f"{key}." for key in _NO_MATTER))],
        "compared": bool(keys),
        "curves": draw_curves(curves),
        "curves_title": "Reported" if "reported" in curves else "Validation, epoch by epoch",
        "has_confusion": (folder / "confusion.png").is_file(),
        "log": next((path.name for path in sorted(folder.glob("*.log"))), None),
        "files": [name for name in files if (folder / name).is_file()],
    }


def _short(text: str) -> str:
    """
    >>> _short("0.006799834400449228"), _short("32"), _short("adamw")
    ('0.0068', '32', 'adamw')
    """
    try:
        return text if text.lstrip("-").isdecimal() else brief(float(text))
    except ValueError:
        return cut(text, 60)


def read_config(folder: Path) -> dict[str, str]:
    """The config of a run as it is written, each key with all keys above it; empty where there is none."""
    try:
        text = (folder / ".hydra" / "config.yaml").read_text(encoding="utf-8")
        if _ANCHOR.search(text):  # which Hydra never writes, and by which a line may stand for a million
            return {}
        return {key: value for block in _BLOCKS.split(text) for key, value in _read_block(block).items()}
    except (OSError, ValueError, yaml.YAMLError):
        return {}


@lru_cache(maxsize=4096)
def _read_block(text: str) -> dict[str, str]:
    """One top-level key of a config, most of which are the same in thousands of trials, each of which takes a while."""
    content = yaml.load(text, Loader=yaml.CBaseLoader)
    return flat(content, lambda v: f"[{', '.join(map(str, v))}]" if isinstance(v, list) else str(v)) if content else {}


def read_curves(folder: Path, trial: FrozenTrial) -> dict[str, list[float]]:
    """What each fold scored after each of its epochs; where that was not logged, what the trial reported.

    Args:
        folder: Of the run; fold N is in `fold_N/metrics.csv`.
        trial: Its intermediate values are means over the folds so far.
    """
    logged = sorted(folder.glob("fold_*/metrics.csv"), key=lambda path: (len(path.parent.name), path.parent.name))
    curves = {_fold_name(path.parent.name): values for path in logged if (values := _score_column(path))}
    if curves or not trial.intermediate_values:
        return curves
    steps = sorted(trial.intermediate_values)
    return {"reported": [trial.intermediate_values[step] for step in steps]}


def _fold_name(name: str) -> str:
    """Of a folder: folds are counted from 1 where people see them.

    >>> _fold_name("fold_0"), _fold_name("fold_x")
    ('fold 1', 'fold x')
    """
    number = name.removeprefix("fold_")
    return f"fold {int(number) + 1}" if number.isdecimal() else name.replace("_", " ")


def _score_column(path: Path) -> list[float]:
    """The column `val/macro_f1`, or else the last one of validation."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        names = rows[0] if rows else []
        wanted = [i for i, name in enumerate(names) if name.startswith("val/")]
        if not wanted:
            return []
        column = names.index("val/macro_f1") if "val/macro_f1" in names else wanted[-1]
        return [float(row[column]) for row in rows[1:] if len(row) > column and row[column]]
    except (OSError, ValueError, csv.Error):
        return []


def draw_curves(curves: Mapping[str, list[float]]) -> dict[str, Any] | None:
    """Places of curves over epochs in a drawing, for the template; None where there is nothing to draw.

    Returns:
        Of each of the `lines` its `name`, its `points` as SVG has them, the last of these as `end`, and the `last`
        value; `ticks` are values and their heights, `steps` epochs and their places.
    """
    finite = {name: [v for v in values if math.isfinite(v)] for name, values in curves.items()}
    values = [v for some in finite.values() for v in some]
    if not values:
        return None
    low, high = min(values), max(values)
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high if high > low else low + 1)
    longest = max(map(len, finite.values()))
    inner_w, inner_h = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM - 12

    def place(step: int, value: float) -> tuple[float, float]:
        x = _LEFT + inner_w * (step / (longest - 1) if longest > 1 else 0.5)
        return round(x, 1), round(12 + inner_h * (1 - (value - low) / (high - low)), 1)

    lines = []
    for name, some in finite.items():
        corners = [place(i, value) for i, value in enumerate(some)]
        if corners:
            points = " ".join(f"{x},{y}" for x, y in corners)
            lines.append({"name": name, "points": points, "end": corners[-1], "last": some[-1]})
    ticks = [(low + share * (high - low), place(0, low + share * (high - low))[1]) for share in (0, 0.25, 0.5, 0.75, 1)]
    every = max(1, longest // 6)
    steps = [(i + 1, place(i, low)[0]) for i in range(0, longest, every)]
    return {"width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "lines": lines, "ticks": ticks, "steps": steps}
