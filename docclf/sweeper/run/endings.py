"""What becomes of a trial whose job has ended, or need not run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import optuna
from hydra.core.utils import JobReturn
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import InputError, error_text, safe_text
from docclf.safety.faults import fault_of
from docclf.sweeper.job.task import TaskEndedError
from docclf.sweeper.optuna_private import id_of, storage_of
from docclf.sweeper.run.trial_queue import TrialQueue
from docclf.sweeper.run.workers.launchers import death
from docclf.sweeper.study.attributes import ATTEMPT, RETRY_OF
from docclf.sweeper.study.outcome import Outcome, find_twin, outcome_of, take_over, tell, violations
from docclf.sweeper.study.process import EndingSignals
from docclf.sweeper.study.queue import died_before
from docclf.sweeper.study.trials import has_success

log = logging.getLogger(__name__)


class Endings:
    """Judges jobs and tells the study.

    Args:
        queue: Has the trials.
        signals: Those that may be what a job failed of.
        noun: What a trial is called.
        on_told: Called with the number of each trial that the study was told of.
    """

    def __init__(self, queue: TrialQueue, signals: EndingSignals, noun: str, on_told: Callable[[int], None]) -> None:
        self.queue, self.signals, self.noun, self.on_told = queue, signals, noun, on_told
        self.context, self.study, self.limits = queue.context, queue.study, queue.limits
        self.settings = queue.context.settings

    def reuse(self, trial: optuna.Trial) -> bool:
        """Whether an earlier trial had the same parameters, whose result is told then."""
        is_new = RETRY_OF not in trial.user_attrs
        twin = find_twin(trial, self.queue.trials) if is_new and self.settings.skip_duplicates else None
        if twin is None:
            return False
        outcome = take_over(trial, twin)
        self._tell(trial, storage_of(self.study).get_trial(id_of(trial)), outcome)
        return True

    def finish(self, trial: optuna.Trial, future: Future[JobReturn]) -> bool:
        """Judge a job and tell the study; whether it is to be launched again instead."""
        stored = storage_of(self.study).get_trial(id_of(trial))
        try:
            job = future.result()
        except SystemExit as error:  # of a task in this process
            self.signals.raise_dropped()  # which raise it too
            self._tell(trial, stored, Outcome(TrialState.FAIL, cause=safe_text(TaskEndedError.by(error))))
            self.limits.require_few_failures(self.queue.trials)
            return False
        except Exception as error:
            if (cause := death(error)) is None:
                raise
            if (fault := fault_of(None, self.context.directory)) is not None:
                raise fault from error
            self._bury(trial, stored, cause)
            return False
        outcome = outcome_of(job, stored, self.context.request.objectives)
        attempt = stored.user_attrs.get(ATTEMPT, 0) + 1
        if attempt <= self.settings.retries and outcome.is_worth_retrying(self.settings.retry_on):
            log.warning(f"{self.noun} {trial.number} again, attempt {attempt + 1}: {outcome.cause}")
            with suppress(UpdateFinishedTrialError):  # another process took it for dead: see _tell
                trial.set_user_attr(ATTEMPT, attempt)
                return True
        if outcome.state == TrialState.COMPLETE:
            outcome = self._constrain(trial, stored, job) or outcome
        if outcome.state == TrialState.FAIL:
            self.signals.raise_dropped()  # which may be what it failed of
            if (fault := fault_of(outcome.error, self.context.directory)) is not None:
                raise fault
        raised = outcome.error
        is_hopeless = isinstance(raised, InputError) and not has_success(self.queue.trials)
        if is_hopeless:
            # What is put right is no part of the trial: it does not count, and the same command tries it again.
            outcome = Outcome(TrialState.FAIL, cause=outcome.cause, interrupted="input")
        self._tell(trial, stored, outcome)
        if is_hopeless:
            raise raised
        if outcome.state == TrialState.FAIL:
            self.limits.require_few_failures(self.queue.trials)
        return False

    def _constrain(self, trial: optuna.Trial, stored: FrozenTrial, job: JobReturn) -> Outcome | None:
        """Record by how much a trial misses its constraints; the failure of one that gave no number for them."""
        try:
            found = violations(self.settings.constraints or {}, stored, job)
        except Exception as error:
            return Outcome(TrialState.FAIL, cause=safe_text(error) if type(error) is ValueError else error_text(error))
        with suppress(UpdateFinishedTrialError):  # see _tell
            for key, excess in found.items():
                trial.set_constraint(key, excess)
        return None

    def _bury(self, trial: optuna.Trial, stored: FrozenTrial, cause: str) -> None:
        """End a trial whose worker died: it is tried again, and then it has failed."""
        again = not died_before(stored, self.queue.trials)
        self._tell(trial, stored, Outcome(TrialState.FAIL, cause=cause, interrupted="process" if again else None))
        if not again:
            self.limits.require_few_failures(self.queue.trials)

    def _tell(self, trial: optuna.Trial, stored: FrozenTrial, outcome: Outcome) -> None:
        self.queue.running.pop(trial.number)
        try:
            tell(self.study, stored, outcome)
        except UpdateFinishedTrialError:  # another process took this one for dead
            log.warning(f"trial {trial.number} was ended by another process meanwhile; its local result is discarded")
        self.queue.refresh()
        self.on_told(trial.number)
