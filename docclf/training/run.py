"""The run of one configuration, from its parts to its result: floors, folds, the model that is kept, what is told."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from docclf import n_cores
from docclf.data.cache.stopwatch import Stopwatch
from docclf.errors import TrainingError
from docclf.loggers.run import RunLoggers
from docclf.models.frozen.cache import UnwantedPassError
from docclf.models.frozen.floors import measure_floors
from docclf.results.facts import FLOORS, HEAD, expected_score_text
from docclf.results.floors import floor_lines
from docclf.results.quality.shift import shift_lines
from docclf.results.run import write_folds, write_predictions, write_result
from docclf.safety.permission import allowed
from docclf.training.assessment import assess, estimate_score
from docclf.training.crossval import CrossValidation, cross_validate, cross_validate_heads
from docclf.training.folds.average import Stop
from docclf.training.folds.checkpoints import drop_worst
from docclf.training.kept_model import refit_all, score_test
from docclf.training.other_pages import compare_test_pages
from docclf.training.parts import TrainingParts

if TYPE_CHECKING:
    from docclf.sweeper.job.trial import JobTrial

log = logging.getLogger(__name__)

# Seconds a page, on 2 cores, of what a finalist does and the trial of a head does not: to say what is to be expected
# of other pages, look for wrong labels, and keep the model.
_FINALIST_S = 0.006


def run_parts(parts: TrainingParts, logger: RunLoggers, watch: Stopwatch) -> float | tuple[float, ...] | None:
    """Measure the floors, train the folds, keep what is worth it, and write `result.yaml` whatever happens.

    Args:
        watch: Begun with the run.

    Returns:
        `search.objective`; None if the trial was pruned, paused or is out of time.

    Raises:
        NonFiniteLossError: The loss became NaN or infinite.
    """
    trial, cache = parts.trial, parts.heads.cache
    facts = _describe(parts)
    cache.is_wanted = lambda: trial.number == 0 or not trial.out_of_time()  # the first one ends in any case
    try:
        assignment = _measure_floors(parts, facts)
        if parts.tune == "head":
            done = cross_validate_heads(parts.heads, parts.trainer.validation, assignment, trial)
        else:
            done = cross_validate(parts.trainer, trial, logger.fold, is_shared=trial.may_be_helped)
        _record_folds(parts, done, facts)
        cache.is_wanted = lambda: True  # what is computed is not to be lost
        if done.stopped is not None:
            facts["state"] = _leave(parts, done.stopped)
            return None
        found = _conclude(parts, done, facts)
        besides = _FINALIST_S * len(parts.data.labels) if parts.tune == "head" else 0.0
        whole = max(watch.again, done.metrics["train_seconds"])  # of a trial that went on, with what was before
        trial.set_user_attr("seconds_again", whole + besides)
        return found
    except UnwantedPassError:
        return None
    except Exception as error:
        facts |= {"state": "FAIL", "cause": f"{type(error).__name__}: {error}"}
        if isinstance(error, TrainingError):
            parts.trainer.checkpoints.clear()  # another attempt would end the same way
        raise
    finally:
        facts["seconds"] = watch.seconds
        write_result(parts.folder, facts)
        logger.finish(facts)


def follow_parts(parts: TrainingParts) -> None:
    """Train along with the first process of several that train one model; that one writes what comes out."""
    if parts.tune == "head":
        return
    done = cross_validate(parts.trainer, parts.trial, lambda fold: False)
    if parts.keeps in ("all", "distill") and done.kept != HEAD:
        refit_all(parts.trainer, done.epochs)


def _describe(parts: TrainingParts) -> dict[str, Any]:
    """What there is to say before anything is trained, in `result.yaml` and some of it as attributes of the trial."""
    data = parts.data.dataset
    pages = {
        "fingerprint": data.fingerprint,
        "pages": len(parts.data.labels),
        "dropped": len(data.dropped),
        **({"fingerprint_of_rows": rows} if (rows := data.fingerprint_of_rows) != data.fingerprint else {}),
        "targets": data.pages.targets,
        "class_names": data.pages.class_names,
        **({"corrections": data.corrections} if data.corrections else {}),
    }
    source, names = parts.heads.cache.backbone.weights.source, allowed()
    _mark(parts.trial, {"tune": parts.tune, "weights": source, "hardware": _hardware()})
    return {
        "state": "INTERRUPTED",
        "params": parts.trial.params,
        "data": pages,
        "tune": parts.tune,
        **({"allowed": list(names)} if names else {}),
        "weights": {"name": parts.cfg.model.name, "source": source},
        "hardware": _hardware(),
    }


def _mark(trial: JobTrial, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        trial.set_user_attr(name, value)


def _measure_floors(parts: TrainingParts, facts: dict[str, Any]) -> NDArray[np.int64]:
    """Record the floors, and in a search how test pages differ; the fold of each training page, shape (n,)."""
    trial, assignment = parts.trial, parts.trainer.assign()
    floors = measure_floors(parts.data, assignment, parts.trainer.validation.n_trained_folds, parts.heads.cache)
    facts[FLOORS] = floors
    trial.set_user_attr(FLOORS, {name: floor["mean"] for name, floor in floors.items()})
    if trial.number is not None and not trial.is_finalist:
        _compare_test_pages(parts)
    return assignment


def _record_folds(parts: TrainingParts, done: CrossValidation, facts: dict[str, Any]) -> None:
    """Record the folds' scores."""
    folds = {"folds": done.scores, **parts.halved}
    clean = {"folds_clean": done.clean_scores} if done.clean_scores else {}
    facts |= {**folds, "mean": done.mean, "spread": done.spread, **clean}
    if done.kept_scores:
        facts |= {"kept": done.kept, "kept_scores": done.kept_scores}
    _mark(parts.trial, {**folds, **({"kept": done.kept} if done.kept_scores else {})})


