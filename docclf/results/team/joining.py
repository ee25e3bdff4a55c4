"""Which trials of several studies make one study, and what number each gets there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from docclf.errors import ConfigError
from docclf.results.team.agreement import Frame, reference, score_differences
from docclf.results.team.entries import MERGED_FROM, Entry, Joined, Origin, host
from docclf.results.team.sources import Source
from docclf.sweeper.study.attributes import ENQUEUED, NOT_COMPARABLE, ROLE


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
    comparing = {(i, t.number) for i, t in alike}
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
        entries.append(Entry(sources[place], trial, origin, here in comparing, number, drawn))
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
