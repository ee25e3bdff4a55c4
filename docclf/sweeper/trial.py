"""The Optuna trial of the Hydra job that is running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

if TYPE_CHECKING:
    import optuna

# User attribute of a trial that was advised to stop, and at which step.
PRUNED_AT = "pruned_at_step"


class JobTrial:
    """The trial of a job: what a task reports to and asks.

    Outside a search there is no study behind it; then reports go nowhere and nothing is ever pruned.
    """

    def __init__(self, trial: optuna.Trial | None = None) -> None:
        self._trial = trial
        self._last_step: int | None = None

    @property
    def number(self) -> int | None:
        """The trial's number in its study; None outside a search."""
        return None if self._trial is None else self._trial.number

    @property
    def params(self) -> dict[str, Any]:
        """Config key to the value that this trial tries; empty outside a search."""
        return {} if self._trial is None else self._trial.params

    def report(self, value: float, step: int) -> None:
        """Report an intermediate value of the objective.

        Args:
            value: Objective so far.
            step: Global step, each reported once: Optuna drops a second report of a step.
        """
        self._last_step = step
        if self._trial is not None:
            self._trial.report(value, step)

    def should_prune(self) -> bool:
        """Whether the trial should stop now. A task that follows the advice returns None, which is not an error."""
        if self._trial is None or not self._trial.should_prune():
            return False
        self._trial.set_user_attr(PRUNED_AT, self._last_step)
        return True

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a JSON-serialisable fact about the trial in the study."""
        if self._trial is not None:
            self._trial.set_user_attr(key, value)


def current_trial() -> JobTrial:
    """The trial of the job that calls this, found through the study's storage, with every launcher.

    In a plain run, or in a sweep by another sweeper, a stand-in that accepts the same calls.
    """
    if not HydraConfig.initialized():
        return JobTrial()
    hydra: Any = HydraConfig.get()
    in_search = OmegaConf.select(hydra, "sweeper._target_") == "docclf.sweeper.plugin.DocclfSweeper"
    if not in_search or OmegaConf.is_missing(hydra.job, "num"):
        return JobTrial()
    return JobTrial(_load_trial(hydra))


def _load_trial(hydra: Any) -> optuna.Trial:
    import optuna

    from docclf.sweeper.samplers import make_pruner
    from docclf.sweeper.storage import open_storage, study_name, study_url

    study = optuna.load_study(
        study_name=study_name(hydra),
        storage=open_storage(study_url(hydra)),
        sampler=optuna.samplers.RandomSampler(),  # never asked: the parameters are in the storage already
        pruner=make_pruner(hydra.sweeper.pruner),
    )
    number = int(hydra.job.num)
    trial_id = next(t._trial_id for t in study.get_trials(deepcopy=False) if t.number == number)
    return optuna.Trial(study, trial_id)
