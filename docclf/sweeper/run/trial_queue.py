"""The trials of a search, and which is next: what is queued, what was interrupted, or what the sampler draws."""

from __future__ import annotations

import time
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import DocclfError, SearchError, error_text
from docclf.safety.faults import fault_of
from docclf.sweeper.optuna_private import storage_of
from docclf.sweeper.run.asker import Asker
from docclf.sweeper.run.limits import Limits
from docclf.sweeper.run.opening.study import SearchContext
from docclf.sweeper.storage.claims import ClaimLostError, claim_lock
from docclf.sweeper.strategy.samplers import IN_TURN, make_sampler
from docclf.sweeper.study.attributes import BEAT, BUDGET, ROLE
from docclf.sweeper.study.process import steady_now
from docclf.sweeper.study.queue import drop_foreign, drop_queued_twice, retry_interrupted
from docclf.sweeper.study.starting_points import enqueue
from docclf.sweeper.study.trials import counted, interrupt


class TrialQueue:
    """Gives one trial after the other, each to one process of however many search a study."""

    def __init__(self, context: SearchContext, limits: Limits) -> None:
        self.context, self.limits = context, limits
        self.study, self.space = context.study, context.request.space
        self.trials: list[FrozenTrial] = []  # all, in the order of their numbers, as at the last `refresh`
        self.running: dict[int, int] = {}  # number of each trial that this process runs to its id in the storage
        self.asker = Asker(context.study, known=context.known, climb=context.request.climb)
        self.samplers: dict[str | None, optuna.samplers.BaseSampler] = {}  # by rung: each is a search of its own
        self._is_begun = False  # whether what is tried first is queued: with the claim, since two would queue it twice
        self.drawn_by_hook: set[str] = set()  # names of parameters that the space has not

    def refresh(self) -> None:
        """Look at the study again."""
        self.trials = self.study.get_trials(deepcopy=False)

    @property
    def n_counted(self) -> int:
        """Trials that count towards the total."""
        return len(counted(self.trials))

    @property
    def n_running(self) -> int:
        """Trials that run, of other processes too."""
        return sum(trial.state == TrialState.RUNNING for trial in self.trials)

    def beat(self) -> None:
        """Say in the storage that the trials of this process live."""
        for trial_id in list(self.running.values()):
            with suppress(UpdateFinishedTrialError):
                storage_of(self.study).set_trial_user_attr(trial_id, BEAT, time.time())

    def interrupt(self, why: str, cause: str) -> None:
        """Fail the trials of this process, whose parameters shall be tried again.

        Args:
            why: See `docclf.sweeper.study.attributes.INTERRUPTED`.
            cause: In words.
        """
        for trial_id in list(self.running.values()):
            interrupt(self.study, trial_id, why, cause)

    def next(self) -> optuna.Trial | None:
        """The next trial, if one is left that no process runs; None otherwise."""
        while self.n_left() > 0 and not self.limits.is_over(self.trials):
            trial_id = trial = None
            try:
                with claim_lock(storage_of(self.study), self.study.study_name):
                    self.refresh()
                    ladder, n_left = self.context.ladder, self.n_left()
                    # Of a ladder, the trials that are left may be kept for others.
                    if n_left <= 0 or (ladder is not None and ladder.is_waiting(self.trials, n_left)):
                        return None
                    trial_id = self._take()
                    if isinstance(self.study.sampler, IN_TURN):
                        trial = self._ask(trial_id)
            except ClaimLostError:
                if trial_id is not None:
                    # Another process may have taken the last one meanwhile.
                    interrupt(self.study, trial_id, "claim", "the database was away while it was begun")
                    self.running = {n: id_ for n, id_ in self.running.items() if id_ != trial_id}
                self.refresh()
            else:
                return trial or self._ask(trial_id)
        return None

    def n_left(self) -> float:
        """Trials that are still to be started, by this process or another one."""
        return self.context.total - self.n_counted - self.n_running

    def _take(self) -> int:
        """Take a trial, whose parameters `_ask` then draws; its id in the storage."""
        if not self._is_begun:
            self._is_begun = True
            request = self.context.request
            if not self.trials and request.first is not None:
                self.study.enqueue_trial(request.first, user_attrs={ROLE: "baseline"})
            enqueue(self.study, request.entries)
            self.refresh()
        # What was interrupted goes first: of it, a new trial would take the place.
        retry_interrupted(self.study, self.trials)
        drop_queued_twice(self.study, self.trials)
        drop_foreign(self.study, self.trials)
        if self.context.ladder is not None:
            seconds_left = self.limits.stops_at - steady_now()
            self.context.ladder.prepare(self.study, self.trials, self.n_left(), seconds_left)
        self.asker.deadline = self.limits.stops_at
        trial_id = self.asker.take(self.limits.spent)
        self.choose_sampler(trial_id)
        self._set_budget(trial_id)
        return trial_id

    def choose_sampler(self, trial_id: int) -> None:
        """Ask the sampler of the trial's rung.

        Its seed is moved on by the number of the first trial that it is asked for, which no other process has.
        """
        rung = self.asker.rung
        if rung not in self.samplers:
            number = storage_of(self.study).get_trial_number_from_id(trial_id)
            climb = self.context.request.climb
            part = climb.fraction if climb is not None else 1.0
            self.samplers[rung] = make_sampler(self.context.settings.sampler, self.space, number, part)
        self.study.sampler = self.samplers[rung]

    def _set_budget(self, trial_id: int) -> None:
        """Say when a new trial pauses."""
        if (ladder := self.context.ladder) is None:
            return
        trial = storage_of(self.study).get_trial(trial_id)
        if BUDGET not in trial.user_attrs and (budget := ladder.budget(trial)) is not None:
            storage_of(self.study).set_trial_user_attr(trial_id, BUDGET, budget)

    def _ask(self, trial_id: int) -> optuna.Trial:
        try:
            trial = self.asker.ask(trial_id)
            self.running[trial.number] = trial_id
            self.suggest(trial)
        except Exception as error:
            if isinstance(error, DocclfError | ClaimLostError) or fault_of(error) is not None:
                raise
            raise SearchError(
                f"Expected {type(self.study.sampler).__name__} to draw a trial, got {error_text(error)}. "
                "Everything that finished is saved. To go on, say hydra/sweeper/sampler=random."
            ) from error
        if self.context.hook is not None:
            before = trial.params.keys()
            self.context.hook(self.context.config, trial)
            self.drawn_by_hook |= trial.params.keys() - before
        return trial

    def suggest(self, trial: optuna.Trial) -> None:
        """Draw what a trial tries."""
        self.space.suggest(trial)