def _leave(parts: TrainingParts, stopped: Stop) -> str:
    """Tidy up after folds that stopped before their end, and say the state of the run."""
    if stopped == "paused":
        drop_worst(parts.folder.parent, parts.trial.paused, float(parts.cfg.search.keep_gb))
        return "PAUSED"
    if stopped == "pruned":
        parts.trainer.checkpoints.clear()
        return "PRUNED"
    return "INTERRUPTED"  # by the end of the time


def _conclude(parts: TrainingParts, done: CrossValidation, facts: dict[str, Any]) -> float | tuple[float, ...]:
    """Write what the folds came to, and keep their model where it is wanted; the objectives."""
    cfg, trial, folder, is_net = parts.cfg, parts.trial, parts.folder, parts.tune != "head"
    facts["metrics"] = done.metrics
    _mark(trial, done.metrics)
    facts["passes"] = {"frozen": parts.heads.passes, "net": parts.net_flops if is_net else 0}
    is_shown = trial.number is None or trial.is_finalist
    pages = parts.data.pages
    write_folds(folder, pages.train.ids, done.assignment, pages.train.groups)
    is_drawn = is_shown or is_net  # a picture takes longer to draw than a head to fit
    write_predictions(folder, pages, done.assignment, done.probabilities, picture=is_drawn)
    if (folder / "confusion.png").is_file():
        trial.attach(folder / "confusion.png")
    objectives = cfg.search.objective
    values = [done.metrics[name] for name in ([objectives] if isinstance(objectives, str) else objectives)]
    is_best = trial.would_be_best(values[0])
    if is_shown:
        facts |= assess(parts.data, done, folder)
    if parts.teacher is not None:
        facts["distilled"] = parts.teacher.cost(done, parts.data.pages.train.groups)
    if is_shown or (is_best and is_net):  # what takes a head longer than to be fitted
        facts["expected_score"] = estimate_score(parts.heads, done)
        trial.set_user_attr("expected_score", facts["expected_score"])
    if parts.keeps and (is_shown or is_best or cfg.keep_checkpoints == "all"):
        parts.keep(done)
        if trial.number is None:  # test pages must not guide a search
            facts["refit"] = score_test(parts.data, folder, parts.trainer.build_trainer)
    facts["state"] = "COMPLETE"
    parts.trainer.checkpoints.clear()
    if trial.number is None:
        _tell(done, facts, folder)
    return values[0] if isinstance(objectives, str) else tuple(values)


def _compare_test_pages(parts: TrainingParts) -> None:
    """Say how well test pages are told from training pages, once a search. It costs no trial where it fails."""
    data, cache, folder = parts.data, parts.heads.cache, parts.trial.folder
    validation = data.validation_views if data.validation_augment is not None else None
    try:
        if folder is not None and (facts := compare_test_pages(parts.cfg, data.dataset, cache, folder, validation)):
            for line in shift_lines(facts, areas_alone=True):  # the rest was said before the first trial
                log.info(line)
    except UnwantedPassError:
        raise
    except Exception:
        log.exception("Could not compare the test pages with the training pages; the search goes on.")


def _tell(done: CrossValidation, result: dict[str, Any], folder: Path) -> None:
    """Say what a run came to."""
    folds = ", ".join(f"{score:.3f}" for score in done.scores)
    kept = f"; kept: {done.kept}" if done.kept_scores else ""
    pooled = f"{result['metrics']['macro_f1_pooled']:.3f}"
    clean = f"; clean {result['metrics']['macro_f1_clean']:.3f}" if done.clean_scores else ""
    for line in floor_lines(result["floors"], done.mean, tune=result["tune"]):
        log.info(line)
    log.info(f"  {expected_score_text(result['expected_score'])}")
    if "distilled" in result:
        log.info(f"  {result['distilled']['text']}")
    log.info(f"macro-F1 {done.mean:.3f} (folds {folds}; pooled {pooled}{clean}){kept}, in {folder}")


def _hardware() -> dict[str, Any]:
    """What this process trains on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"name": gpu or platform.processor() or platform.machine(), "cores": n_cores()}
