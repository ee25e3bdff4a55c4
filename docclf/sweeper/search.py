"""The search itself: open the study, then ask, launch and tell until the budget is spent."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from hydra.utils import get_method
from omegaconf import DictConfig, ListConfig, OmegaConf
from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import ConfigError, InputError, SpaceError
from docclf.sweeper import progress
from docclf.sweeper.process import EndingSignals, is_alive, this_process
from docclf.sweeper.samplers import Grid, make_pruner, make_sampler
from docclf.sweeper.space import Space, baseline, check_keys, describe, parse_space
from docclf.sweeper.storage import open_storage, study_name, study_url, sweep_dir
from docclf.sweeper.trial import PRUNED_AT

log = logging.getLogger(__name__)

# User attributes of trials
ROLE = "role"  # "baseline"
RETRY_OF = "retry_of"  # number of the interrupted trial whose parameters this one has
CAUSE = "cause"  # why a trial failed
OWNER = "owner"  # the process that launched it: host and process id
INTERRUPTED = "interrupted"  # the process died or the input was wrong; another trial tries the parameters again
# User attributes of the study
SPACE = "space"
FACTS = "facts"  # what the preflight returned


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
        self._fail_dead()
        self._retry_interrupted()
        self._announce()
        with EndingSignals() as signals:
            try:
                while (missing := self.total - len(counted(self.study))) > 0 and self._in_time():
                    signals.raise_dropped()
                    self._run_batch(space, min(missing, self.settings["n_jobs"]))
            except (KeyboardInterrupt, SystemExit):
                log.warning(progress.interrupted_line())
                self._fail_dead()
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
        new = "study_name=NEW_NAME" if "study_name" in self.config else "hydra.sweep.dir=NEW_FOLDER"
        _remember(study, SPACE, space.to_json(), "the search space", new)
        _remember(study, FACTS, json.dumps(facts, sort_keys=True), "the data and the validation", new)
        n_before = len(study.get_trials(deepcopy=False))
        study.sampler = make_sampler(self.settings["sampler"], space.distributions, n_before)
        study.pruner = make_pruner(self.settings["pruner"])
        if isinstance(study.sampler, Grid):
            self.total = min(self.total, study.sampler.size + bool(self.settings["baseline"]))
        return study

    def _fail_dead(self) -> None:
        """Fail the trials that a dead process, or this one at its end, left running."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not is_alive(trial.user_attrs.get(OWNER)):
                self._interrupt(trial.number, trial._trial_id)

    def _retry_interrupted(self) -> None:
        """Queue the parameters of interrupted trials once more, each of them once.

        Those of a second interruption are not queued again: they may be what kills the process. The baseline always is.
        """
        trials = self.study.get_trials(deepcopy=False)
        retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
        for trial in trials:
            # One that died between queue and start has its parameters in the queue's note alone.
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            role = trial.user_attrs.get(ROLE)
            again = role == "baseline" or RETRY_OF not in trial.user_attrs
            if INTERRUPTED in trial.user_attrs and trial.number not in retried and params and again:
                attributes = {RETRY_OF: trial.number, **({ROLE: role} if role else {})}
                self.study.enqueue_trial(params, user_attrs=attributes)

    def _interrupt(self, number: int, trial_id: int) -> None:
        storage = self.study._storage
        storage.set_trial_user_attr(trial_id, INTERRUPTED, True)
        storage.set_trial_user_attr(trial_id, CAUSE, "interrupted: the process that ran it ended")
        self.study.tell(number, state=TrialState.FAIL)

    def _announce(self) -> None:
        done = len(counted(self.study))
        log.info(
            f"Study {self.study.study_name}: {done} of {self.total} trials done, "
            f"{type(self.study.sampler).__name__}, {type(self.study.pruner).__name__}, results in {self.directory}"
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


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count towards the total: all finished ones but those whose process died."""
    finished = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    return [t for t in study.get_trials(deepcopy=False, states=finished) if not t.user_attrs.get(INTERRUPTED)]


def _remember(study: optuna.Study, key: str, value: str, what: str, way_out: str) -> None:
    """Keep a JSON object with the study, or compare it with the one that the study has.

    Raises:
        SpaceError: They differ.
    """
    known = study.user_attrs.get(key)
    if known is None:
        study.set_user_attr(key, value)
    elif known != value:
        before, now = json.loads(known), json.loads(value)
        changed = "".join(
            f"  {name}: {_describe(before.get(name))}, now {_describe(now.get(name))}\n"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        )
        raise SpaceError(
            f"Expected {what} of study `{study.study_name}` as it was begun, got another:\n{changed}"
            f"Set it back to continue, or begin another study with {way_out}."
        )


def _describe(fact: Any) -> str:
    """A fact of the preflight, or the JSON of a distribution, in a few characters."""
    if isinstance(fact, str) and fact.startswith("{"):
        return describe(json_to_distribution(fact))
    return "nothing" if fact is None else str(fact)


def _consecutive(trials: Sequence[optuna.Trial]) -> list[list[optuna.Trial]]:
    """Split into runs of consecutive numbers, since a launch numbers its jobs from one start."""
    runs: list[list[optuna.Trial]] = []
    for trial in trials:
        if runs and runs[-1][-1].number == trial.number - 1:
            runs[-1].append(trial)
        else:
            runs.append([trial])
    return runs
