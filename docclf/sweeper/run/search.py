"""The search itself: ask, launch and tell until the budget is spent."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NoReturn

import optuna
from hydra.core.utils import JobReturn
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import DocclfError, MachineError, error_text
from docclf.safety.faults import fault_of
from docclf.sweeper.run.endings import Endings
from docclf.sweeper.run.limits import TICK_S, Limits
from docclf.sweeper.run.opening.study import SearchContext
from docclf.sweeper.run.trial_queue import TrialQueue
from docclf.sweeper.run.workers.pool import Helpers, Job, Workers
from docclf.sweeper.screen import progress
from docclf.sweeper.screen.forecast import make_plan
from docclf.sweeper.screen.live import Live
from docclf.sweeper.storage.patience import in_a_hurry
from docclf.sweeper.study.attributes import OVERRIDES, RUNG
from docclf.sweeper.study.process import EndingSignals, Heartbeat
from docclf.sweeper.study.record import write_results
from docclf.sweeper.study.tally import Tally
from docclf.sweeper.study.trials import BEAT_S, fail_stale

log = logging.getLogger(__name__)

# Seconds after which a search with jobs elsewhere looks at what else has happened.
_LOOK_S = 1.0
# So many draws in a row that were tried before, and a finite space is taken for searched.
_ENOUGH = 100
# Of the time budget, for export and report: so many seconds, or such a part of a short one.
_CLOSING_S, _CLOSING = 3.0, 0.05


class Search:
    """One run of a sweep, which closes its workers when it is cut short."""

    noun = "trial"
    queue_class: type[TrialQueue] = TrialQueue

    def __init__(self, context: SearchContext, workers: Workers) -> None:
        self.settings, self.context, self.workers = context.settings, context, workers
        self.study = context.study
        climb = context.request.climb
        last_rung = climb.rungs[-1] if climb is not None else None
        self.limits = Limits(self.settings, context.study.directions, context.clock.deadline, last_rung)
        self.queue = self.queue_class(context, self.limits)
        self.signals = EndingSignals()
        self.endings = Endings(self.queue, self.signals, self.noun, self._report)
        is_single = len(context.study.directions) == 1
        self.plan = make_plan(self.settings, context.total, workers.n, is_single=is_single, climb=climb)
        self.tally = Tally(context.study.directions)
        self.is_waiting = False
        self.n_repeats = 0  # trials in a row that were tried before
        self.helpers = Helpers(self.settings.helpers if workers.has_processes else 0, self.noun)
        self.live = Live(self, workers.screen)

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
        clock = Heartbeat(self.context.clock.tick, TICK_S)
        with self.signals as signals, Heartbeat(self.queue.beat, BEAT_S), clock, self.live:
            try:
                self._run_trials()
            except BaseException as error:
                signals.end_once()
                self.workers.close()
                # A signal that comes while a config is composed may be raised as another error.
                if not isinstance(error, KeyboardInterrupt | SystemExit) and not signals.is_received:
                    if (fault := fault_of(error, self.context.directory)) is not None:
                        self._give_up(fault)
                    if isinstance(error, DocclfError):  # of one trial: the others were well
                        self.queue.interrupt("search", "interrupted: the search ended")
                    self._end()
                    raise
                go_on = progress.this_command()
                log.warning(f"Interrupted. Finished trials are saved. Continue with:\n  {go_on}")
                with in_a_hurry():
                    # Asked for, so no sign of what kills a process.
                    self.queue.interrupt("signal", "interrupted by a signal")
                    self._end()
                raise SystemExit(signals.exit_code) from None
            self._end()
        self._require_a_success()

    def _give_up(self, fault: MachineError) -> NoReturn:
        """End the search with a fault of the machine, which may keep that from being recorded."""
        try:
            with in_a_hurry():
                self.queue.interrupt("machine", str(fault))
                self._end()
        except Exception as error:
            lost = "Running trials could not be recorded as interrupted; the same command again retries them"
            log.warning(f"{lost}: {type(error).__name__}")
        raise fault

    def _prepare(self) -> None:
        """Look at what earlier runs have left."""
        fail_stale(self.study)
        self.queue.refresh()
        self._keep_time()
        if self.tally.best[0] is not None:  # a run that was killed may not have come to its export
            self._on_best()

    def _require_a_success(self) -> None:
        way_out = "fix the cause, and give the command again with a larger n_trials, or another study."
        self.limits.require_a_success(self.queue.trials, self.noun, f"They are not tried again: {way_out}")

    def _end(self) -> None:
        fail_stale(self.study)
        self.context.clock.tick()
        self._save()

    def _on_best(self) -> None:
        """Have what is exported of the best trial so far brought up to date; where that fails, the end does it."""
        if self.context.on_best is None or len(self.study.directions) > 1:
            return
        try:
            self.context.on_best(self.study, self.context.directory, self.context.config)
        except Exception as error:  # of the disk: it is not worth a search
            log.warning(f"Could not export the best trial so far: {error_text(error)}")

    def _save(self) -> None:
        write_results(self.study, self.context.directory)

    def _overrides(self, trial: optuna.Trial) -> tuple[str, ...]:
        return self.context.request.space.overrides(trial.params, self.queue.drawn_by_hook)

    def describe(self, trial: optuna.Trial | FrozenTrial) -> str:
        """What a trial tries."""
        rung, climb = trial.user_attrs.get(RUNG), self.settings.climb
        if rung is None or not climb:
            return progress.format_params(trial.params)
        return f"{rung}  {progress.format_params({k: v for k, v in trial.params.items() if k != climb.key})}"

    def _announce(self) -> None:
        total = f" of {self.context.total}" if math.isfinite(self.context.total) else ""
        log.info(
            f"Study {self.study.study_name}: {self.queue.n_counted}{total} trials done, "
            f"{type(self.study.sampler).__name__}, {type(self.study.pruner).__name__}, "
            f"results in {self.context.directory}"
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
                elif self.endings.finish(job.trial, future):
                    jobs[self.workers.submit(job.overrides, job.trial.number)] = job

    def _keep_time(self) -> None:
        """Keep as much time as the finalists, and what is written after them, are expected to take."""
        self.tally.update(self.queue.trials)
        closing = min(_CLOSING_S, _CLOSING * (self.settings.timeout or 0.0))
        self.limits.reserve = self.tally.finalists_seconds(self.plan) + closing

    def _next_job(self, jobs: Sequence[Job]) -> Job | None:
        """What a free worker does: a trial, or where there is none, or nothing to prune one by, help; or None."""
        complete = (t for t in self.queue.trials if t.state == TrialState.COMPLETE)
        n_complete = sum(t.user_attrs.get(RUNG) == self.queue.asker.rung for t in complete)
        if n_complete < self.plan.n_startup and (helper := self.helpers.next(jobs)) is not None:
            return helper
        while not self._is_exhausted() and (trial := self.queue.next()) is not None:
            self.signals.raise_dropped()
            of = progress.of(self.context.total, trial.number)
            log.info(f"{self.noun} {trial.number}{of}  {self.describe(trial)}".rstrip())
            self.n_repeats += 1
            if not self.endings.reuse(trial):
                self.n_repeats = 0
                job = Job(trial, self._overrides(trial))
                trial.set_user_attr(OVERRIDES, job.overrides)
                self.live.look()
                return job
        return None if self.limits.is_reached else self.helpers.next(jobs)

    def _is_exhausted(self) -> bool:
        """Whether a search that only time limits draws nothing new any more."""
        if self.n_repeats == _ENOUGH and math.isinf(self.context.total):
            log.info(f"The last {_ENOUGH} suggestions repeat earlier trials: the search space is exhausted")
            self.n_repeats += 1  # said once
        return self.n_repeats > _ENOUGH and math.isinf(self.context.total)

    def _wait_for_others(self) -> bool:
        """Wait a little where trials of other processes are still running, which may fail; False if there are none."""
        if not self.queue.n_running or self.limits.is_over(self.queue.trials):
            return False
        if not self.is_waiting:
            log.info("Waiting for trials of other processes")
        self.is_waiting = True
        time.sleep(_LOOK_S)
        fail_stale(self.study)
        self.queue.refresh()
        return True

    def _report(self, number: int) -> None:
        """Say how a trial ended, and have ready what follows from it."""
        former = self.tally.best
        self._keep_time()
        if self.tally.best != former:
            self._on_best()
        line = progress.end_line(
            self.queue.trials[number],
            self.tally.best[0] if len(self.tally.best) == 1 else None,
            total=self.context.total,
            noun=self.noun,
            objectives=self.context.labels,
            seconds_left=self.tally.seconds_left(self.plan, self.limits.deadline),
            others={k: v for k, v in (self.settings.labels or {}).items() if k not in self.context.request.objectives},
        )
        log.info(line)
        self.live.look()
