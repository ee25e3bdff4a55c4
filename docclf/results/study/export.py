"""The Hydra callback that turns a finished search into files: best/config.yaml, best/params.yaml, trials.csv."""

from __future__ import annotations

import logging
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from docclf.errors import DocclfError, InputError
from docclf.files import lock
from docclf.results.floors import floors_of
from docclf.results.provenance import training_lines
from docclf.results.study.trial_config import write_trial_config
from docclf.safety.faults import fault_of
from docclf.safety.places import is_own
from docclf.safety.untrusted import reading
from docclf.sweeper.job.current import is_ours
from docclf.sweeper.storage.patience import in_a_hurry

if TYPE_CHECKING:
    import optuna

    from docclf.results.study.verdict import Verdict

log = logging.getLogger(__name__)

# Beside `best/`, which one process writes at a time: several may search in one folder.
_LOCK = ".best.lock"


class ExportBest(Callback):
    """Exports the best trial at the end of a search, also of one that was interrupted. Where it fails, so does the
    command.
    """

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = search_folder(config)
        if folder is None:
            return
        is_ending = sys.exception() is not None  # the search was not successful anyway
        try:
            with reading("a study", folder), in_a_hurry() if is_ending else nullcontext():
                export(config, folder)
        except Exception as error:  # Hydra would reduce it to a warning, and end well
            told = fault_of(error) or error
            is_known = isinstance(told, DocclfError | OSError)
            said = f": {told}" if is_known else ""
            log.error(f"Could not export the best trial, give the same command again{said}", exc_info=not is_known)
            if not is_ending:
                raise SystemExit(1) from error


def search_folder(config: DictConfig) -> Path | None:
    """The folder of a search that ends; None of another sweeper's, and of one that was refused.

    Args:
        config: The composed config of the sweep, `hydra` included.
    """
    if not is_ours(config.hydra):
        return None
    if isinstance(getattr(sys.exception(), "__cause__", None), InputError):  # Hydra calls while it is on its way
        return None
    folder = Path(config.hydra.runtime.cwd, config.hydra.sweep.dir)
    return folder if (folder / "multirun.yaml").is_file() else None


def export(config: DictConfig, folder: Path) -> None:
    """Write the results of a study into its folder, and say what came out and what to do next.

    Args:
        config: The composed config of the sweep, `hydra` included.
    """
    import optuna

    from docclf.results.study.files import write_pickle
    from docclf.sweeper.storage.places import study_name, study_storage
    from docclf.sweeper.study.finalists import is_for_another, keeping, release

    study = optuna.load_study(study_name=study_name(config.hydra), storage=study_storage(config.hydra))
    if is_for_another(study, folder if config.hydra.sweeper.finalists.top_k else None):
        return
    with keeping(study):
        _export(study, config, folder)
        release(study)
    if OmegaConf.select(config, "results.pickle") is True:
        write_pickle(folder / "study.pkl", study)


def _export(study: optuna.Study, config: DictConfig, folder: Path) -> None:
    from docclf.results.study.ensemble import export_ensemble
    from docclf.results.study.files import write_trials
    from docclf.results.study.judging import judge_finalists
    from docclf.results.study.summary import larger_limits, summary
    from docclf.sweeper.run.opening.settings import label, read_objectives
    from docclf.sweeper.screen.progress import this_command
    from docclf.sweeper.study.finalists import scored

    trials = study.get_trials(deepcopy=False)
    objectives, _ = read_objectives(config.hydra.sweeper.metric, config.hydra.sweeper.direction)
    verdict = (
        judge_finalists(study, folder) if config.hydra.sweeper.finalists.top_k and len(study.directions) == 1 else None
    )
    write_trials(folder / "trials.csv", trials, objectives, scored(study) if verdict else ())
    if verdict is not None:
        try:
            verdict = export_ensemble(study, folder, verdict, config)
        except Exception:  # the winner is exported all the same
            log.exception("Could not choose an ensemble of trials.")
            verdict = replace(verdict, ensemble={})
        _export_winner(study, verdict, folder, config)
    else:
        export_best(study, folder, config, is_final=True)
    if len(study.directions) > 1:
        _export_front(study, folder, config)
    command = this_command(*larger_limits(study, config))
    labels = label(objectives, config.hydra.sweeper.labels)
    if OmegaConf.select(config, "report"):
        from docclf.results.report.page import write_report

        root = OmegaConf.select(config, "data.root") if is_own("data.root") else None  # or any picture would be shown
        pages = Path(config.hydra.runtime.cwd, str(root)) if root else None
        try:
            write_report(study, folder, objectives=labels, command=command, pages=pages)
        except Exception:  # what it shows is exported already
            log.exception("Could not write report.html; python -m docclf.report tries again.")
    log.info(summary(study, folder, labels, command, verdict))


