"""The Hydra callback that turns a finished search into files: best/config.yaml, best/params.yaml, trials.csv."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.experimental.callback import Callback
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from docclf import CONF_DIR
from docclf.errors import DocclfError, InputError
from docclf.files import replacing
from docclf.results.provenance import header_of, training_lines
from docclf.results.study.floors import classifier, floors_of
from docclf.safety.allow import require_allowed
from docclf.safety.untrusted import reading, unsafe_interpolation
from docclf.sweeper.run.faults import fault_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from docclf.results.study.verdict import Verdict

log = logging.getLogger(__name__)

# What may read pages for the report.
_READS_PAGES = ("docclf.report.read_thumbnail",)

# Keys of paths that are made absolute, so that the exported config works from any folder. Not the root of the pages,
# which is another one wherever the config goes: as it was given, it is that of a clone with its pages beside it.
PATH_KEYS = ("data.corrections", "data.exclude", "data.cache_dir", "model.checkpoint_path")


class ExportBest(Callback):
    """Exports the best trial at the end of a search, also of one that was interrupted. Where it fails, so does the
    command.

    Args:
        read_page: Dotted path of a function that reads a page for the report, see `docclf.results.report.page`; None
            for a report without pages.
    """

    def __init__(self, read_page: str | None = None) -> None:
        self.read_page = read_page

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = search_folder(config)
        if folder is None:
            return
        is_ending = sys.exception() is not None  # the search was not successful anyway
        try:
            with reading("a study", folder):
                export(config, folder, self.read_page)
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
    if OmegaConf.select(config, "hydra.sweeper._target_") != "docclf.sweeper.plugin.DocclfSweeper":
        return None
    if isinstance(getattr(sys.exception(), "__cause__", None), InputError):  # Hydra calls while it is on its way
        return None
    folder = Path(config.hydra.runtime.cwd, config.hydra.sweep.dir)
    return folder if (folder / "multirun.yaml").is_file() else None


def export(config: DictConfig, folder: Path, read_page: str | None = None) -> None:
    """Write the results of a study into its folder, and say what came out and what to do next.

    Args:
        config: The composed config of the sweep, `hydra` included.
        folder: The search's folder.
        read_page: See `ExportBest`.
    """
    import optuna

    from docclf.results.study.pickled import write_pickle
    from docclf.results.study.summary import larger_limits, summary
    from docclf.results.study.tables import write_trials
    from docclf.results.study.verdict import judge
    from docclf.sweeper.run.opening.settings import label, read_objectives
    from docclf.sweeper.screen.progress import this_command
    from docclf.sweeper.storage.ownership import is_for_another, release
    from docclf.sweeper.storage.places import study_name, study_storage
    from docclf.sweeper.study.finals import scored

    study = optuna.load_study(study_name=study_name(config.hydra), storage=study_storage(config.hydra))
    if is_for_another(study, folder if config.hydra.sweeper.finalists.top_k else None):
        return
    trials = study.get_trials(deepcopy=False)
    objectives, _ = read_objectives(config.hydra.sweeper.metric, config.hydra.sweeper.direction)
    verdict = judge(study, folder) if config.hydra.sweeper.finalists.top_k and len(study.directions) == 1 else None
    write_trials(folder / "trials.csv", trials, objectives, scored(study) if verdict else ())
    if verdict is not None:
        verdict = _with_ensemble(study, folder, verdict, config)
        _export_winner(study, verdict, folder, config)
    else:
        export_best(study, folder, config, is_final=True)
    if len(study.directions) > 1:
        _export_front(study, folder, config)
    more = this_command(*larger_limits(study, config))
    labels = label(objectives, config.hydra.sweeper.labels)
    if OmegaConf.select(config, "report"):
        root = OmegaConf.select(config, "data.root")  # as it was typed, or of docclf's own conf/
        pages = Path(config.hydra.runtime.cwd, str(root)) if root else None
        _write_report(study, folder, labels, more, read_page, pages)
    log.info(summary(study, folder, labels, more, verdict))
    release(study)
    if OmegaConf.select(config, "results.pickle") is True:
        write_pickle(folder / "study.pkl", study)


def _export_front(study: optuna.Study, folder: Path, config: DictConfig) -> None:
    """Export the trials of the Pareto front, and remove those that are beaten since."""
    from docclf.sweeper.study.trials import folder_number

    front = {str(trial.number): trial for trial in study.best_trials}
    for path in (folder / "best").glob("[0-9]*"):
        if path.name not in front:
            shutil.rmtree(path)
    for name, trial in front.items():
        run = folder / str(folder_number(trial))
        lines = training_lines(trial.user_attrs, floors_of(trial, run))
        _export_trial(study, trial, run, folder / "best" / name, config, lines)


def _with_ensemble(study: optuna.Study, folder: Path, verdict: Verdict, config: DictConfig) -> Verdict:
    from docclf.results.study.ensemble import export_ensemble

    try:
        return export_ensemble(study, folder, verdict, config)
    except Exception:  # the winner is exported all the same
        log.exception("Could not choose an ensemble of trials.")
        return replace(verdict, ensemble={})


def _export_winner(study: optuna.Study, verdict: Verdict, folder: Path, config: DictConfig) -> None:
    """Export the winner of the finalists, or the floor that takes its place, with its run."""
    from docclf.results.study.ensemble import remove_members
    from docclf.results.study.winner import export_run
    from docclf.sweeper.storage.places import FINALISTS
    from docclf.sweeper.study.trials import folder_number

    trial, facts = (
        study.get_trials(deepcopy=False)[verdict.number],
        {"verdict": f"{verdict} (finalists, {verdict.how})"},
    )
    run = folder / str(folder_number(trial))
    if verdict.warning:
        facts = {"warning": verdict.warning, **facts}
    if verdict.ensemble:
        facts["ensemble"] = str(verdict.ensemble["text"])
    facts |= training_lines(verdict.exported.user_attrs, verdict.floors)
    if verdict.reference is not None:
        trial, run = verdict.reference, folder / FINALISTS / str(verdict.reference.number)
        what = f"{classifier(verdict.exported_as)}, as a finalist, in place of trial {verdict.number}"
        facts = {"study": f"{study.study_name}, {what}", **facts}
    _export_trial(study, trial, run, folder / "best", config, facts)
    keep = OmegaConf.select(config, "keep_checkpoints") or "winner"
    export_run(folder, verdict, keep)
    if keep in ("winner", "none"):
        remove_members(study, folder, verdict)


def export_best(study: optuna.Study, folder: Path, config: DictConfig, *, is_final: bool = False) -> None:
    """Export the best trial by the search's own scores, with its run and a verdict on its floors where it has any.

    Called whenever a trial is better than those before it, so that `best/` can be used at any moment. Where finalists
    have said who wins, that stays until they have been re-evaluated.

    Args:
        study: With several objectives the best one by the first of them is exported, without its run.
        folder: The search's folder.
        config: The composed config of the sweep, `hydra` included.
        is_final: Whether nobody scores finalists any more.
    """
    from docclf.results.study.summary import warning_of
    from docclf.results.study.verdict import unjudged
    from docclf.results.study.winner import export_trial_run, is_judged
    from docclf.sweeper.study.trials import best_trial, folder_number

    trials = study.get_trials(deepcopy=False)
    best = best_trial(trials, study.directions[0])
    if best is None or (not is_final and is_judged(folder / "best")):
        return
    warning, floors = warning_of(study, folder, None)
    lines = ({"warning": warning} if warning else {}) | training_lines(best.user_attrs, floors)
    run = folder / str(folder_number(best))
    if len(study.directions) == 1:
        keep = OmegaConf.select(config, "keep_checkpoints") == "all"
        export_trial_run(folder, run, unjudged(best, trials, floors), keep=keep)
    _export_trial(study, best, run, folder / "best", config, lines)


def _write_report(
    study: optuna.Study,
    folder: Path,
    labels: list[str],
    continue_command: str,
    read_page: str | None,
    pages: Path | None,
) -> None:
    from docclf.results.report.page import write_report

    try:
        if read_page is not None:
            require_allowed(read_page, _READS_PAGES, "hydra.callbacks.export.read_page")
        read = get_method(read_page) if read_page else None
        write_report(study, folder, objectives=labels, continue_command=continue_command, read_page=read, pages=pages)
    except Exception:  # what it shows is exported already
        log.exception("Could not write report.html; python -m docclf.report tries again.")


def _export_trial(
    study: optuna.Study,
    trial: FrozenTrial,
    run: Path,
    target: Path,
    config: DictConfig,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write `config.yaml` and `params.yaml` of a trial.

    Args:
        run: The trial's folder.
        facts: What more the headers say, by what it is about.
    """
    from docclf.sweeper.study.attributes import FINALIST
    from docclf.sweeper.study.record import plain_params

    if FINALIST in trial.user_attrs:  # a reference
        source = _reference_config(trial, run.parents[1], config)
    else:
        source = _trial_config(trial, run / ".hydra" / "config.yaml", config)
    cwd = Path(config.hydra.runtime.cwd)
    groups = {key: value for key, value in config.hydra.runtime.choices.items() if not key.startswith("hydra/")}
    header = header_of(study, trial, target, facts or {})
    # Hydra names the last group first; an experiment can only override groups that stand before it.
    write_config(target / "config.yaml", source, cwd, list(reversed(groups)), header)
    with replacing(target / "params.yaml") as partial:
        partial.write_text(header + OmegaConf.to_yaml(OmegaConf.create(plain_params(trial))), encoding="utf-8")


