"""A search that climbs: many cheap trials first, and from the best of them on to the dear ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from docclf.errors import ConfigError, SpaceError
from docclf.sweeper.config import Settings
from docclf.sweeper.space.checks import check_keys, values_of
from docclf.sweeper.space.grammar import contains, encode, to_text
from docclf.sweeper.space.parameters import Space, key_of
from docclf.sweeper.strategy.memory import most_known
from docclf.sweeper.study.attributes import CARRIED, INTERRUPTED, RUNG
from docclf.sweeper.study.trials import best_trials, counted, last_improvement, seconds_of

# Of a rung so many go on, each half as often as the one before it.
_CANDIDATES = 3
# No rung is begun of which no trial has ended where less time is left than so often the longest trial took.
_UNKNOWN = 2.0
# A search without a total leaves a rung that brought nothing better in so many trials.
_PATIENCE = 20


@dataclass(frozen=True)
class Climb:
    """Which rung the next trial is on, and what it takes over from the rung below.

    A rung is one value of a searched key. The trials of a rung come before those of the next one, unless they are
    given: the baseline, entries and retries keep their own value. What is due follows from the trials of the study
    alone, so it does not matter which process asks, or how often the search was interrupted. A rung that was left is
    not gone back to: more trials are more of the last one.

    Half of the trials of a rung take the carried keys from the best trial below, a quarter from the second best that
    differs in them, the rest from the third. So most is spent on what looks best, as in successive halving, and yet a
    ranking by cheap trials that is a little wrong costs half of the dear ones at most. Nobody waits for a rung to end:
    with several workers, who is best is judged by what has ended. For everything else the first trial of a rung has
    the config's values, the next ones what the portfolio changes in them, and the others what the sampler draws.
    """

    key: str  # its values are the rungs
    order: tuple[Any, ...]  # these values, cheapest first, in the form of a study
    fraction: float  # of the trials that are left, and of the time, what each rung but the last gets
    carry: tuple[str, ...]  # keys that a rung takes over from the one below
    space: Space  # what is searched
    defaults: Mapping[str, Any] = field(default_factory=dict)  # key to the value that the config has without the search
    directions: tuple[StudyDirection, ...] = (StudyDirection.MINIMIZE,)  # of the study
    total: float = math.inf  # finished trials in all; infinite for no limit
    # a rung below the last that brought nothing better in so many trials is left; None for never
    patience: int | None = None
    portfolio: tuple[Mapping[str, Any], ...] = ()  # key to value of what did well elsewhere, beside the config's values

    @property
    def rungs(self) -> list[str]:
        """Their names, as in the user attribute of a trial."""
        return [to_text(value) for value in self.order]

    def quota(self, place: int) -> float:
        """Trials of a rung below the last."""
        if math.isinf(self.total):
            return math.inf
        return max(1, int(self.fraction * self.total * (1 - self.fraction) ** place + 0.5))

    def coming(self, n_begun: Mapping[str, int], latest: str, n_left: int) -> list[tuple[str, int]]:
        """Rungs of the trials to come, with how many each will have.

        Args:
            n_begun: Rung to its trials that have ended or run.
            latest: Rung of the latest trial.
        """
        rungs, found = self.rungs, []
        for place in range(rungs.index(latest) if latest in rungs else 0, len(rungs) - 1):
            n = min(max(int(self.quota(place)) - n_begun.get(rungs[place], 0), 0), n_left)
            found.append((rungs[place], n))
            n_left -= n
        return [(rung, n) for rung, n in [*found, (rungs[-1], n_left)] if n]

    def due(self, trials: Sequence[FrozenTrial], spent: float = 0.0, left: float = math.inf) -> int:
        """Place of the rung that a new trial is on.

        Args:
            spent: Part of the time budget that is over.
            left: Seconds until trials are stopped.
        """
        rungs = self.rungs
        # Of who was placed above by this rule; an entry may be on any rung at any time.
        placed = [t.user_attrs.get(RUNG) for t in trials if CARRIED in t.user_attrs]
        done = [*counted(trials), *(t for t in trials if t.state == TrialState.RUNNING)]
        begun = Counter(t.user_attrs.get(RUNG) for t in done)
        for place in range(max((rungs.index(r) for r in placed if r in rungs), default=0), len(rungs) - 1):
            ended = [t for t in counted(trials) if t.user_attrs.get(RUNG) == rungs[place]]
            is_stagnant = self.patience and last_improvement(ended, self.directions) >= self.patience
            in_time = spent < 1 - (1 - self.fraction) ** (place + 1)
            if begun[rungs[place]] < self.quota(place) and in_time and not is_stagnant:
                return place
            if not begun[rungs[place + 1]] and left < _UNKNOWN * max(map(seconds_of, ended), default=0.0):
                return place
        return len(rungs) - 1

    def place(
        self, trials: Sequence[FrozenTrial], given: Mapping[str, Any], spent: float = 0.0, left: float = math.inf
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draws that a trial is given, by name in the study, and its user attributes.

        Args:
            given: Draws that it was queued with; empty for a new one.
            spent: Part of the time budget that is over.
            left: Seconds until trials are stopped.
        """
        if self.key in given:
            return dict(given), {RUNG: to_text(given[self.key])}
        place = self.due(trials, spent, left)
        first = {self.key: self.order[place]}
        if given or place == 0:
            return {**first, **given}, {RUNG: self.rungs[place]}
        mine = [t for t in trials if CARRIED in t.user_attrs and t.user_attrs.get(RUNG) == self.rungs[place]]
        n = 1 + sum(not t.user_attrs.get(INTERRUPTED) for t in mine)
        source, carried = self._carried(trials, place, n)
        known = [{**self.defaults, **changed} for changed in ({}, *self.portfolio)]
        draws = self.space.fitting({**(known[n - 1] if n <= len(known) else {}), **first, **carried})
        if any(trial.params == draws for trial in trials):  # the baseline may be on this rung
            draws = self.space.fitting({**first, **carried})
        return draws, {RUNG: self.rungs[place], CARRIED: source}

    def on_a_rung(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """An entry with its rung: where it names none, the first of those on which most of its keys are searched."""
        counts = [len(self.space.to_names({**values, self.key: value})) for value in self.order]
        return {self.key: self.order[counts.index(max(counts))], **values} if values else {}

    def _carried(self, trials: Sequence[FrozenTrial], place: int, n: int) -> tuple[int | None, dict[str, Any]]:
        """Number of the trial that the n-th of a rung takes after, and what it takes; else the config's values."""
        found: dict[str, tuple[int | None, dict[str, Any]]] = {}
        below = [t for t in trials if t.user_attrs.get(RUNG) == self.rungs[place - 1]]
        for trial in best_trials(below, self.directions[0]):
            values = {key_of(name): value for name, value in trial.params.items()}
            kept = {key: values[key] for key in self.carry if key in values}
            found.setdefault(repr(kept), (trial.number, kept))
        candidates = list(found.values())[:_CANDIDATES]
        if not candidates:
            return None, {key: self.defaults[key] for key in self.carry if key in self.defaults}
        n_halvings = (n & -n).bit_length() - 1  # 0 1 0 2 0 1 0 3 ...
        return candidates[min(n_halvings, len(candidates) - 1)]


def read_climb(settings: Settings, space: Space, config: DictConfig, directions: Sequence[str]) -> Climb | None:
    """Read and check `climb`; None without one, and where its key is not searched.

    Args:
        config: What a job has without the search, `hydra` included.
        directions: minimize or maximize, for each objective.

    Raises:
        ConfigError: A value is out of range.
        SpaceError: A key that the config has not, or a value that the key cannot have.
    """
    if (given := settings.climb) is None:
        return None
    key, order = str(given.key), tuple(encode(value) for value in given.order)
    named = (key, *given.carry, *(name for changed in given.portfolio for name in changed))
    check_keys((name for name in named if name not in space.keys), config)
    if not 0 < given.fraction < 1:
        raise ConfigError(
            f"Expected `hydra.sweeper.climb.fraction` to be above 0 and below 1, got {given.fraction}. "
            "0.5 spends half of the trials on the first rung."
        )
    if key not in space.keys:
        return None
    _check_order(key, order, space)
    most = most_known(settings.n_trials)
    return Climb(
        key,
        order,
        given.fraction,
        tuple(name for name in given.carry if name in space.keys and name != key),
        space,
        values_of(space.keys, config),
        tuple(StudyDirection[direction.upper()] for direction in directions),
        settings.n_trials,
        settings.stop_when_stagnant or (_PATIENCE if math.isinf(settings.n_trials) else None),
        tuple({name: encode(changed[name]) for name in changed} for changed in given.portfolio)[:most],
    )


def _check_order(key: str, order: tuple[Any, ...], space: Space) -> None:
    way_out = "Or search without rungs: hydra.sweeper.climb=null."
    if len(set(map(repr, order))) != len(order) or len(order) < 2:
        raise ConfigError(
            f"Expected `hydra.sweeper.climb.order` to list two values of `{key}` or more, each once, cheapest "
            f"first, got [{', '.join(map(to_text, order))}]. {way_out}"
        )
    *others, parameter = (p for p in space.parameters if p.key == key)
    if others or parameter.when:
        raise SpaceError(
            f"Expected `{key}`, which the search climbs by, to be searched in every trial, got it under a condition. "
            f"Move it from `conditional` to `params`. {way_out}"
        )
    domain = parameter.domain
    for value in order:
        if parameter.distribution is None or not contains(parameter.distribution, value):
            raise SpaceError(
                f"Expected `hydra.sweeper.climb.order` to list values that `{key}` can have ({domain}), "
                f"got {to_text(value)}. Say for example hydra.sweeper.climb.order=[{domain.replace(', ', ',')}]. "
                f"{way_out}"
            )
