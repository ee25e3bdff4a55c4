"""The search itself: open the study, then ask, launch and tell until the budget is spent."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from hydra.utils import get_method
from omegaconf import DictConfig, ListConfig, OmegaConf
from optuna.trial import TrialState

from docclf.errors import ConfigError, InputError
from docclf.sweeper import progress
from docclf.sweeper.process import EndingSignals, this_process
from docclf.sweeper.samplers import Grid, make_pruner, make_sampler
from docclf.sweeper.space import Space, baseline, check_keys, leaves, parse_space
from docclf.sweeper.storage import open_storage, study_name, study_url, sweep_dir
from docclf.sweeper.study import CAUSE, INTERRUPTED, OWNER, ROLE, counted, fail_dead, require_same, retry_interrupted
from docclf.sweeper.trial import PRUNED_AT

log = logging.getLogger(__name__)


class Search:
    """One run of a sweep.

    Args:
        settings: The keys of `docclf.sweeper.config.SweeperConfig`.
        config: The composed config of the sweep, `hydra` included.
        hydra_context: Composes the jobs.
        launcher: Runs the jobs, here or elsewhere.
    """

    def __init__(
        self, settings: Mapping[str, Any], config: DictConfig, hydra_context: HydraContext, launcher: Launcher
    ) -> None:
        self.settings = settings
        self.config = config
        self.compose = hydra_context.config_loader.load_sweep_config
        self.launcher = launcher
        self.directory = sweep_dir(config.hydra)
        self.started = time.monotonic()
        self.total: int = settings["n_trials"]
        if settings["n_trials"] < 1:
            raise ConfigError(f"Expected at least 1 trial, got n_trials={settings['n_trials']}.")

    def run(self, arguments: Sequence[str]) -> None:
        """Check everything, then search until no trial or no time is left.

        Raises:
            InputError: See `docclf.sweeper.plugin.DocclfSweeper.sweep`.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        space = parse_space(self.settings["params"], arguments)
        check_keys(space.distributions, self.config)
        first = baseline(space.distributions, self.config) if self.settings["baseline"] else {}
        self.directory.mkdir(parents=True, exist_ok=True)  # what the preflight logs goes there
        facts = self._preflight(space, first)
        self.study = self._open_study(space, facts)
        OmegaConf.save(self.config, self.directory / "multirun.yaml")
        if self.settings["baseline"] and not self.study.get_trials(deepcopy=False):
            self.study.enqueue_trial(first, user_attrs={ROLE: "baseline"})
        fail_dead(self.study)
        retry_interrupted(self.study)
        self._announce()
        with EndingSignals() as signals:
            try:
                while (missing := self.total - len(counted(self.study))) > 0 and self._in_time():
                    signals.raise_dropped()
                    self._run_batch(space, min(missing, self.settings["n_jobs"]))
            except (KeyboardInterrupt, SystemExit):
                log.warning(progress.interrupted_line())
                fail_dead(self.study)
                raise SystemExit(signals.exit_code) from None

    def _preflight(self, space: Space, first: Mapping[str, Any]) -> dict[str, Any]:
        config = self.compose(self.config, list(space.overrides(first)))
        name = self.settings["preflight"]
        return dict(get_method(name)(config)) if name else {}

    def _open_study(self, space: Space, facts: Mapping[str, Any]) -> optuna.Study:
        asked = self.settings["direction"]
        directions: list[Any] = list(asked) if isinstance(asked, ListConfig) else [asked]
        study = optuna.create_study(
            study_name=study_name(self.config.hydra),
            storage=open_storage(study_url(self.config.hydra)),
            directions=[getattr(direction, "name", direction) for direction in directions],
            load_if_exists=True,
        )
        way_out = "study_name=NEW_NAME" if "study_name" in self.config else "hydra.sweep.dir=NEW_FOLDER"
        records = {
            "space": ("the search space", space.to_json()),
            "facts": ("the data and the validation", facts),
            "config": ("the config", self._constants(space)),
        }
        for key, (what, values) in records.items():
            require_same(study, key, values, what=what, way_out=way_out)
        n_before = len(study.get_trials(deepcopy=False))
        study.sampler = make_sampler(self.settings["sampler"], space.distributions, n_before)
        study.pruner = make_pruner(self.settings["pruner"])
        if isinstance(study.sampler, Grid):
            self.total = min(self.total, study.sampler.size + bool(self.settings["baseline"]))
        return study

    def _constants(self, space: Space) -> dict[str, Any]:
        """What every trial has in common and must keep: the config but for what is searched or `may_change`."""
        if (free := self.settings["may_change"]) is None:
            return {}
        config = self.compose(self.config, list(space.fixed))
        free = (*free, *space.distributions)
        return {
            key: str(OmegaConf.select(config, key, throw_on_missing=False))
            for key in leaves(config)
            if not any(key == name or key.startswith(f"{name}.") for name in free)
        }

    def _announce(self) -> None:
        done = len(counted(self.study))
        log.info(
            f"Study {self.study.study_name}: {done} of {self.total} trials done, "
            f"{type(self.study.sampler).__name__}, {type(self.study.pruner).__name__}, results in {self.directory}"
        )
        if self.settings["n_jobs"] > 1 and isinstance(self.launcher, BasicLauncher):
            log.warning(
                f"n_jobs={self.settings['n_jobs']} with Hydra's basic launcher: it runs one job after the other. "
                "For jobs side by side, pip install 'hydra-joblib-launcher>=1.4.0rc3' and add hydra/launcher=joblib."
            )

    def _in_time(self) -> bool:
        timeout = self.settings["timeout"]
        if timeout is None or time.monotonic() - self.started < timeout:
            return True
        log.info(f"Stopped by timeout={timeout:g} seconds")
        return False

    def _run_batch(self, space: Space, size: int) -> None:
        trials = [self.study.ask(space.distributions) for _ in range(size)]
        for trial in trials:
            trial.set_user_attr(OWNER, this_process())
            log.info(progress.start_line(trial.number, self.total, trial.params))
        for batch in _consecutive(trials):
            overrides = [space.overrides(trial.params) for trial in batch]
            returns = self.launcher.launch(overrides, initial_job_idx=batch[0].number)
            for trial, job in zip(batch, returns, strict=True):
                self._tell(trial, job)

    def _tell(self, trial: optuna.Trial, job: JobReturn) -> None:
        cause, values = None, None
        error = job._return_value if job.status == JobStatus.FAILED else None
        stored = self.study._storage.get_trial(trial._trial_id)
        if isinstance(error, optuna.TrialPruned) or (job._return_value is None and PRUNED_AT in stored.user_attrs):
            state = TrialState.PRUNED
        else:
            values, cause = self._values(job, error)
            state = TrialState.FAIL if cause else TrialState.COMPLETE
        good = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        hopeless: InputError | None = error if isinstance(error, InputError) and not good else None
        if cause:
            trial.set_user_attr(CAUSE, cause)
        if hopeless is not None:
            # What is put right is no part of the trial: it does not count, and the same command tries it again.
            trial.set_user_attr(INTERRUPTED, True)
        self.study.tell(trial, values, state=state)
        self._log_trial(trial.number)
        if hopeless is not None:
            raise hopeless

    def _values(self, job: JobReturn, error: Any) -> tuple[list[float] | None, str | None]:
        """The objective values that a job returned, or the cause of its failure."""
        if error is not None:
            return None, f"{type(error).__name__}: {error}"
        returned = job._return_value
        values = list(returned) if isinstance(returned, Sequence) and not isinstance(returned, str) else [returned]
        try:
            numbers = [float(value) for value in values]
        except (TypeError, ValueError):
            return None, f"Expected the task to return a number, got {returned!r}"
        if len(numbers) != len(self.study.directions):
            return None, f"Expected {len(self.study.directions)} objective values, got {len(numbers)}"
        if any(math.isnan(number) for number in numbers):
            return None, f"The objective is not a number: {returned!r}"
        return numbers, None

    def _log_trial(self, number: int) -> None:
        trials = self.study.get_trials(deepcopy=False)
        line = progress.end_line(
            next(t for t in trials if t.number == number),
            counted(self.study),
            directions=self.study.directions,
            total=self.total,
            metric=self.settings["metric"],
            workers=self.settings["n_jobs"],
            seconds_left=self._seconds_left(),
        )
        log.info(line)

    def _seconds_left(self) -> float:
        timeout = self.settings["timeout"]
        return math.inf if timeout is None else timeout - (time.monotonic() - self.started)


def _consecutive(trials: Sequence[optuna.Trial]) -> list[list[optuna.Trial]]:
    """Split into runs of consecutive numbers, since a launch numbers its jobs from one start."""
    runs: list[list[optuna.Trial]] = []
    for trial in trials:
        if runs and runs[-1][-1].number == trial.number - 1:
            runs[-1].append(trial)
        else:
            runs.append([trial])
    return runs
