"""Which trials of several studies make one study, and what number each gets there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from docclf.errors import ConfigError
from docclf.results.team.agreement import Frame, reference, score_differences
from docclf.results.team.leaderboard import Origin, host
from docclf.results.team.sources import Source
from docclf.sweeper.study.attributes import DUPLICATE_OF, ENQUEUED, FINALIST, REFERENCE, RETRY_OF, ROLE
from docclf.sweeper.study.finals import mark, source_number
from docclf.sweeper.study.trials import how_scored

# User attributes of a merged study's trials.
MERGED_FROM = "merged_from"  # who, host, study and number of its origin
NOT_COMPARABLE = "not_comparable"  # true where its score cannot be compared with those of the first study


@dataclass(frozen=True)
class Entry:
    """A trial of one of the studies.

    Attributes:
        number: In the merged study; None where it does not fit that.
        drawn: Its parameters and their distributions there.
    """

    source: Source
    trial: FrozenTrial
    origin: Origin
    is_comparable: bool
    number: int | None
    drawn: tuple[Mapping[str, Any], Mapping[str, BaseDistribution]] | None


@dataclass(frozen=True)
class Joined:
    """The trials of several studies, each once.

    Attributes:
        sources: The studies, in the order given.
        entries: By study, then by number.
        by_study: Who and study to all that ran there, a repeated baseline too.
        numbers: Place of a study in `sources` and number of a trial there, to its number in the merged study.
        notes: What is worth knowing, a sentence each.
    """

    sources: Sequence[Source]
    entries: Sequence[Entry]
    by_study: Mapping[tuple[str, str], Sequence[FrozenTrial]]
    numbers: Mapping[tuple[int, int], int]
    notes: Sequence[str]

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
        return _timed(trial, *entry.drawn, attributes)

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
                copy = _timed(finalist, finalist.params, finalist.distributions, attributes)
                found.setdefault(name, (copy, finalist, source))
        return list(found.values())


def _way(finalist: FrozenTrial) -> str:
    """How a finalist was re-evaluated; a floor that was run as one is on the folds of the others."""
    reference = finalist.user_attrs.get(REFERENCE)
    return how_scored(finalist).removesuffix(f"{REFERENCE}={reference}").rstrip()


def _timed(
    trial: FrozenTrial,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    attributes: dict[str, Any],
) -> FrozenTrial:
    copy = create_trial(
        state=trial.state,
        values=trial.values,
        params=dict(params),
        distributions=dict(distributions),
        user_attrs=attributes,
        system_attrs=dict(trial.system_attrs),  # constraints are among them, and what pruners remember
        intermediate_values=dict(trial.intermediate_values),
    )
    copy.datetime_start, copy.datetime_complete = trial.datetime_start, trial.datetime_complete
    return copy


def join(sources: Sequence[Source]) -> Joined:
    """Put the trials of several studies in one order: that of the studies, then by number.

    A trial that several of the studies have, as when one of them is a merge of others, counts once, and so does the
    baseline where it has the same parameters.

    Raises:
        ConfigError: The trials of one study are all in another one too: it is the same, or an older copy.
    """
    first = reference(sources)
    frame = Frame(first)
    everything = [(place, trial) for place, source in enumerate(sources) for trial in source.trials]
    _refuse_twice(sources)
    comparable = [not score_differences(first, source) for source in sources]
    origins = _origins(sources)
    alike = [(i, t) for i, t in everything if comparable[i] and NOT_COMPARABLE not in t.user_attrs]
    baselines = _kept_baselines(alike)

    entries: list[Entry] = []
    by_study: dict[tuple[str, str], list[FrozenTrial]] = {}
    numbers: dict[tuple[int, int], int] = {}
    seen: dict[str, tuple[int, int]] = {}
    aliases: dict[tuple[int, int], tuple[int, int]] = {}
    notes: dict[str, None] = {}
    for place, trial in everything:
        here, identity = (place, trial.number), _identity(trial)
        kept = baselines.get(here, here)
        if identity in seen:
            aliases[here] = seen[identity]
            continue
        seen[identity] = here
        origin = origins[here]
        by_study.setdefault((origin.who, origin.study), []).append(trial)
        if kept != here:
            aliases[here] = kept
            notes[f"{sources[place].label}: its baseline is that of another study, and counts once"] = None
            continue
        drawn = frame.fit(trial, sources[place])
        number = None if drawn is None else len(numbers)
        entries.append(Entry(sources[place], trial, origin, (place, trial) in alike, number, drawn))
        if number is not None:
            numbers[here] = number
    numbers |= _numbers_of_aliases(aliases, numbers)
    if repeated := len(everything) - len(seen):
        notes[f"{repeated} trials are in several of the studies, and count once"] = None
    return Joined(sources, entries, by_study, numbers, [*notes, *_notes(sources, entries, first)])


def _numbers_of_aliases(
    aliases: Mapping[tuple[int, int], tuple[int, int]], numbers: Mapping[tuple[int, int], int]
) -> dict[tuple[int, int], int]:
    """Numbers of the trials that others stand for, which may themselves be stood for."""
    found = {}
    for alias, here in aliases.items():
        while here in aliases:
            here = aliases[here]
        if here in numbers:
            found[alias] = numbers[here]
    return found


def _notes(sources: Sequence[Source], entries: Sequence[Entry], first: Source) -> list[str]:
    notes = []
    begun: dict[str | None, Source] = {}
    for source in sources:
        mine = [entry for entry in entries if entry.source is source]
        if source.left_out:
            counts = ", ".join(f"{n} {what}" for what, n in source.left_out.items())
            notes.append(f"{source.label}: {counts} trials are left out")
        if strangers := sum(entry.number is None for entry in mine):
            notes.append(
                f"{source.label}: {strangers} of {len(source.trials)} trials do not fit the space and the config of "
                f"{first.label}, and are on the leaderboard alone. To go on with another space, name its study first"
            )
        if lines := score_differences(first, source):
            what = "; ".join(lines)
            notes.append(f"{source.label}: scores cannot be compared with those of {first.label}, marked * ({what})")
        start = _start(source)
        if start in begun and start is not None:
            notes.append(
                f"{source.label}: begins with the parameters of {begun[start].label}, as searches of one seed do. Give "
                "each its own search.seed, so that they do not try the same"
            )
        begun.setdefault(start, source)
    return notes


def _start(source: Source) -> str | None:
    """The first parameters that the sampler chose."""
    chosen = (t for t in source.trials if not {ROLE, ENQUEUED, MERGED_FROM} & t.user_attrs.keys())
    return next((_params(trial) for trial in chosen), None)


def _params(trial: FrozenTrial) -> str:
    return repr(sorted(trial.params.items()))


def _refuse_twice(sources: Sequence[Source]) -> None:
    identities = [{_identity(trial) for trial in source.trials} for source in sources]
    for j, mine in enumerate(identities):
        for i, others in enumerate(identities):
            if i != j and mine <= others and (mine < others or i < j):
                what = "is the same study" if mine == others else "has all its trials, and more"
                raise ConfigError(
                    f"Expected each study once, got {sources[j].label}, and {sources[i].label}, which {what}. "
                    "Leave the former out."
                )


def _identity(trial: FrozenTrial) -> str:
    """Text that two trials share if one is a copy of the other."""
    times = (trial.datetime_start, trial.datetime_complete)
    return repr((*times, trial.state, sorted(trial.params.items()), trial.values))


def _origins(sources: Sequence[Source]) -> dict[tuple[int, int], Origin]:
    """Origin of each trial; what was merged before keeps its own."""
    hosts = [{host(trial) for trial in source.trials} for source in sources]
    found = {}
    for place, source in enumerate(sources):
        twins = (
            other.name == source.name and other.who == source.who and (source.who or hosts[place] & hosts[i])
            for i, other in enumerate(sources)
            if i != place
        )
        study = source.text if any(twins) else source.name
        for trial in source.trials:
            machine = host(trial)
            known = trial.user_attrs.get(MERGED_FROM)
            own = Origin(who=source.who or machine, host=machine, study=study, number=trial.number)
            found[place, trial.number] = own
            if isinstance(known, dict) and known.keys() == vars(own).keys():
                found[place, trial.number] = Origin(**known)
    return found


def _kept_baselines(trials: Sequence[tuple[int, FrozenTrial]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Baselines that repeat another one, to that one: the first of these parameters that came to its end, if any."""
    groups: dict[str, list[tuple[int, FrozenTrial]]] = {}
    for place, trial in trials:
        if trial.user_attrs.get(ROLE) == "baseline":
            groups.setdefault(_params(trial), []).append((place, trial))
    repeats: dict[tuple[int, int], tuple[int, int]] = {}
    for group in groups.values():
        kept = next((pair for pair in group if pair[1].state == TrialState.COMPLETE), group[0])
        repeats |= {(place, trial.number): (kept[0], kept[1].number) for place, trial in group if trial is not kept[1]}
    return repeats
