"""Train one configuration, or with `-m hparams_search=optuna` search for the best.

python -m docclf.train                              one configuration, k-fold
python -m docclf.train -m hparams_search=optuna     the search
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from docclf import CONF_DIR, CommandModule, quick_imports
from docclf.cli.combinations import warn_unused
from docclf.cli.composing import foreign_folders
from docclf.cli.foreign import check_job
from docclf.cli.preflight import check_added, check_config, log_duplicates
from docclf.cli.trainer_arguments import process_rank, require_one_device
from docclf.cli.typos import answer_typos
from docclf.errors import ConfigError, DocclfError, InputError, MachineError
from docclf.files import report_path_to_caller
from docclf.loggers.choice import chosen_loggers
from docclf.safety.faults import fault_of
from docclf.safety.targets import build, whitelist
from docclf.sweeper import current_trial
from docclf.sweeper.job.current import is_trial

if TYPE_CHECKING:
    from docclf.loggers.run import RunLoggers
    from docclf.sweeper.job.trial import JobTrial

log = logging.getLogger(__name__)


@answer_typos("train")
@hydra.main(config_path=str(CONF_DIR), config_name="train", execution_whitelist=whitelist())
def main(cfg: DictConfig) -> float | tuple[float, ...] | None:
    """The command: train, or with `-m` run one trial of a search."""
    hydra_cfg = HydraConfig.get()
    asked = hydra_cfg.runtime.choices.get("hparams_search")
    if hydra_cfg.mode == RunMode.RUN and asked not in (None, "null"):  # not logged: that goes to the search's log
        raise SystemExit(
            f"ConfigError: Expected -m with hparams_search={asked}, which makes this a search, got none. "
            f"Say python -m docclf.train -m hparams_search={asked} ..."
        )
    try:
        check_job(cfg)
        if hydra_cfg.mode == RunMode.MULTIRUN:
            require_one_device(cfg)  # a space may draw another number
        if process_rank(cfg):
            logging.disable(logging.WARNING)  # the first process tells
        elif hydra_cfg.mode == RunMode.RUN:
            report_path_to_caller(Path(hydra_cfg.runtime.output_dir))
            check_added(cfg, hydra_cfg.overrides.task, foreign_folders(hydra_cfg))
            warn_unused(cfg, hydra_cfg.overrides.task)
        return train(cfg, Path(hydra_cfg.runtime.output_dir))
    except Exception as error:
        told = _fault_of(error, Path(hydra_cfg.runtime.output_dir)) or _refused(error) or _away(error, cfg) or error
        if is_trial() and told is not error:
            raise told from error
        if is_trial() or not isinstance(told, DocclfError):
            raise  # the trial's failure, with its cause
        log.error(f"{type(told).__name__}: {told}")
        raise SystemExit(1) from error


def _fault_of(error: Exception, folder: Path) -> MachineError | None:
    """See `docclf.safety.faults.fault_of`; here, since what an exception came from is lost between processes."""
    if is_trial():
        return fault_of(error)
    from docclf.sweeper.space.grammar import typed  # which takes longer to import than a command to say its help

    place = typed("hydra.run.dir", str(folder))
    return fault_of(error, then=f"Once it is fixed, the same command with {place} goes on from there.")


def _refused(error: Exception) -> ConfigError | None:
    """What to say of a config that Lightning refuses, or that lacks what every config has, as a damaged one does."""
    if type(error).__name__ == "MisconfigurationException":  # of Lightning, which may not be loaded
        return ConfigError(f"Expected arguments that Lightning takes below `trainer`, got others: {error}")
    if not isinstance(error, ConfigAttributeError | ConfigKeyError):
        return None
    return ConfigError(f"Expected `{error.full_key or error.key}` in the config, which lacks it. Export it again.")


def _away(error: Exception, cfg: DictConfig) -> MachineError | None:
    """See `docclf.training.search_inputs.away`."""
    if not is_trial() or not isinstance(error, InputError):
        return None
    from docclf.training.search_inputs import away

    return away(error, cfg, current_trial())


def train(cfg: DictConfig, folder: Path) -> float | tuple[float, ...] | None:
    """Score one configuration on its folds, and keep its model where `refit` asks for it.

    Args:
        cfg: The whole config, see conf/train.yaml.
        folder: Where the results go.

    Returns:
        `search.objective`, a tuple for several: by default the mean macro-F1 over the folds. None where the trial was
        pruned, paused or out of time, in a job that helps another trial, and in every process but the first of
        `trainer.devices`.

    Raises:
        ConfigError, DataError: The config or the pages are wrong.
        MachineError: The pages or folds are no longer those that the search began with.
        NonFiniteLossError: The loss became NaN or infinite.
    """
    check_config(cfg)
    with quick_imports():
        from docclf.data.cache.stopwatch import Stopwatch
        from docclf.training.crossval import help_folds
        from docclf.training.parts import prepare
        from docclf.training.run import follow_parts, run_parts

    watch = Stopwatch()
    if rank := process_rank(cfg):
        with tempfile.TemporaryDirectory(prefix="docclf-") as own:
            follow_parts(prepare(cfg, Path(own), current_trial(), rank=rank, leader=folder))
        return None
    parts = prepare(cfg, folder, current_trial())
    if parts.trial.is_helper:
        help_folds(parts.trainer, parts.trial.is_wanted)
        return None
    if parts.trial.number is None:  # a search has told
        log_duplicates(parts.data.dataset)
    return run_parts(parts, _make_logger(cfg, folder, parts.trial), watch)


def _make_logger(cfg: DictConfig, folder: Path, trial: JobTrial) -> RunLoggers:
    from docclf.loggers.run import RunInfo, RunLoggers

    described: dict[str, Any] = {"kind": "run", "name": folder.name}
    if trial.number is not None and HydraConfig.initialized():
        kind = "finalist" if trial.is_finalist else "trial"
        again = f", attempt {trial.attempt + 1}" if trial.attempt else ""
        described = {"kind": kind, "name": f"{kind} {trial.number}{again}", "params": trial.params}
        described |= {"search": trial.folder, "trial": trial}
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    objective = cfg.search.objective if isinstance(cfg.search.objective, str) else None
    run = RunInfo(folder=folder, group=cfg.study_name, config=config, objective=objective, **described)
    loggers = chosen_loggers(cfg.get("logger"))
    return RunLoggers({name: build(node, f"logger.{name}") for name, node in loggers.items()}, run)


sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    main()
