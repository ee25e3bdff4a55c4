"""The Hydra callback that turns a finished search into files: best/config.yaml, best/params.yaml, trials.csv."""

from __future__ import annotations

import logging
import shlex
import shutil
from datetime import datetime
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from docclf.results.files import replacing
from docclf.results.provenance import git_commit, versions

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

# Keys that hold paths: made absolute, so that the exported config works from any folder.
PATH_KEYS = ("data.root", "data.cache_dir", "model.checkpoint_path")


class ExportBest(Callback):
    """Exports the best trial at the end of a search, also of one that was interrupted."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.runtime.cwd, config.hydra.sweep.dir)
        if OmegaConf.select(config, "hydra.sweeper._target_") != "docclf.sweeper.plugin.DocclfSweeper":
            return
        if not (folder / "multirun.yaml").is_file():
            return  # refused before it began; the message is on the screen already
        try:
            export(config, folder)
        except Exception:  # Hydra would reduce it to a one-line warning
            log.exception("Could not export the best trial. The study itself is intact; run the same command again.")


def export(config: DictConfig, folder: Path) -> None:
    """Write the results of a study into its folder, and say what came out and what to do next.

    Args:
        config: The composed config of the sweep, `hydra` included.
        folder: The search's folder.
    """
    import optuna

    from docclf.results.summary import summary
    from docclf.results.tables import write_trials
    from docclf.results.verdict import judge
    from docclf.results.winner import export_run, remove_run
    from docclf.sweeper.finalists import is_for_another, release, scored
    from docclf.sweeper.opening import label, read_objectives
    from docclf.sweeper.progress import this_command
    from docclf.sweeper.storage import study_name, study_storage
    from docclf.sweeper.study import best_trial

    study = optuna.load_study(study_name=study_name(config.hydra), storage=study_storage(config.hydra))
    if is_for_another(study):
        return
    trials = study.get_trials(deepcopy=False)
    objectives, _ = read_objectives(config.hydra.sweeper.metric, config.hydra.sweeper.direction)
    verdict = judge(study, folder) if config.hydra.sweeper.finalists.top_k and len(study.directions) == 1 else None
    write_trials(folder / "trials.csv", trials, objectives, scored(study) if verdict else ())
    best = trials[verdict.number] if verdict else best_trial(trials, study.directions[0])
    if best is not None:
        _export_trial(study, best, folder, folder / "best", config, str(verdict or ""))
    if verdict is None:
        remove_run(folder / "best")
    else:
        export_run(folder, verdict, OmegaConf.select(config, "keep_checkpoints") or "winner")
    if len(study.directions) > 1:
        front = {str(trial.number): trial for trial in study.best_trials}
        for path in (folder / "best").glob("[0-9]*"):
            if path.name not in front:  # beaten since
                shutil.rmtree(path)
        for name, trial in front.items():
            _export_trial(study, trial, folder, folder / "best" / name, config)
    more = this_command(f"search.n_trials={2 * config.hydra.sweeper.n_trials}")
    log.info(summary(study, folder, label(objectives, config.hydra.sweeper.labels), more, verdict))
    release(study)


def _export_trial(
    study: optuna.Study, trial: FrozenTrial, folder: Path, target: Path, config: DictConfig, verdict: str = ""
) -> None:
    """Write `config.yaml` and `params.yaml` of a trial."""
    from docclf.sweeper.record import plain_params
    from docclf.sweeper.study import folder_number

    source = _trial_config(trial, folder / str(folder_number(trial)) / ".hydra" / "config.yaml", config)
    cwd = Path(config.hydra.runtime.cwd)
    groups = {key: value for key, value in config.hydra.runtime.choices.items() if not key.startswith("hydra/")}
    header = _provenance(study, trial, target, verdict)
    # Hydra names the last group first; an experiment can only override groups that stand before it.
    _write_config(target / "config.yaml", source, cwd, list(reversed(groups)), header)
    with replacing(target / "params.yaml") as partial:
        partial.write_text(header + OmegaConf.to_yaml(OmegaConf.create(plain_params(trial))), encoding="utf-8")


def _trial_config(trial: FrozenTrial, path: Path, config: DictConfig) -> DictConfig:
    """The config that a trial had; composed anew where it ran on a machine that does not share the search's folder."""
    from docclf.sweeper.attributes import OVERRIDES

    if path.is_file() or OVERRIDES not in trial.user_attrs:
        found = OmegaConf.load(path)
    else:
        loader = GlobalHydra.instance().config_loader()
        found = loader.load_sweep_config(config, list(trial.user_attrs[OVERRIDES]))
        OmegaConf.set_struct(found, False)
        found.pop("hydra")
    assert isinstance(found, DictConfig)
    return found


def _write_config(target: Path, config: DictConfig, cwd: Path, groups: list[str], header: str) -> None:
    if config.get("refit") is False:
        config.refit = "folds"  # a search keeps no models of its trials; who trains the winner wants one
    for key in PATH_KEYS:
        if value := OmegaConf.select(config, key):
            OmegaConf.update(config, key, str(cwd / value))
    # Empty groups, so that `logger=wandb` and the like still work after the exported config.
    defaults = ["_self_", "app", *({f"optional {group}": None} for group in groups if group != "app")]
    text = f"{header}{OmegaConf.to_yaml(OmegaConf.create({'defaults': defaults}))}\n{OmegaConf.to_yaml(config)}"
    with replacing(target) as partial:
        partial.write_text(text, encoding="utf-8")


def _provenance(study: optuna.Study, trial: FrozenTrial, target: Path, verdict: str) -> str:
    """Comment lines that say where a result comes from."""
    score = ", ".join(f"{value:.4f}" for value in trial.values)
    facts = {
        "study": f"{study.study_name}, trial {trial.number} of {len(study.get_trials(deepcopy=False))}",
        "score": f"{score}{_spread(trial.user_attrs.get('folds', []))}",
        **({"verdict": f"{verdict} (finalists, scored again on other folds)"} if verdict else {}),
        "data": study.user_attrs.get("facts", ""),
        "versions": versions(),
        "commit": git_commit(),
        "written": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}",
        "train": f"python -m docclf.train --config-dir {shlex.quote(str(target))} --config-name config",
    }
    return "".join(f"# {key}: {value}\n" for key, value in facts.items())


def _spread(folds: list[float]) -> str:
    """
    >>> _spread([0.5, 0.7])
    ', spread over folds 0.1414 (0.5000, 0.7000)'
    """
    if len(folds) < 2:
        return ""
    return f", spread over folds {stdev(folds):.4f} ({', '.join(f'{score:.4f}' for score in folds)})"
