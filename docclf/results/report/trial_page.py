"""index.html of a trial: its parameters beside the baseline's, its scores, and where its files are."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment
from optuna.trial import FrozenTrial, TrialState

from docclf.files import replacing
from docclf.results.facts import FLOORS, is_score, result_of
from docclf.results.floors import NAMES, classifier, read_floors
from docclf.results.provenance import training_lines
from docclf.results.report.figures.figure import cut
from docclf.results.report.rows import state_of
from docclf.results.report.subject import Subject
from docclf.safety.untrusted import one_line
from docclf.sweeper.storage.places import FINALISTS
from docclf.sweeper.study.attributes import CAUSE, DUPLICATE_OF, REFERENCE
from docclf.sweeper.study.finalists import source_number

log = logging.getLogger(__name__)

PAGE = "index.html"


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
    report = home if home.parent == subject.folder else subject.folder / "report.html"
    has_report = report == home or report.is_file()
    pages: dict[int, Path] = {}
    finals: dict[int, Path] = {}
    lost: list[OSError] = []
    made = [(t, subject.folder_of(t), pages, f"Trial {t.number}") for t in subject.trials]
    made += [(f, subject.folder / FINALISTS / str(f.number), finals, _title(f)) for f in subject.finalists]
    for trial, folder, found, title in made:
        if folder is None or not folder.is_dir() or trial.state == TrialState.WAITING:
            continue
        if DUPLICATE_OF not in trial.user_attrs:
            up = address(report, folder) if has_report else ""
            try:
                _write(folder / PAGE, template.render(_facts(subject, trial, folder, title, up)))
            except OSError as error:
                lost.append(error)
        if (folder / PAGE).is_file():
            found[trial.number] = folder / PAGE
    if lost:
        log.warning(f"{len(lost)} pages of trials could not be written: {lost[0]}")
    return pages, finals


def address(path: Path, start: Path) -> str:
    """Address of a file as a page in the folder `start` links to it."""
    return quote(Path(os.path.relpath(path, start)).as_posix())


def _title(finalist: FrozenTrial) -> str:
    if finalist.user_attrs.get(REFERENCE) in NAMES:
        return classifier(finalist.user_attrs[REFERENCE]).capitalize()
    return f"Trial {source_number(finalist)}, re-evaluated"


def _write(path: Path, text: str) -> None:
    content = text.encode("utf-8", "replace")
    if path.is_file() and path.read_bytes() == content:
        return  # replacing a file makes the disk write at once, thousands of times
    with replacing(path) as partial:
        partial.write_bytes(content)


def _facts(subject: Subject, trial: FrozenTrial, folder: Path, title: str, up: str) -> dict[str, Any]:
    before = subject.baseline.params if subject.baseline is not None else {}
    folds = trial.user_attrs.get("folds")
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
        "training": _training_rows(trial, result_of(folder)),
        "params": [(name, before.get(name), value) for name, value in trial.params.items()],
        "baseline": subject.baseline,
        "has_confusion": (folder / "confusion.png").is_file(),
        "log": next((path.name for path in sorted(folder.glob("*.log"))), None),
        "files": [name for name in files if (folder / name).is_file()],
    }


def _training_rows(trial: FrozenTrial, result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was trained, from what, and what simple classifiers score on the same folds, each with what it is about.

    Args:
        result: Content of the trial's `result.yaml`.
    """
    known = {**trial.user_attrs, **result}
    rows = [*training_lines(known, read_floors(known.get(FLOORS))).items()]
    scores = result.get("kept_scores")
    if isinstance(scores, dict):
        texts = (f"{one_line(str(name))} {score:.3f}" for name, score in scores.items() if is_score(score))
        rows.append(("scores of what could be kept", ", ".join(texts)))
    if result.get("max_batch_size"):
        n = result.get("halved")
        halved = f", halved {'once' if n == 1 else f'{n} times'} as memory ran out" if n else ""
        rows.append(("pages at once", one_line(f"{result['max_batch_size']}{halved}")))
    return rows