def _reference_config(finalist: FrozenTrial, folder: Path, config: DictConfig) -> DictConfig:
    """The config of a reference that wins, without what finalists have other than trials."""
    from docclf.sweeper.storage.places import FINALISTS
    from docclf.sweeper.study.finals import source_number

    path = folder / FINALISTS / str(finalist.number) / ".hydra" / "config.yaml"
    found = _trial_config(finalist, path, config)
    trial = folder / str(source_number(finalist)) / ".hydra" / "config.yaml"
    if trial.is_file():
        its = OmegaConf.load(trial)
        assert isinstance(its, DictConfig)
        for key in config.hydra.sweeper.finalists.overrides or {}:
            OmegaConf.update(found, key, OmegaConf.select(its, key), merge=False)
    return found


def _trial_config(trial: FrozenTrial, path: Path, config: DictConfig) -> DictConfig:
    """The config that a trial had; composed anew where its folder has none: it was removed, or is elsewhere."""
    from docclf.sweeper.study.attributes import OVERRIDES

    if path.is_file() or OVERRIDES not in trial.user_attrs:
        found = OmegaConf.load(path)
    else:
        loader = GlobalHydra.instance().config_loader()
        typed = [*config.hydra.overrides.task, *config.hydra.overrides.hydra]
        kept = [text for text in map(str, trial.user_attrs[OVERRIDES]) if text in typed or _is_about_training(text)]
        found = loader.load_sweep_config(config, kept)
        OmegaConf.set_struct(found, False)
        found.pop("hydra")
    assert isinstance(found, DictConfig)
    return found


