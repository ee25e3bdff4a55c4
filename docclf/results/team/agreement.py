"""Whether studies belong together: whose scores can be compared, and whose trials could be of one search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial

from docclf.errors import ConfigError, SpaceError
from docclf.results.team.sources import Source
from docclf.sweeper.space.grammar import contains, decode, encode, parse_override
from docclf.sweeper.space.parameters import key_of
from docclf.sweeper.study.continuation import show_fact


def reference(sources: Sequence[Source]) -> Source:
    """The study that the others are compared with: the first that docclf's sweeper made."""
    return next((source for source in sources if source.is_ours), sources[0])


def refuse_others(sources: Sequence[Source], *, anyway: bool) -> None:
    """Refuse studies that do not belong together; `anyway` lets pass what can be put into one study at all.

    Raises:
        ConfigError: One is not of docclf, or has other directions.
        SpaceError: Two differ in data, folds, validation, objective, space or config; the message names both, the
            differences and the way out.
    """
    first = reference(sources)
    for source in sources:
        if list(source.directions) != list(first.directions):
            ways = [", ".join(d.name.lower() for d in found.directions) for found in (first, source)]
            raise ConfigError(
                f"Expected studies with the same directions, got {ways[0]} in {first.label} and {ways[1]} in "
                f"{source.label}. One study cannot hold both; leave one out."
            )
        if anyway:
            continue
        if not source.is_ours:
            raise ConfigError(
                f"Expected studies of docclf's searches, got {source.label}, which does not say on what data it was "
                "scored. Leave it out, or add --anyway."
            )
        if lines := score_differences(first, source):
            raise SpaceError(
                f"Expected studies of the same data, folds, validation and objective, got others in {first.label} and "
                f"{source.label}:\n{_listed(lines)}Search again on the same pages with the same validation, leave one "
                "out, or add --anyway: the leaderboard then marks the scores that cannot be compared."
            )
        if lines := search_differences(first, source):
            raise SpaceError(
                f"Expected studies of the same space and config, got others in {first.label} and {source.label}:\n"
                f"{_listed(lines)}Leave one out, or add --anyway: the leaderboard then has the trials of both, and the "
                f"merged study those that fit the space and the config of {first.label}."
            )


def score_differences(a: Source, b: Source) -> list[str]:
    """What makes scores of two studies incomparable, a line each with both values; empty if they can be compared."""
    if not (a.is_ours and b.is_ours):
        return [] if a is b else ["the program that made it"]
    facts, objectives = ([source.records.get(key, {}) for source in (a, b)] for key in ("facts", "objective"))
    configs = [{key: v for key, v in source.settings.items() if _is_validation(key)} for source in (a, b)]
    return [*_differences(*facts), *_differences(*objectives), *_differences(*configs)]


def search_differences(a: Source, b: Source) -> list[str]:
    """What makes two studies different searches, although their scores may be comparable."""
    space = _differences(*(source.records.get("space", {}) for source in (a, b)))
    searched = _searched(a) | _searched(b)
    configs = [{key: value for key, value in source.settings.items() if _counts(key, searched)} for source in (a, b)]
    return [*space, *_differences(*configs)]


def _is_validation(key: str) -> bool:
    return key.startswith("validation.")


def _counts(key: str, searched: set[str]) -> bool:
    """Whether a key of the config makes another search."""
    return not _is_validation(key) and not key.startswith("hydra.") and key not in searched


def _searched(source: Source) -> set[str]:
    return {key_of(name) for name in source.records.get("space", {})}


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """
    >>> _differences({"folds": 3, "seed": 1}, {"folds": 5, "seed": 1, "lr": '{"name"'})
    ['folds: 3, 5', 'lr: nothing, {"name"']
    """
    differing = (key for key in sorted({*a, *b}) if a.get(key) != b.get(key))
    return [f"{key}: {show_fact(a.get(key))}, {show_fact(b.get(key))}" for key in differing]


def _listed(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


class Frame:
    """The search that a merged study is: its space and its config."""

    def __init__(self, source: Source) -> None:
        self.source = source
        space = source.records.get("space", {})
        # Conditions decide which parameters a trial has: what the study's own trials have will do.
        self._is_conditional = not source.is_ours or any(key_of(name) != name for name in space)
        drawn = {name: d for trial in source.trials for name, d in trial.distributions.items()}
        if not self._is_conditional:
            drawn |= {name: json_to_distribution(text) for name, text in space.items() if text.startswith("{")}
        self.distributions: dict[str, BaseDistribution] = drawn
        self._shapes = {frozenset(t.params) for t in source.trials} if self._is_conditional else {frozenset(drawn)}

    def fit(self, trial: FrozenTrial, source: Source) -> tuple[dict[str, Any], dict[str, BaseDistribution]] | None:
        """Parameters and distributions of a trial as one of this search; None if it is none.

        What a study held fixed counts as drawn where this search draws it, and the reverse.
        """
        if source is self.source or (source.is_ours and not search_differences(self.source, source)):
            return trial.params, trial.distributions
        ours, theirs = self.source.settings, source.settings
        values = dict(trial.params)
        if not self._is_conditional:
            values |= {name: _read(theirs[name]) for name in self.distributions.keys() & theirs.keys() - values.keys()}
        extra = values.keys() - self.distributions.keys()
        if any(ours.get(key_of(name)) != str(decode(values[name])) for name in extra):
            return None
        searched = _searched(self.source) | _searched(source) | set(map(key_of, trial.params))
        fixed = {key for key in ours.keys() | theirs.keys() if _counts(key, searched)}
        if source.is_ours and any(ours.get(key) != theirs.get(key) for key in fixed):
            return None
        values = {name: value for name, value in values.items() if name in self.distributions}
        if frozenset(values) not in self._shapes:
            return None
        if not all(contains(self.distributions[name], value) for name, value in values.items()):
            return None
        return values, {name: self.distributions[name] for name in values}


def _read(text: str) -> Any:
    """A value of the record of a config in the form of a study.

    >>> _read("0.01"), _read("adamw"), _read("None"), _read("c,d")
    (0.01, 'adamw', None, "'c,d'")
    """
    if text == "None":
        return None
    try:
        override = parse_override(f"x={text}")
    except SpaceError:  # not the text of an override
        return encode(text)
    return encode(text if override.is_sweep_override() else override.value())
