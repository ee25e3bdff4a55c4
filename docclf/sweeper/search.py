"""The search itself: ask, launch and tell until the budget is spent."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import InputError, SearchError
from docclf.sweeper import progress
from docclf.sweeper.asker import Asker
from docclf.sweeper.attributes import ATTEMPT, DUPLICATE_OF, ITS_OWN
from docclf.sweeper.opening import Opened
from docclf.sweeper.outcome import Outcome, judge, tell, violations
from docclf.sweeper.process import EndingSignals, Heartbeat
from docclf.sweeper.record import write_results
from docclf.sweeper.study import BEAT_S, beat, causes, counted, fail_dead, last_improvement, retry_interrupted

log = logging.getLogger(__name__)

# A failure rate says little about fewer trials.
_FAILURES_JUDGED_AFTER = 5


class Search:
    """One run of a sweep.

    Args:
        settings: The keys of `docclf.sweeper.config.SweeperConfig`.
        opened: The study and what it is searched with.
        launcher: Runs the jobs, here or elsewhere.
    """

    def __init__(self, settings: Mapping[str, Any], opened: Opened, launcher: Launcher) -> None:
        self.settings, self.opened, self.launcher = settings, opened, launcher
        self.study, self.space, self.total = opened.study, opened.space, opened.total
        timeout = settings["timeout"]
        self.deadline = math.inf if timeout is None else time.time() + timeout
        self.asker = Asker(
            opened.study,
            known=opened.known,
            baseline=opened.baseline,
            entries=opened.entries,
            on_first=opened.queue_entries,
            deadline=self.deadline,
        )
        self.running: dict[int, int] = {}  # trial number to its id in the storage
        self.trials: list[FrozenTrial] = []

    def run(self) -> None:
        """Search until no trial or no time is left.

        Raises:
            InputError: The first trial shows that none can succeed.
            SearchError: Too many trials failed.
            SystemExit: A signal ended it; everything that finished is saved.
        """
        fail_dead(self.study)
        self._refresh()
        # Of a new study, whoever gets trial 0 does this: two at once would queue every entry twice.
        if self.trials and self.trials[0].state != TrialState.RUNNING:
            self.opened.queue_entries()
        retry_interrupted(self.study, self.opened.baseline)
        self._refresh()
        self._announce()
        with EndingSignals() as signals, Heartbeat(lambda: beat(self.study, list(self.running.values())), BEAT_S):
            try:
                while (missing := self.total - len(counted(self.trials))) > 0 and not self._is_over():
                    signals.raise_dropped()
                    self._run_batch(min(missing, self.settings["n_jobs"]))
            except (KeyboardInterrupt, SystemExit):
                log.warning(progress.interrupted_line())
                raise SystemExit(signals.exit_code) from None
            finally:
                fail_dead(self.study)
                write_results(self.study, self.opened.directory)
        if not any(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.trials):
            failed = [t for t in counted(self.trials) if t.state == TrialState.FAIL]
            if failed:
                raise SearchError(f"All {len(failed)} trials failed:{causes(failed)}")

    def _refresh(self) -> None:
        self.trials = self.study.get_trials(deepcopy=False)

    def _announce(self) -> None:
        log.info(
            f"Study {self.study.study_name}: {len(counted(self.trials))} of {self.total} trials done, "
            f"{type(self.study.sampler).__name__}, {type(self.study.pruner).__name__}, "
            f"results in {self.opened.directory}"
        )
        if self.settings["n_jobs"] > 1 and isinstance(self.launcher, BasicLauncher):
            log.warning(
                f"n_jobs={self.settings['n_jobs']} with Hydra's basic launcher: it runs one job after the other. "
                "For jobs side by side, pip install 'hydra-joblib-launcher>=1.4.0rc3' and add hydra/launcher=joblib."
            )

    def _is_over(self) -> bool:
        """Whether a limit other than the number of trials ends the search; says which."""
        if time.time() >= self.deadline:
            log.info(f"Stopped by timeout={self.settings['timeout']:g} seconds of this run; the same command goes on")
            return True
        patience = self.settings["stop_when_stagnant"]
        since = last_improvement(counted(self.trials), self.study.directions) if patience else 0
        if patience and since >= patience:
            log.info(f"Stopped by stop_when_stagnant={patience}: no better score in the last {since} trials")
            return True
        return False

    def _run_batch(self, size: int) -> None:
        trials = [self._ask() for _ in range(size)]
        for trial in trials:
            log.info(progress.start_line(trial.number, self.total, trial.params))
        fresh = [trial for trial in trials if not self._tell_duplicate(trial)]
        for batch in _consecutive(fresh):
            overrides = [self.space.overrides(trial.params) for trial in batch]
            returns = self.launcher.launch(overrides, initial_job_idx=batch[0].number)
            for trial, texts, job in zip(batch, overrides, returns, strict=True):
                self._finish(trial, texts, job)

    def _ask(self) -> optuna.Trial:
        trial = self.asker.ask()
        self.running[trial.number] = trial._trial_id
        self.space.suggest(trial)
        if self.opened.hook is not None:
            self.opened.hook(self.opened.config, trial)
        return trial

    def _tell_duplicate(self, trial: optuna.Trial) -> bool:
        """Give a trial of discrete parameters the result of an earlier one that had the same; whether there is one."""
        discrete = (isinstance(d, CategoricalDistribution) or d.step is not None for d in trial.distributions.values())  # type: ignore[attr-defined]
        if not self.settings["skip_duplicates"] or not all(discrete):
            return False
        known = (TrialState.COMPLETE, TrialState.PRUNED)
        twin = next((t for t in self.trials if t.state in known and t.params == trial.params), None)
        if twin is None:
            return False
        for key, value in twin.user_attrs.items():
            if key not in ITS_OWN:
                trial.set_user_attr(key, value)
        trial.set_user_attr(DUPLICATE_OF, twin.user_attrs.get(DUPLICATE_OF, twin.number))
        for step, value in twin.intermediate_values.items():
            self.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
        for key, value in twin.constraints.items():
            trial.set_constraint(key, value)
        stored = self.study._storage.get_trial(trial._trial_id)
        self._tell(
            trial, stored, Outcome(twin.state, tuple(twin.values) if twin.state == TrialState.COMPLETE else None)
        )
        return True

    def _finish(self, trial: optuna.Trial, overrides: tuple[str, ...], job: JobReturn) -> None:
        """Judge a job, launch it again where that is worth it, and tell the study."""
        while True:
            stored = self.study._storage.get_trial(trial._trial_id)
            outcome = judge(job, stored, self.opened.objectives)
            attempt = stored.user_attrs.get(ATTEMPT, 0) + 1
            if attempt > self.settings["retries"] or not outcome.is_worth_retrying(self.settings["retry_on"]):
                break
            log.warning(f"trial {trial.number} again, attempt {attempt + 1}: {outcome.cause}")
            trial.set_user_attr(ATTEMPT, attempt)
            (job,) = self.launcher.launch([overrides], initial_job_idx=trial.number)
        if outcome.state == TrialState.COMPLETE:
            try:
                for key, excess in violations(self.settings["constraints"] or {}, stored, job).items():
                    trial.set_constraint(key, excess)
            except ValueError as error:
                outcome = Outcome(TrialState.FAIL, cause=str(error))
        promising = any(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.trials)
        hopeless = outcome.error if isinstance(outcome.error, InputError) and not promising else None
        if hopeless is not None:
            # What is put right is no part of the trial: it does not count, and the same command tries it again.
            outcome = Outcome(TrialState.FAIL, cause=outcome.cause, interrupted="input")
        self._tell(trial, stored, outcome)
        if hopeless is not None:
            raise hopeless
        if outcome.state == TrialState.FAIL:
            self._require_few_failures()

    def _tell(self, trial: optuna.Trial, stored: FrozenTrial, outcome: Outcome) -> None:
        self.running.pop(trial.number)
        try:
            tell(self.study, stored, outcome)
        except UpdateFinishedTrialError:  # another process took this one for dead
            log.warning(f"trial {trial.number} was ended by another process meanwhile; what came of it here is lost")
        self._refresh()
        line = progress.end_line(
            self.trials[trial.number],
            self.trials,
            directions=self.study.directions,
            total=self.total,
            objectives=self.opened.labels,
            workers=self.settings["n_jobs"],
            seconds_left=self.deadline - time.time(),
        )
        log.info(line)

    def _require_few_failures(self) -> None:
        done = counted(self.trials)
        failed = [trial for trial in done if trial.state == TrialState.FAIL]
        rate = self.settings["max_failure_rate"]
        if len(done) >= _FAILURES_JUDGED_AFTER and len(failed) / len(done) > rate:
            raise SearchError(
                f"{len(failed)} of {len(done)} trials failed, more than max_failure_rate={rate:g} allows:"
                f"{causes(failed)}\n"
                "Their logs are in the trials' folders. Put the cause right and give the same command again, or allow "
                "more with hydra.sweeper.max_failure_rate."
            )


def _consecutive(trials: Sequence[optuna.Trial]) -> list[list[optuna.Trial]]:
    """Split into runs of consecutive numbers, since a launch numbers its jobs from one start."""
    runs: list[list[optuna.Trial]] = []
    for trial in trials:
        if runs and runs[-1][-1].number == trial.number - 1:
            runs[-1].append(trial)
        else:
            runs.append([trial])
    return runs
