"""The mean of several trials: whether it is better than one, and the run that it is exported as."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from docclf.errors import DataError
from docclf.files import link
from docclf.inference.description import FOLDER, join_models
from docclf.inference.doubt import make_doubt
from docclf.metrics.calibration import with_temperature
from docclf.metrics.resampling import interval_text
from docclf.metrics.scores import macro_f1
from docclf.results.folders import link_folder, replacing_folder
from docclf.results.provenance import versions
from docclf.results.quality.evaluation import write_calibration
from docclf.results.quality.labels import read_label_issues, write_label_issues
from docclf.results.reading import read_predictions, read_run
from docclf.results.run import write_predictions, write_result
from docclf.results.study.ensemble_choice import Choice, choose_ensemble, rescored_runs
from docclf.results.study.judging import judge_finalists
from docclf.results.study.verdict import ENSEMBLE, Verdict
from docclf.sweeper.storage.places import FINALISTS
from docclf.sweeper.study.attributes import MEMBER, REFERENCE
from docclf.sweeper.study.finalists import scored

if TYPE_CHECKING:
    import optuna


def missing_members(study: optuna.Study, folder: Path, config: DictConfig) -> list[int]:
    """Numbers of the trials that an ensemble needs, and that no finalist with a model has re-evaluated.

    Args:
        study: Of the search, whose finalists are scored.
    """
    found = choose_ensemble(study, folder, judge_finalists(study, folder), config)
    if not isinstance(found, Choice) or found.why_not:
        return []
    rescored = rescored_runs(study, folder)
    return [number for number in found.weights if number not in rescored]


def remove_members(study: optuna.Study, folder: Path, verdict: Verdict) -> None:
    """Remove the runs of those that were re-evaluated for an ensemble alone, and of an ensemble, if these do not count.

    Not their models alone: without a run, who is wanted another time is scored another time.
    """
    needed = verdict.ensemble.get("folders", ())
    for finalist in scored(study):
        name = f"{FINALISTS}/{finalist.number}"
        if finalist.user_attrs.get(REFERENCE) == MEMBER and name not in needed:
            shutil.rmtree(folder / name, ignore_errors=True)
    if not verdict.is_ensemble:
        shutil.rmtree(folder / FINALISTS / ENSEMBLE, ignore_errors=True)


def export_ensemble(study: optuna.Study, folder: Path, verdict: Verdict, config: DictConfig) -> Verdict:
    """Choose an ensemble, and write its run beside those of the finalists where it is to be exported.

    Returns:
        The verdict with what `verdict.yaml` says of it.
    """
    choice = choose_ensemble(study, folder, verdict, config)
    if not choice:
        return replace(verdict, ensemble={})
    chosen = choice if isinstance(choice, Choice) else None
    rescored = rescored_runs(study, folder)
    try:
        why_not = chosen.why_not or _write_run(chosen, rescored, verdict, folder / FINALISTS) if chosen else choice
    except (DataError, OSError) as error:
        why_not = f"its files cannot be joined: {error}"
    if chosen is None or why_not:
        return replace(verdict, ensemble=_facts(chosen, f"no ensemble: {why_not}"))
    found = chosen.estimate
    text = (
        f"exported is the mean of {len(chosen.weights)} trials: {found.score:.3f} on pages that did not choose them "
        f"({interval_text(found.low, found.high)}), {found.difference} over one trial, at "
        f"{chosen.cost:.1f} times the operations of trial {verdict.number}"
    )
    runs = [f"{FINALISTS}/{rescored[number].name}" for number in chosen.weights]
    return replace(verdict, ensemble={**_facts(chosen, text), "exported": True, "folders": runs})


def _facts(choice: Choice | None, text: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"text": text, "exported": False}
    if choice is not None:
        found = choice.estimate
        facts["trials"] = {number: round(weight, 6) for number, weight in choice.weights.items()}
        facts |= {"chosen_by": found.way, "macro_f1": found.score, "low": found.low, "high": found.high}
        facts |= {"difference": asdict(found.difference), "cost": choice.cost}
    return facts


def _link_pages(run: Path, partial: Path) -> None:
    """Give the ensemble the pages and the folds of a run."""
    for name in (".hydra", "folds.csv"):
        if (run / name).exists():
            (link_folder if (run / name).is_dir() else link)(run / name, partial / name)


def _write_run(choice: Choice, rescored: Mapping[int, Path], verdict: Verdict, finalists: Path) -> str:
    """Write the ensemble's run, as it scores on the folds of the finalists.

    Returns:
        Why it is not to be exported; empty where it was written.
    """
    if lost := [number for number in choice.weights if number not in rescored]:
        return f"trial {lost[0]} was not re-evaluated, for want of time or since it failed, or its model is not here"
    of_winner = finalists / str(verdict.winner.number)
    run, runs = read_run(of_winner), [rescored[number] for number in choice.weights]
    read = [read_predictions(path / "oof.csv") for path in runs]
    theirs = run.predictions
    if any(one.ids != theirs.ids or one.targets != theirs.targets or one.folds is None for one in read):
        return "its trials were not re-evaluated on the same pages"
    weights = list(choice.weights.values())
    mean = np.tensordot(weights, np.stack([one.probabilities for one in read]), axes=1)
    labels, folds, n = run.labels, theirs.folds, len(run.classes)
    assert folds is not None
    pooled, alone = (macro_f1(labels, found.argmax(axis=1), n) for found in (mean, theirs.probabilities))
    if pooled < alone and choice.setting == "auto":
        return f"re-evaluated it has {pooled:.3f} over all pages, the winner {alone:.3f}"
    scores = [macro_f1(labels[folds == fold], mean[folds == fold].argmax(axis=1), n) for fold in np.unique(folds)]
    with replacing_folder((finalists / ENSEMBLE).absolute()) as partial:
        _link_pages(of_winner, partial)
        train = SimpleNamespace(ids=theirs.ids, labels=labels)
        pages = SimpleNamespace(targets=list(run.classes), class_names=theirs.class_names, train=train)
        write_predictions(partial, pages, folds, mean)  # type: ignore[arg-type]
        calibration = write_calibration(partial, labels, mean, folds)  # type: ignore[arg-type]
        number = {page: i for i, page in enumerate(theirs.ids)}
        same = [(s.page, s.same_as) for s in read_label_issues(of_winner)]
        pairs = [(number[a], number[b]) for a, b in same if {a, b} <= number.keys()]
        issues = write_label_issues(partial, theirs.ids, labels, theirs.class_names, pages.targets, mean, None, pairs)
        source = {"macro_f1": float(np.mean(scores)), "folds": scores, "trials": list(choice.weights)}
        facts = {"mean": source["macro_f1"], "folds": scores, "metrics": {"macro_f1_pooled": pooled}}
        facts |= {"data": dict(run.data), "calibration": calibration, "label_issues": issues, "state": "COMPLETE"}
        write_result(partial, {**facts, ENSEMBLE: _facts(choice, "")})
        source |= {"data": run.data.get("fingerprint"), "versions": versions()}
        models, temperature = [path / FOLDER for path in runs], calibration["temperature"]
        doubt = make_doubt(with_temperature(mean, temperature), labels, None).arrays()
        join_models(partial / FOLDER, models, weights, temperature=temperature, source=source, doubt=doubt)
    return ""
