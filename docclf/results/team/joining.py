"""Which trials of several studies make one study, and what number each gets there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from docclf.results.team.agreement import Frame, reference, score_differences
from docclf.results.team.entries import MERGED_FROM, Entry, Joined, Origin, host
from docclf.results.team.sources import Source
from docclf.sweeper.study.attributes import NOT_COMPARABLE
from docclf.sweeper.study.trials import baseline_of


def join(sources: Sequence[Source]) -> Joined:
    """Put the trials of several studies in one order: that of the studies, then by number.

    A trial that several of the studies have, as when one of them is a merge of others, counts once, and so does the
    baseline that came to its end, where it has the same parameters.
    """
    first = reference(sources)
    frame = Frame(first)
    everything = [(place, trial) for place, source in enumerate(sources) for trial in source.trials]
    comparable = [not score_differences(first, source) for source in sources]
    origins = _origins(sources)
    fresh = itertools.count()

    entries: list[Entry] = []
    by_study: dict[tuple[str, str], list[FrozenTrial]] = {}
    numbers: dict[tuple[int, int], int | None] = {}
    seen: dict[str, int | None] = {}
    baselines: dict[str, int | None] = {}
    notes: dict[str, None] = {}
    for place, trial in everything:
        here, identity = (place, trial.number), _identity(trial)
        if identity in seen:
            numbers[here] = seen[identity]
            continue
        origin, params = origins[here], repr(sorted(trial.params.items()))
        by_study.setdefault((origin.who, origin.study), []).append(trial)
        is_comparable = comparable[place] and NOT_COMPARABLE not in trial.user_attrs
        is_baseline = is_comparable and baseline_of([trial]) is not None
        if is_baseline and params in baselines:
            numbers[here] = seen[identity] = baselines[params]
            notes[f"{sources[place].label}: its baseline is that of another study, and counts once"] = None
            continue
        drawn = frame.fit(trial, sources[place])
        numbers[here] = seen[identity] = number = None if drawn is None else next(fresh)
        entries.append(Entry(sources[place], trial, origin, is_comparable, number, drawn))
        if is_baseline:
            baselines[params] = number
    if repeated := len(everything) - len(seen):
        notes[f"{repeated} trials are in several of the studies, and count once"] = None
    return Joined(sources, entries, by_study, numbers, [*notes, *_notes(sources, entries, first)])


def _notes(sources: Sequence[Source], entries: Sequence[Entry], first: Source) -> list[str]:
    notes = []
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
    return notes


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