def _export_front(study: optuna.Study, folder: Path, config: DictConfig) -> None:
    """Export the trials of the Pareto front, and remove those that are beaten since."""
    from docclf.sweeper.study.trials import folder_number, front_of

    with lock(folder / _LOCK):
        front = {str(trial.number): trial for trial in front_of(study)}
        for path in (folder / "best").glob("[0-9]*"):
            if path.name not in front:
                shutil.rmtree(path)
        for name, trial in front.items():
            run = folder / str(folder_number(trial))
            lines = training_lines(trial.user_attrs, floors_of(trial, run))
            write_trial_config(study, trial, run, folder / "best" / name, config, lines)


def _export_winner(study: optuna.Study, verdict: Verdict, folder: Path, config: DictConfig) -> None:
    """Export the winner of the finalists, or the floor that takes its place, with its run."""
    from docclf.results.study.ensemble import remove_members
    from docclf.results.study.winner import place_winner
    from docclf.sweeper.storage.places import FINALISTS
    from docclf.sweeper.study.finalists import scored_alike
    from docclf.sweeper.study.trials import folder_number

    trial = study.get_trials(deepcopy=False)[verdict.number]
    facts = {"verdict": f"{verdict} (finalists, {verdict.how})"}
    run = folder / str(folder_number(trial))
    if verdict.warning:
        facts = {"warning": verdict.warning, **facts}
    if verdict.ensemble:
        facts["ensemble"] = str(verdict.ensemble["text"])
    facts |= training_lines(verdict.exported.user_attrs, verdict.floors)
    if verdict.reference is not None:
        trial, run = verdict.reference, folder / FINALISTS / str(verdict.reference.number)
        what = f"{verdict.who}, as a finalist, in place of trial {verdict.number}"
        facts = {"study": f"{study.study_name}, {what}", **facts}
    keep, alike = _keep(config), {finalist.number for finalist in scored_alike(study)}
    with lock(folder / _LOCK):
        place_winner(folder, verdict, keep, alike, _losers(study, folder, config))
        write_trial_config(study, trial, run, folder / "best", config, facts)
        if keep in ("winner", "none"):
            remove_members(study, folder, verdict)


def export_best(study: optuna.Study, folder: Path, config: DictConfig, *, is_final: bool = False) -> None:
    """Export the best trial by the search's own scores, with its run and a verdict on its floors where it has any.

    Called whenever a trial is better than those before it, so that `best/` can be used at any moment. Where finalists
    have said who wins, that stays until they have been re-evaluated.

    Args:
        study: With several objectives the best one by the first of them is exported, without its run.
        config: The composed config of the sweep, `hydra` included.
        is_final: Whether nobody scores finalists any more.
    """
    from docclf.results.study.summary import warning_of
    from docclf.results.study.verdict import unjudged
    from docclf.results.study.winner import is_judged, must_stay, place_run
    from docclf.sweeper.study.trials import best_trial, folder_number

    with lock(folder / _LOCK):
        trials = study.get_trials(deepcopy=False)
        best = best_trial(trials, study.directions[0])
        if best is None or (not is_final and is_judged(folder / "best")):
            return
        run = folder / str(folder_number(best))
        if must_stay(folder / "best", run, _keep(config)):
            log.info(f"best/ keeps the winner of the finalists: the run of trial {best.number} has no model any more")
            return
        warning, floors = warning_of(study, folder, None)
        lines = ({"warning": warning} if warning else {}) | training_lines(best.user_attrs, floors)
        if len(study.directions) == 1:
            losers = (loser for loser in _losers(study, folder, config) if loser != run)
            place_run(folder, run, unjudged(best, trials, floors).to_dict(), losers)
        write_trial_config(study, best, run, folder / "best", config, lines)


def _keep(config: DictConfig) -> str:
    return OmegaConf.select(config, "keep_checkpoints") or "winner"


def _losers(study: optuna.Study, folder: Path, config: DictConfig) -> list[Path]:
    """Runs of trials that have ended, whose models need not stay; one that still runs may have just written its own."""
    if _keep(config) == "all":
        return []
    return [folder / str(trial.number) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
