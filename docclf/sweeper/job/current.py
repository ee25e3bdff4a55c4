"""Finding the trial of the job that is running, in the storage of its study."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from docclf.sweeper.job.trial import JobTrial
from docclf.sweeper.optuna_private import study_id_of
from docclf.sweeper.study.attributes import PRUNER, RETRY_OF

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage


def current_trial() -> JobTrial:
    """The trial of the job that calls this, found through the study's storage, with every launcher.

    In a plain run, or in a sweep by another sweeper, a stand-in that accepts the same calls.

    Raises:
        MachineError: The study is not there any more.
    """
    return _load_trial(HydraConfig.get()) if is_trial() else JobTrial()


def is_trial() -> bool:
    """Whether the job that calls this is a trial of a search."""
    if not HydraConfig.initialized():
        return False
    hydra: Any = HydraConfig.get()
    return is_ours(hydra) and not OmegaConf.is_missing(hydra.job, "num")


def is_ours(hydra: Any) -> bool:
    """Whether a sweep is one of docclf's sweeper, from `hydra` of its config."""
    return bool(OmegaConf.select(hydra, "sweeper._target_") == "docclf.sweeper.plugin.DocclfSweeper")


def _load_trial(hydra: Any) -> JobTrial:
    import optuna

    from docclf.sweeper.storage.patience import patient
    from docclf.sweeper.storage.places import (
        FINALISTS,
        finalists_name,
        require_study_file,
        study_is_gone,
        study_name,
        study_storage,
        sweep_dir,
    )
    from docclf.sweeper.strategy.pruners import make_finalists_pruner, make_pruner
    from docclf.sweeper.study.trials import earlier

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    require_study_file(hydra)
    storage = patient(lambda: study_storage(hydra), "to find the trial")
    name = study_name(hydra)
    # A finalist is known by its folder.
    is_finalist = str(hydra.sweep.subdir).startswith(f"{FINALISTS}/")
    try:
        study = copy.copy(_load_study(finalists_name(name) if is_finalist else name, storage))
    except KeyError as error:  # as Optuna says it
        raise study_is_gone("its storage", sweep_dir(hydra)) from error
    named = study.user_attrs.get(PRUNER)
    study.pruner = make_pruner(hydra.sweeper.pruner) if named is None else make_finalists_pruner(named)
    # One look-up; all trials of a long study would take a second, which only a pruner may have to spend.
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id_of(study), int(hydra.job.num))
    trial = optuna.Trial(study, trial_id)
    retries = (
        earlier(storage.get_trial(trial_id), study.get_trials(deepcopy=False)) if RETRY_OF in trial.user_attrs else ()
    )
    return JobTrial(trial, tuple(retries), sweep_dir(hydra), may_be_helped=hydra.sweeper.helpers > 0)


@lru_cache(maxsize=4)
def _load_study(name: str, storage: BaseStorage) -> optuna.Study:
    """Open a study; once a process, since three queries to the database are made for it."""
    import optuna

    # Its sampler is never asked: the parameters are in the storage already.
    return optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler())
