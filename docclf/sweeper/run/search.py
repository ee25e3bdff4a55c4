"""The search itself: ask, launch and tell until the budget is spent."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NoReturn

import optuna
from hydra.core.utils import JobReturn
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import InputError, MachineError, SearchError
from docclf.sweeper.optuna_private import id_of, storage_of
from docclf.sweeper.run.asker import Asker
from docclf.sweeper.run.clock import TICK_S
from docclf.sweeper.run.faults import fault_of
from docclf.sweeper.run.limits import Limits
from docclf.sweeper.run.opening.study import Opened
from docclf.sweeper.run.workers.helpers import Helpers, Job
from docclf.sweeper.run.workers.launchers import death
from docclf.sweeper.run.workers.pool import Workers
from docclf.sweeper.screen import progress
from docclf.sweeper.screen.live import Live
from docclf.sweeper.screen.plan import make_plan
from docclf.sweeper.storage.claims import ClaimLostError, claim_lock
from docclf.sweeper.storage.patience import in_a_hurry
from docclf.sweeper.strategy.samplers import IN_TURN, make_sampler
from docclf.sweeper.study.attributes import ATTEMPT, BUDGET, OVERRIDES, RETRY_OF, RUNG
from docclf.sweeper.study.duplicates import find_twin, take_over
from docclf.sweeper.study.outcome import Outcome, judge, tell, violations
from docclf.sweeper.study.process import EndingSignals, Heartbeat
from docclf.sweeper.study.record import write_results
from docclf.sweeper.study.tally import Tally
from docclf.sweeper.study.trials import (
    BEAT_S,
    beat,
    causes,
    counted,
    died_before,
    drop_doubles,
    fail_dead,
    interrupt,
    retry_interrupted,
)

log = logging.getLogger(__name__)

# Seconds after which a search with jobs elsewhere looks at what else has happened.
_LOOK_S = 1.0
# Of the time budget, for export and report: so many seconds, or such a part of a short one.
_CLOSING_S, _CLOSING = 3.0, 0.05


class Search:
    """One run of a sweep.

    Args:
        settings: The keys of `docclf.sweeper.config.SweeperConfig`.
        opened: The study and what it is searched with.
        workers: Run the jobs; closed when the search is cut short.
    """

    noun = "trial"

    def __init__(self, settings: Mapping[str, Any], opened: Opened, workers: Workers) -> None:
        self.settings, self.opened, self.workers = settings, opened, workers
        self.study, self.space, self.total = opened.study, opened.space, opened.total
        last_rung = opened.climb.rungs[-1] if opened.climb is not None else None
        self.limits = Limits(settings, opened.study.directions, opened.clock.deadline, last_rung)
        self.asker = Asker(
            opened.study,
            known=opened.known,
            baseline=opened.baseline,
            entries=opened.entries,
            on_first=opened.queue_entries,
            climb=opened.climb,
        )
        is_single = len(opened.study.directions) == 1
        self.plan = make_plan(settings, opened.total, workers.n, is_single=is_single, climb=opened.climb)
        self.tally = Tally(opened.study.directions)
        self.signals = EndingSignals()
        self.is_waiting = False
        self.samplers: dict[str | None, optuna.samplers.BaseSampler] = {}  # by rung: each is a search of its own
        self.running: dict[int, int] = {}  # trial number to its id in the storage
        self.helpers = Helpers(settings["helpers"] if workers.has_processes else 0, self.noun)
        self.live = Live(
            self.study,
            self.plan,
            self.limits.deadline,
            self.noun,
            opened.labels,
            self._describe,
            self.helpers.running,
        )
        self.trials: list[FrozenTrial] = []

    def run(self) -> None:
        """Search until no trial or no time is left.

        Raises:
            InputError: The first trial shows that none can succeed.
            MachineError: The machine failed, which counts no trial.
            SearchError: Too many trials failed.
            SystemExit: A signal ended it; everything that finished is saved.
        """
        self._prepare()
        self._announce()
        clock = Heartbeat(self.opened.clock.tick, TICK_S)
        with self.signals as signals, Heartbeat(self._beat, BEAT_S), clock, self.live:
            try:
                self._run_trials()
            except BaseException as error:
                self.workers.close()
                # A signal that comes while a config is composed may be raised as another error.
                if not isinstance(error, KeyboardInterrupt | SystemExit) and not signals.is_received:
                    if (fault := fault_of(error, self.opened.directory)) is not None:
                        self._give_up(fault)
                    self._end()
                    raise
                log.warning(progress.interrupted_line())
                with in_a_hurry():
                    for trial_id in list(self.running.values()):  # asked for, so no sign of what kills a process
                        interrupt(self.study, trial_id, "signal", "interrupted by a signal")
                    self._end()
                raise SystemExit(signals.exit_code) from None
            self._end()
        if not any(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.trials):
            failed = [t for t in counted(self.trials) if t.state == TrialState.FAIL]
            if failed:
                raise SearchError(
                    f"All {len(failed)} trials failed:{causes(failed)}\nThey are not tried again: fix the cause, "
                    f"and give the command again with a larger n_trials, or another study."
                )

    def _give_up(self, fault: MachineError) -> NoReturn:
        """End the search with a fault of the machine, which may keep that from being recorded."""
        try:
            with in_a_hurry():
                for trial_id in list(self.running.values()):
                    interrupt(self.study, trial_id, "machine", str(fault))
                self._end()
        except Exception as error:
            log.warning(f"What was running is found to be dead by who goes on: {type(error).__name__}")
        raise fault

    def _prepare(self) -> None:
        """Fill the queue with what is tried first."""
        fail_dead(self.study)
        self._refresh()
        # Of a new study, whoever gets trial 0 does this: two at once would queue every entry twice.
        if self.trials and self.trials[0].state != TrialState.RUNNING:
            self.opened.queue_entries()
        self._refresh()
        self._keep_time()

    def _end(self) -> None:
        fail_dead(self.study)
        self.opened.clock.tick()
        self._save()

    def _beat(self) -> None:
        beat(self.study, list(self.running.values()))

    def _on_best(self) -> None:
        """Have what is exported of the best trial so far brought up to date; where that fails, the end does it."""
        if self.opened.on_best is None or len(self.study.directions) > 1:
            return
        try:
            self.opened.on_best(self.study, self.opened.directory, self.opened.config)
        except Exception as error:  # of the disk: it is not worth a search
            log.warning(f"Could not export the best trial so far: {type(error).__name__}: {error}")

    def _save(self) -> None:
        write_results(self.study, self.opened.directory)

    def _overrides(self, trial: optuna.Trial) -> tuple[str, ...]:
        return self.space.overrides(trial.params)

    def _describe(self, trial: optuna.Trial | FrozenTrial) -> str:
        rung, climb = trial.user_attrs.get(RUNG), self.settings["climb"]
        if rung is None or not climb:
            return progress.format_params(trial.params)
        return f"{rung}  {progress.format_params({k: v for k, v in trial.params.items() if k != climb['key']})}"

    def _refresh(self) -> None:
        self.trials = self.study.get_trials(deepcopy=False)

    def _announce(self) -> None:
        total = f" of {self.total}" if math.isfinite(self.total) else ""
        log.info(
            f"Study {self.study.study_name}: {len(counted(self.trials))}{total} trials done, "
            f"{type(self.study.sampler).__name__}, {type(self.study.pruner).__name__}, "
            f"results in {self.opened.directory}"
        )

    def _run_trials(self) -> None:
        """Keep every worker busy until nothing is left to start, and no job runs."""
        jobs: dict[Future[JobReturn], Job] = {}
        while True:
            self.signals.raise_dropped()
            while len(jobs) < self.workers.n and (job := self._next_job(list(jobs.values()))) is not None:
                jobs[self.workers.submit(job.overrides, job.trial.number, job.helps)] = job
            if not jobs and not self._wait_for_others():
                return
            for future in self.workers.wait(list(jobs), _LOOK_S):
                job = jobs.pop(future)
                if job.helps:
                    self.helpers.end(job.trial.number, future)
                elif self._finish(job.trial, future):
                    jobs[self.workers.submit(job.overrides, job.trial.number)] = job

    def _keep_time(self) -> None:
        """Keep as much time as the finalists, and what is written after them, are expected to take."""
        self.tally.update(self.trials)
        closing = min(_CLOSING_S, _CLOSING * (self.settings["timeout"] or 0.0))
        self.limits.reserve = self.tally.finalists_seconds(self.plan) + closing

    def _next_job(self, jobs: Sequence[Job]) -> Job | None:
        """What a free worker does: a trial, or where there is none, or nothing to prune one by, help; None for nothing.

        Args:
            jobs: Those that run.
        """
        n_complete = sum(
            t.state == TrialState.COMPLETE and t.user_attrs.get(RUNG) == self.asker.rung for t in self.trials
        )
        if n_complete < self.plan.n_startup and (helper := self.helpers.next(jobs)) is not None:
            return helper
        while (trial := self._claim()) is not None:
            log.info(f"{self.noun} {trial.number}{progress.of(self.total)}  {self._describe(trial)}".rstrip())
            if not self._is_known(trial):
                job = Job(trial, self._overrides(trial))
                trial.set_user_attr(OVERRIDES, job.overrides)
                return job
        return None if self.limits.is_reached else self.helpers.next(jobs)

    def _claim(self) -> optuna.Trial | None:
        """The next trial, if one is left that no process runs; None otherwise."""
        while self._n_left() > 0 and not self.limits.end(self.trials):
            trial_id = trial = None
            try:
                with claim_lock(storage_of(self.study), self.study.study_name):
                    self._refresh()
                    if self._n_left() <= 0:
                        return None
                    # What was interrupted goes first: of it, a new trial would take the place.
                    retry_interrupted(self.study, self.opened.baseline, self.trials)
                    drop_doubles(self.study, self.trials)
                    if self.opened.ladder is not None:
                        self.opened.ladder.prepare(self.study, self.trials, self._n_left())
                    self.asker.deadline = self._stops_at
                    trial_id = self.asker.take(self.limits.spent)
                    self._seed(trial_id)
                    self._set_budget(trial_id)
                    if isinstance(self.asker.sampler, IN_TURN):
                        trial = self._ask()
            except ClaimLostError:
                if trial_id is not None:
                    self.asker.give_back(trial_id)
                    self.running = {number: id_ for number, id_ in self.running.items() if id_ != trial_id}
                self._refresh()
            else:
                return trial or self._ask()
        return None

    def _seed(self, trial_id: int) -> None:
        """Ask the sampler of the trial's rung.

        Its seed is moved on by the number of the first trial that it is asked for, which no other process has.
        """
        rung = self.asker.rung
        if rung not in self.samplers:
            number = storage_of(self.study).get_trial_number_from_id(trial_id)
            part = self.opened.climb.fraction if self.opened.climb is not None else 1.0
            self.samplers[rung] = make_sampler(self.settings["sampler"], self.space, number, part)
        self.asker.sampler = self.study.sampler = self.samplers[rung]

    def _set_budget(self, trial_id: int) -> None:
        """Say when a new trial pauses."""
        if (ladder := self.opened.ladder) is None:
            return
        trial = storage_of(self.study).get_trial(trial_id)
        if BUDGET not in trial.user_attrs and (budget := ladder.budget(trial)) is not None:
            storage_of(self.study).set_trial_user_attr(trial_id, BUDGET, budget)

    @property
    def _stops_at(self) -> float:
        """When a trial that begins is asked to stop, in seconds since 1970."""
        return self.limits.deadline - self.limits.reserve

    def _n_left(self) -> float:
        """Trials that are still to be started, by this process or another one."""
        return self.total - len(counted(self.trials)) - sum(t.state == TrialState.RUNNING for t in self.trials)

    def _wait_for_others(self) -> bool:
        """Wait a little where trials of other processes are still running, which may fail; False if there are none."""
        if self.limits.is_reached or not any(t.state == TrialState.RUNNING for t in self.trials):
            return False
        if not self.is_waiting:
            log.info("Waiting for trials of other processes")
        self.is_waiting = True
        time.sleep(_LOOK_S)
        fail_dead(self.study)
        self._refresh()
        return True

    def _ask(self) -> optuna.Trial:
        trial = self.asker.ask()
        self.running[trial.number] = id_of(trial)
        self._suggest(trial)
        if self.opened.hook is not None:
            self.opened.hook(self.opened.config, trial)
        return trial

    def _suggest(self, trial: optuna.Trial) -> None:
        self.space.suggest(trial)

    def _is_known(self, trial: optuna.Trial) -> bool:
        """Whether an earlier trial had the same parameters, whose result is told then."""
        is_new = RETRY_OF not in trial.user_attrs
        twin = find_twin(trial, self.trials) if is_new and self.settings["skip_duplicates"] else None
        if twin is None:
            return False
        outcome = take_over(trial, twin)
        self._tell(trial, storage_of(self.study).get_trial(id_of(trial)), outcome)
        return True

    def _finish(self, trial: optuna.Trial, future: Future[JobReturn]) -> bool:
        """Judge a job and tell the study; whether it is to be launched again instead."""
        stored = storage_of(self.study).get_trial(id_of(trial))
        try:
            job = future.result()
        except SystemExit as error:
            self.signals.raise_dropped()  # which raise it too
            self._tell(trial, stored, Outcome(TrialState.FAIL, cause=f"the task ended with SystemExit: {error}"))
            self.limits.require_few_failures(self.trials)
            return False
        except Exception as error:
            if (cause := death(error)) is None:
                raise
            if (fault := fault_of(None, self.opened.directory)) is not None:
                raise fault from error
            self._bury(trial, stored, cause)
            return False
        outcome = judge(job, stored, self.opened.objectives)
        attempt = stored.user_attrs.get(ATTEMPT, 0) + 1
        if attempt <= self.settings["retries"] and outcome.is_worth_retrying(self.settings["retry_on"]):
            log.warning(f"{self.noun} {trial.number} again, attempt {attempt + 1}: {outcome.cause}")
            with suppress(UpdateFinishedTrialError):  # another process took it for dead: see _tell
                trial.set_user_attr(ATTEMPT, attempt)
                return True
        if outcome.state == TrialState.COMPLETE:
            outcome = self._constrain(trial, stored, job) or outcome
        if outcome.state == TrialState.FAIL:
            self.signals.raise_dropped()  # which may be what it failed of
            if (fault := fault_of(outcome.error, self.opened.directory)) is not None:
                raise fault
        promising = any(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.trials)
        hopeless = outcome.error if isinstance(outcome.error, InputError) and not promising else None
        if hopeless is not None:
            # What is put right is no part of the trial: it does not count, and the same command tries it again.
            outcome = Outcome(TrialState.FAIL, cause=outcome.cause, interrupted="input")
        self._tell(trial, stored, outcome)
        if hopeless is not None:
            raise hopeless
        if outcome.state == TrialState.FAIL:
            self.limits.require_few_failures(self.trials)
        return False

    def _constrain(self, trial: optuna.Trial, stored: FrozenTrial, job: JobReturn) -> Outcome | None:
        """Record by how much a trial misses its constraints; the failure of one that gave no number for them."""
        try:
            for key, excess in violations(self.settings["constraints"] or {}, stored, job).items():
                trial.set_constraint(key, excess)
        except UpdateFinishedTrialError:  # see _tell
            pass
        except ValueError as error:
            return Outcome(TrialState.FAIL, cause=str(error))
        return None

    def _bury(self, trial: optuna.Trial, stored: FrozenTrial, cause: str) -> None:
        """End a trial whose worker died: it is tried once more, and then it has failed."""
        again = not died_before(stored, self.trials)
        self._tell(trial, stored, Outcome(TrialState.FAIL, cause=cause, interrupted="process" if again else None))
        if not again:
            self.limits.require_few_failures(self.trials)

    def _tell(self, trial: optuna.Trial, stored: FrozenTrial, outcome: Outcome) -> None:
        self.running.pop(trial.number)
        try:
            tell(self.study, stored, outcome)
        except UpdateFinishedTrialError:  # another process took this one for dead
            log.warning(f"trial {trial.number} was ended by another process meanwhile; its local result is discarded")
        self._refresh()
        former = self.tally.best
        self._keep_time()
        if self.tally.best != former:
            self._on_best()
        line = progress.end_line(
            self.trials[trial.number],
            self.trials,
            directions=self.study.directions,
            total=self.total,
            noun=self.noun,
            objectives=self.opened.labels,
            seconds_left=self.tally.seconds_left(self.plan, self.limits.deadline),
            others={k: v for k, v in (self.settings["labels"] or {}).items() if k not in self.opened.objectives},
        )
        log.info(line)
        self.live.look()
