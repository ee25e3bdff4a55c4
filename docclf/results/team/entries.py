"""The trials of several studies as those of one: each once, with the number that it has there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from docclf.results.team.sources import Source
from docclf.sweeper.study.attributes import DUPLICATE_OF, FINALIST, NOT_COMPARABLE, OWNER, REFERENCE, RETRY_OF
from docclf.sweeper.study.finalists import mark, source_number
from docclf.sweeper.study.process import host_of
from docclf.sweeper.study.trials import how_scored

MERGED_FROM = "merged_from"  # user attribute of a merged study's trials: who, host, study and number of its origin


def host(trial: FrozenTrial) -> str:
    """The machine that a trial ran on."""
    return host_of(str(trial.user_attrs.get(OWNER, ""))) or "unknown"


@dataclass(frozen=True)
class Origin:
    """Where a trial comes from."""

    who: str  # name of whoever ran it, or else its machine
    host: str  # its machine; `unknown` of a study that does not say
    study: str  # name of its study, with the place where that alone does not tell two studies apart
    number: int  # of the trial in that study


@dataclass(frozen=True)
class Entry:
    """A trial of one of the studies."""

    source: Source
    trial: FrozenTrial  # as it is in its own study
    origin: Origin
    is_comparable: bool  # whether its score can be compared with that of the study that the others are compared with
    number: int | None  # in the merged study; None where it does not fit that
    # its parameters and their distributions there
    drawn: tuple[Mapping[str, Any], Mapping[str, BaseDistribution]] | None
    rescored: FrozenTrial | None = None  # on the leaderboard, the finalist that scores it again, if one does
    is_on_front: bool = False  # on the leaderboard, of several objectives, whether no other trial beats it in all


@dataclass(frozen=True)
class Joined:
    """The trials of several studies, each once."""

    sources: Sequence[Source]  # the studies, in the order given
    entries: Sequence[Entry]  # by study, then by number
    # who and study to all that ran there, a repeated baseline too
    by_study: Mapping[tuple[str, str], Sequence[FrozenTrial]]
    # place of a study in `sources` and number of a trial there, to its number in the merged study; None where it is not
    # in that
    numbers: Mapping[tuple[int, int], int | None]
    notes: Sequence[str]  # what is worth knowing, a sentence each

    def copies(self) -> list[FrozenTrial]:
        """The merged study's trials, by number."""
        return [self._copy(entry) for entry in self.entries if entry.number is not None]

    def _copy(self, entry: Entry) -> FrozenTrial:
        trial, place = entry.trial, self.sources.index(entry.source)
        attributes = {key: value for key, value in trial.user_attrs.items() if key not in (RETRY_OF, DUPLICATE_OF)}
        twin = self.numbers.get((place, trial.user_attrs.get(DUPLICATE_OF, -1)))
        attributes |= {MERGED_FROM: vars(entry.origin)} | ({} if twin is None else {DUPLICATE_OF: twin})
        if not entry.is_comparable:
            attributes[NOT_COMPARABLE] = True
        assert entry.drawn is not None
        return _changed(trial, *entry.drawn, attributes)

    def rescoring(self) -> str | None:
        """How the finalists of all studies that can be compared were re-evaluated; None where it was not the same."""
        comparable = {id(entry.source): entry.source for entry in self.entries if entry.is_comparable}
        ways = [{_way(finalist) for finalist in source.finalists} for source in comparable.values()]
        return next(iter(ways[0])) if ways and len(ways[0]) == 1 and all(way == ways[0] for way in ways) else None

    def finalists(self) -> list[tuple[FrozenTrial, FrozenTrial, Source]]:
        """Finalists of the merged study: the copy, what it copies and whose that is.

        Those of the first study that has any decide how a finalist is scored; others are left behind.
        """
        way = next((_way(source.finalists[0]) for source in self.sources if source.finalists), None)
        found: dict[str, tuple[FrozenTrial, FrozenTrial, Source]] = {}
        comparable = {(id(entry.source), entry.number) for entry in self.entries if entry.is_comparable}
        for place, source in enumerate(self.sources):
            for finalist in sorted(source.finalists, key=lambda t: t.number):
                number = self.numbers.get((place, source_number(finalist)))
                if number is None or _way(finalist) != way or (id(source), number) not in comparable:
                    continue
                how = how_scored(finalist)
                name = mark(number, [how] if how else [], finalist.user_attrs.get(REFERENCE))
                origin = {"study": source.name, "number": source_number(finalist)}
                attributes = {key: value for key, value in finalist.user_attrs.items() if key != RETRY_OF}
                attributes |= {FINALIST: name, MERGED_FROM: origin}
                again = _changed(finalist, finalist.params, finalist.distributions, attributes)
                found.setdefault(name, (again, finalist, source))
        return list(found.values())


def _way(finalist: FrozenTrial) -> str:
    """How a finalist was re-evaluated; a floor that was run as one is on the folds of the others."""
    reference = finalist.user_attrs.get(REFERENCE)
    return how_scored(finalist).removesuffix(f"{REFERENCE}={reference}").rstrip()


def _changed(
    trial: FrozenTrial,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    attributes: dict[str, Any],
) -> FrozenTrial:
    """A trial with others of these, and with its own times, values, constraints and what pruners remember."""
    other = copy(trial)
    other.params, other.distributions, other.user_attrs = dict(params), dict(distributions), attributes
    return other