def _is_about_training(override: str) -> bool:
    """Whether an override that a shared study holds may be composed: others may have written it."""
    return not (override.lstrip("+~").startswith(("hydra.", "hydra/")) or unsafe_interpolation(override))


def write_config(target: Path, config: DictConfig, cwd: Path, groups: list[str], header: str) -> None:
    """Write a config that trains by itself from any folder."""
    if config.get("refit") is False:
        config.refit = "folds"  # a search keeps no models of its trials; who trains the winner wants one
    for key in PATH_KEYS:
        if value := OmegaConf.select(config, key):
            OmegaConf.update(config, key, str(cwd / value))
    loggers = _take_loggers(config)
    # Empty groups, so that `model=swin_tiny` and the like still work after the exported config.
    others = [group for group in groups if group not in ("app", *(["logger"] if loggers else []))]
    defaults = [*loggers, "_self_", "app", *({f"optional {group}": None} for group in others)]
    text = f"{header}{OmegaConf.to_yaml(OmegaConf.create({'defaults': defaults}))}\n{OmegaConf.to_yaml(config)}"
    with replacing(target) as partial:
        partial.write_text(text, encoding="utf-8")


def _take_loggers(config: DictConfig) -> list[dict[str, Any]]:
    """Make choices of a config's loggers, so that `logger=wandb` replaces them and is not added; their settings stay.

    Returns:
        An entry of a defaults list, or none: where a logger is no option of docclf, the config is left as it is.
    """
    logger = config.get("logger")
    if not OmegaConf.is_dict(logger) or "_target_" in logger:
        return []
    entries: Any = OmegaConf.to_container(logger)
    names = [name for name, entry in entries.items() if isinstance(entry, dict) and "_target_" in entry]
    if not all((CONF_DIR / "logger" / f"{name}.yaml").is_file() for name in names):
        return []
    kept = {name: entry for name, entry in entries.items() if isinstance(entry, dict)}
    settings = {n: {key: v for key, v in e.items() if key not in ("_target_", "_partial_")} for n, e in kept.items()}
    config.logger = {name: entry for name, entry in settings.items() if entry}
    return [{"logger": (names[0] if len(names) == 1 else names) if names else "none"}]
