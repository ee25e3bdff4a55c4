"""The next trial of a search: what is queued, what was interrupted, or what the sampler draws."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from docclf.errors import DocclfError, SearchError, error_text
from docclf.safety.faults import fault_of
from docclf.sweeper.config import Settings
from docclf.sweeper.optuna_private import id_of, storage_of
from docclf.sweeper.run.ledger import Ledger
from docclf.sweeper.run.limits import Limits
from docclf.sweeper.run.opening.study import SearchContext
from docclf.sweeper.run.owned_study import OwnedStudy
from docclf.sweeper.storage.claims import ClaimLostError, claim_lock
from docclf.sweeper.strategy.samplers import IN_TURN, make_sampler
from docclf.sweeper.study.attributes import BUDGET
from docclf.sweeper.study.process import steady_now
from docclf.sweeper.study.queue import drop_foreign, drop_queued_twice, retry_interrupted
from docclf.sweeper.study.trials import fail_stale


class TrialQueue:
    """Gives one trial after the other, each to one process of however many search a study."""

    def __init__(self, settings: Settings, context: SearchContext, ledger: Ledger, limits: Limits) -> None:
        self.settings, self.context, self.ledger, self.limits = settings, context, ledger, limits
        self.study, self.space = context.study, context.asked.space
        self.owned = OwnedStudy(
            context.study,
            known=context.known,
            baseline=context.asked.first,
            entries=context.asked.entries,
            on_first=context.queue_entries,
            climb=context.asked.climb,
        )
        self.samplers: dict[str | None, optuna.samplers.BaseSampler] = {}  # by rung: each is a search of its own
        self.drawn_by_hook: set[str] = set()
        """Names of parameters that the space has not."""

    def prepare(self) -> None:
        """Fill the queue with what is tried first."""
        fail_stale(self.study)
        self.ledger.refresh()
        # Of a new study, whoever gets trial 0 does this: two at once would queue every entry twice.
        if self.ledger.trials and self.ledger.trials[0].state != TrialState.RUNNING:
            self.context.queue_entries()
        self.ledger.refresh()

    def next(self) -> optuna.Trial | None:
        """The next trial, if one is left that no process runs; None otherwise."""
        while self.n_left() > 0 and not self.limits.is_over(self.ledger.trials):
            trial_id = trial = None
            try:
                with claim_lock(storage_of(self.study), self.study.study_name):
                    self.ledger.refresh()
                    if self.n_left() <= 0 or self._is_kept():
                        return None
                    trial_id = self._take()
                    if isinstance(self.owned.sampler, IN_TURN):
                        trial = self._ask()
            except ClaimLostError:
                if trial_id is not None:
                    self.owned.give_back(trial_id)
                    self.ledger.running = {n: id_ for n, id_ in self.ledger.running.items() if id_ != trial_id}
                self.ledger.refresh()
            else:
                return trial or self._ask()
        return None

    def n_left(self) -> float:
        """Trials that are still to be started, by this process or another one."""
        return self.context.total - len(self.ledger.counted) - self.ledger.n_running

    def _is_kept(self) -> bool:
        """Whether the trials that are left are not for now."""
        ladder = self.context.ladder
        return ladder is not None and ladder.is_waiting(self.ledger.trials, self.n_left())

    def _take(self) -> int:
        """Take a trial, whose parameters `_ask` then draws; its id in the storage."""
        trials = self.ledger.trials
        # What was interrupted goes first: of it, a new trial would take the place.
        retry_interrupted(self.study, self.context.asked.first, trials)
        drop_queued_twice(self.study, trials)
        drop_foreign(self.study, trials)
        if self.context.ladder is not None:
            seconds_left = self.limits.stops_at - steady_now()
            self.context.ladder.prepare(self.study, trials, self.n_left(), seconds_left)
        self.owned.deadline = self.limits.stops_at
        trial_id = self.owned.take(self.limits.spent)
        self.choose_sampler(trial_id)
        self._set_budget(trial_id)
        return trial_id

    def choose_sampler(self, trial_id: int) -> None:
        """Ask the sampler of the trial's rung.

        Its seed is moved on by the number of the first trial that it is asked for, which no other process has.
        """
        rung = self.owned.rung
        if rung not in self.samplers:
            number = storage_of(self.study).get_trial_number_from_id(trial_id)
            climb = self.context.asked.climb
            part = climb.fraction if climb is not None else 1.0
            self.samplers[rung] = make_sampler(self.settings.sampler, self.space, number, part)
        self.owned.sampler = self.study.sampler = self.samplers[rung]

    def _set_budget(self, trial_id: int) -> None:
        """Say when a new trial pauses."""
        if (ladder := self.context.ladder) is None:
            return
        trial = storage_of(self.study).get_trial(trial_id)
        if BUDGET not in trial.user_attrs and (budget := ladder.budget(trial)) is not None:
            storage_of(self.study).set_trial_user_attr(trial_id, BUDGET, budget)

    def _ask(self) -> optuna.Trial:
        try:
            trial = self.owned.ask()
            self.ledger.running[trial.number] = id_of(trial)
            self.suggest(trial)
        except Exception as error:
            if isinstance(error, DocclfError | ClaimLostError) or fault_of(error) is not None:
                raise
            raise SearchError(
                f"Expected {type(self.owned.sampler).__name__} to draw a trial, got {error_text(error)}. "
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
