"""Running the finalists of a search: the study that they are in, and the search's loop over it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from docclf.safety.untrusted import reading
from docclf.sweeper.optuna_private import id_of, storage_of
from docclf.sweeper.run.finalists.entrants import Entrant, best_reference, choose_finalists, members_of
from docclf.sweeper.run.opening.study import SearchContext
from docclf.sweeper.run.search import Search
from docclf.sweeper.run.trial_queue import TrialQueue
from docclf.sweeper.run.workers.pool import Workers
from docclf.sweeper.space.finalist_overrides import apart, to_overrides
from docclf.sweeper.space.grammar import draw
from docclf.sweeper.storage.patience import in_a_hurry
from docclf.sweeper.storage.places import FINALISTS
from docclf.sweeper.study.attributes import CURRENT, EXPECTED, FINALIST, MEMBER, REFERENCE, RETRY_OF, WANTED
from docclf.sweeper.study.finalists import (
    is_scored_here,
    keeping,
    mark,
    open_finalists,
    release,
    scored,
    source_number,
    take,
)
from docclf.sweeper.study.process import steady_now
from docclf.sweeper.study.queue import drop_foreign, retry_interrupted
from docclf.sweeper.study.trials import best_trials, counted, fail_stale, how_scored, interrupt

log = logging.getLogger(__name__)


def run_finalists(context: SearchContext, workers: Workers) -> None:
    """Score the finalists of a search that has ended, as far as they are not scored yet.

    Raises:
        SearchError: All of them failed.
        SystemExit: A signal ended it; everything that finished is saved.
    """
    settings, study = context.settings.finalists, context.study
    if not settings.top_k or len(study.directions) > 1:
        return
    trials = study.get_trials(deepcopy=False)
    wanted = choose_finalists(trials, study.direction, settings.top_k)
    if not wanted:
        return
    with reading("a study", context.directory):
        finalists = open_finalists(study, settings.race)
        scored(study)
    overrides = to_overrides(settings.overrides)
    # The best one goes first: where there is no time for more, it wins without a comparison.
    first = best_trials(wanted, study.direction)[:1]
    in_turn = [*first, *(trial for trial in wanted if trial not in first)]
    entrants = {mark(trial.number, overrides): Entrant.of(trial, trials) for trial in in_turn}
    if not take(finalists, entrants, context.directory):
        return
    try:
        with keeping(study):
            if not _score(entrants, context, workers, finalists):
                former = "what finalists came to before stands"
                stands = former if scored(study) else "the best trial wins by its search score"
                log.info(f"No finalist finished, so {stands}")
                return
            for choose in (best_reference, members_of):
                if more := choose(context):
                    entrants |= more
                    _score(entrants, context, workers, finalists)
    except BaseException:
        with in_a_hurry():
            release(study)
        raise


def _score(entrants: Mapping[str, Entrant], context: SearchContext, workers: Workers, finalists: optuna.Study) -> bool:
    """Run those that are not scored yet, and say who counts; whether any of them came to its end."""
    finalists.set_user_attr(WANTED, list(entrants))
    fail_stale(finalists)
    missing = _queue(finalists, entrants, context.directory)
    if missing:
        total = len(counted(finalists.get_trials(deepcopy=False))) + missing
        request = replace(context.request, first=None, entries={}, climb=None)
        # Nothing is exported meanwhile: who wins is said when all are scored.
        again = replace(context, study=finalists, total=total, request=request, known=[], ladder=None, on_best=None)
        _Final(again, workers).run()
    # Until here, the finalists of the last run count. They still do where they were scored in the same way: that a
    # trial found since took their place by its score in the search says nothing against them.
    way = " ".join(to_overrides(context.settings.finalists.overrides))
    alike = [t for t in finalists.get_trials(deepcopy=False) if how_scored(t) == way]
    has_any = any(t.state == TrialState.COMPLETE for t in alike)
    if has_any:  # without one, those that were scored otherwise go on to count
        finalists.set_user_attr(CURRENT, list({t.user_attrs[FINALIST]: None for t in alike}))
    return has_any


class _FinalistQueue(TrialQueue):
    """Trials out of a queue that is filled already."""

    def choose_sampler(self, trial_id: int) -> None:
        """Nothing: no parameter is drawn."""

    def suggest(self, trial: optuna.Trial) -> None:
        """Take what is queued and no more: what a reference leaves open, the config decides."""
        queued = storage_of(self.study).get_trial(id_of(trial)).system_attrs.get("fixed_params", {})
        for name, distribution in self.space.distributions.items():
            if name in queued:
                draw(trial, name, distribution)

    def n_left(self) -> int:
        """Those in the queue, beyond which the loop would draw new ones; 0 if there is no time for the next one."""
        retry_interrupted(self.study)
        self.refresh()
        waiting = [trial for trial in self.trials if trial.state == TrialState.WAITING]
        needed = waiting[0].user_attrs.get(EXPECTED, 0.0) if waiting else 0.0
        if steady_now() + needed <= self.limits.stops_at:
            return len(waiting)
        if waiting and not self.limits.is_reached:
            coming = f"{len(waiting)} finalists" if len(waiting) > 1 else "finalist"
            log.info(f"Too little of the time budget is left for the remaining {coming}")
        self.limits.is_reached = True
        return 0


class _Final(Search):
    """The search's loop over that queue."""

    noun = "finalist"
    queue_class = _FinalistQueue

    def __init__(self, context: SearchContext, workers: Workers) -> None:
        settings = context.settings
        pruner: Any = {"_target_": "Race" if settings.finalists.race else "NopPruner"}
        alone = replace(settings, pruner=pruner, finalists=replace(settings.finalists, top_k=0))
        alone.stop_when_stagnant, alone.skip_duplicates, alone.max_failure_rate = None, False, 1.0
        alone.constraints = None  # who was allowed by them is so here, where another validation may take longer
        super().__init__(replace(context, settings=alone), workers)
        self.final_overrides = to_overrides(settings.finalists.overrides)

    def _prepare(self) -> None:
        self.queue.refresh()

    def _announce(self) -> None:
        log.info(f"Finalists, re-evaluated with {' '.join(self.final_overrides)}")

    def _save(self) -> None:
        """Nothing: what the search came to is saved."""

    def _require_a_success(self) -> None:
        """Raise SearchError where all that were asked for failed."""
        wanted = self.study.user_attrs[WANTED]
        theirs = (trial for trial in self.queue.trials if trial.user_attrs.get(FINALIST) in wanted)
        last = {trial.user_attrs[FINALIST]: trial for trial in theirs}
        way_out = (
            f"Their logs are in the folder {FINALISTS}. Fix the cause and give the same command again, which tries "
            "them again, or do without them: hydra.sweeper.finalists.top_k=0"
        )
        self.limits.require_a_success(list(last.values()), self.noun, way_out)

    def _overrides(self, trial: optuna.Trial) -> tuple[str, ...]:
        name = trial.user_attrs.get(REFERENCE)
        given = to_overrides((self.settings.finalists.references or {}).get(name, {}))
        own = apart([*super()._overrides(trial), *self.final_overrides], given)
        return (*own, *given, f"hydra.sweep.subdir={FINALISTS}/{trial.number}")

    def describe(self, trial: optuna.Trial | FrozenTrial) -> str:
        """Whom it re-evaluates, and what that tried."""
        if (name := trial.user_attrs.get(REFERENCE)) not in (None, MEMBER):
            return f"reference {name}: {super().describe(trial)}"
        return f"trial {source_number(trial)}: {super().describe(trial)}"


def _queue(finalists: optuna.Study, entrants: Mapping[str, Entrant], directory: Path) -> int:
    """Queue who is not scored or queued yet, and take out of the queue who is not asked for any more.

    Who was scored on a machine that does not share the search's folder is re-evaluated if anyone has to be: its
    predictions are wanted.

    Returns:
        How many are queued.
    """
    drop_foreign(finalists, finalists.get_trials(deepcopy=False))
    known: dict[str, FrozenTrial] = {}
    for trial in finalists.get_trials(deepcopy=False):
        name = trial.user_attrs.get(FINALIST, "")
        if trial.state == TrialState.WAITING and name not in entrants:
            interrupt(finalists, id_of(trial), "unwanted", "not among the finalists any more")
        known[name] = trial
    queued = 0
    for name, entrant in entrants.items():
        last = known.get(name)
        if last is not None and is_scored_here(last, directory):
            continue
        queued += 1
        if last is not None and last.state == TrialState.WAITING:
            continue
        attributes = {FINALIST: name} | ({RETRY_OF: last.number} if last is not None else {})
        finalists.enqueue_trial(dict(entrant.params), user_attrs={**attributes, **entrant.attributes})
    return queued
